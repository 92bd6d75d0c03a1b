#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# libbpf.sh [--fetch]: a static libbpf >= 1.7 (older ones cannot attach a struct_ops of a module) in the cache:
# a view of the system's if it is new enough, else built from Debian's source package. --fetch: only what
# needs nothing but apt, for the next call.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

from_system() {
    local prefix
    prefix=$STEER_CACHE/libbpf/system-$(pkg-config --modversion libbpf)
    mkdir -p "$prefix/lib" "$prefix/include"
    ln -sfn "$(pkg-config --variable=libdir libbpf)/libbpf.a" "$prefix/lib/libbpf.a"
    ln -sfn "$(pkg-config --variable=includedir libbpf)/bpf" "$prefix/include/bpf"
    touch "$prefix/complete"
}

# Where --fetch leaves what apt-get source downloads.
fetched=$STEER_CACHE/libbpf/fetched

fetch() {
    local work
    work=$(mktemp -d "$STEER_CACHE/libbpf-fetch.XXXXXX")
    # shellcheck disable=SC2064 # the directory of now
    trap "rm -rf '$work'" EXIT
    private_apt_update sid deb-src
    (cd "$work" && private_apt sid apt-get source --download-only libbpf)
    mv -T "$work" "$fetched"
}

from_source() {
    local work=$fetched version prefix
    [ -e "$fetched" ] || fetch
    # shellcheck disable=SC2064 # the directory of now
    trap "rm -rf '$work'" EXIT
    version=$(basename "$work"/libbpf_*.orig.tar.*)
    version=${version#libbpf_}
    version=${version%.orig.tar.*}
    if [ "$(printf '%s\n' 1.7 "$version" | sort -V | head -1)" != 1.7 ]; then
        die "./dev setup: libbpf $version is too old: 1.7 is needed"
    fi
    step "building libbpf $version"
    tar -C "$work" -xf "$work"/libbpf_*.orig.tar.*
    prefix=$STEER_CACHE/libbpf/$version
    rm -rf "$prefix"
    make -s -C "$work/libbpf-$version/src" -j"$(nproc)" BUILD_STATIC_ONLY=y DESTDIR="$prefix" \
        PREFIX= INCLUDEDIR=/include LIBDIR=/lib UAPIDIR=/include install >/dev/null
    touch "$prefix/complete"
}

if [ -n "$(libbpf_prefix)" ]; then
    exit 0
fi
mkdir -p "$STEER_CACHE/libbpf"
if pkg-config --atleast-version=1.7 libbpf 2>/dev/null; then
    from_system
elif [ "${1-}" != --fetch ]; then
    from_source
elif [ ! -e "$fetched" ]; then
    fetch
fi
