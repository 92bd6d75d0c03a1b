#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clean_root.sh [SUITE [build]]: a Debian root file system (bookworm, or trixie) that has never seen this
# project, in the cache: what packages are tried in (tests/vm/harness/clean.py). Prints its directory. As
# a machine comes out of an installer: what our packages depend on is there, so that guests without a
# network can install them. With `build` one to compile and package in, for package_for.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=${1-bookworm}
KIND=${2-clean}
case $KIND:$SUITE in
clean:*)
    PACKAGES=(
        systemd systemd-sysv udev dbus kmod iproute2 procps
        # what ivpci-dkms and the kernel's build tree want
        dkms gcc pahole
        # what smc-steer and ivpci-broker are linked with
        libmnl0 libsystemd0 zlib1g
        # the tests' own programs in the guest
        python3
    )
    ;;&
clean:bookworm) PACKAGES+=(libelf1 libfmt9 libmicrohttpd12 libspdlog1.10 libyaml-cpp0.7) ;;
clean:trixie)
    PACKAGES+=(libelf1t64 libfmt10 libmicrohttpd12t64 libspdlog1.15 libyaml-cpp0.8)
    # Debian 13's own kernel, which the driver cannot be made for.
    PACKAGES+=(linux-headers-amd64)
    ;;
build:trixie)
    PACKAGES=(
        build-essential cmake ninja-build pkgconf clang bpftool git
        libcli11-dev libcpp-httplib-dev libelf-dev libexpected-dev libfmt-dev libgmock-dev
        libgrpc++-dev libgtest-dev libkainjow-mustache-dev libmicrohttpd-dev libmnl-dev
        libprotobuf-dev libspdlog-dev libsystemd-dev libyaml-cpp-dev nlohmann-json3-dev
        protobuf-compiler protobuf-compiler-grpc zlib1g-dev
        debhelper dh-dkms lintian
    )
    ;;
*) die "clean_root.sh: nothing is known of a root '$KIND' of '$SUITE'" ;;
esac

# The script is the recipe: the list above, and how it is made.
root=$STEER_CACHE/root/$SUITE-$KIND-$(hash_of "${BASH_SOURCE[0]}")
mkdir -p "$STEER_CACHE/root"
exec 9>"$STEER_CACHE/root/lock"
flock 9
if [ ! -e "$root/complete" ]; then
    step "making a root file system ($SUITE, $KIND)"
    work=$(mktemp -d "$STEER_CACHE/root/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    include=$(IFS=, && echo "${PACKAGES[*]}")
    # dpkg in a guest need not wait for a disk either.
    mmdebstrap --quiet --mode=root --variant=minbase --include="$include" \
        --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$SUITE" "$work/fs" "deb $(debian_mirror) $SUITE main" >&2 ||
        die "./dev test: no root file system of $SUITE: mmdebstrap failed (above)"
    # Tests have no network, and no name of this machine.
    : >"$work/fs/etc/machine-id"
    rm -f "$work/fs/etc/hostname" "$work/fs/etc/resolv.conf"
    rm -rf "$root"
    mkdir "$root"
    mv "$work/fs" "$root/fs"
    touch "$root/complete"
fi
printf '%s\n' "$root/fs"
