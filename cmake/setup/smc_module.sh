#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smc_module.sh [PATCH...]: net/smc as the guest kernel has it, with deploy/kernel/patches, and PATCHes on top of
# them (paths as in the kernel's tree); prints the path of its smc.ko, in the cache. Guests load it in place of
# their kernel's, where SMC_STEER_SMC_KO names it: seconds instead of a kernel's build.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=trixie-backports # as kernel.sh

patches=("$STEER_REPO"/deploy/kernel/patches/*.patch)
sums=$STEER_REPO/deploy/kernel/patches/sums
kernel=$(kernel_dir guest)
[ -n "$kernel" ] || die "smc_module.sh: there is no guest kernel: run ./dev setup"
version=${kernel##*-}
# In the cache: net/smc as it came, and with the patches, compiled: PATCHes change a file or two of it.
source=$(smc_source "$version")
patched=$STEER_CACHE/smc/patched-$(hash_of "${BASH_SOURCE[0]}" "$sums" "${patches[@]}" <(echo "$kernel"))
result=$patched/smc.ko
[ $# = 0 ] || result=$patched/with-$(hash_of "$@").ko

# The guest kernel's own sources, where they are not left from its build.
take_source() {
    local package=linux-source-${version%.*}
    private_apt_update $SUITE deb
    private_apt_unpack $SUITE "$package" "$work/deb"
    tar -C "$work" --strip-components=1 --wildcards -xf "$work/deb/usr/src/$package.tar.xz" '*/net/smc/*'
    rm -rf "$work/deb"
    # Patches without context would fit anywhere: only into the files that they were made for.
    (cd "$work" && sha256sum --check --quiet "$sums" >&2) ||
        die "smc_module.sh: $package is not the one that deploy/kernel/patches are for"
}

# build DIRECTORY PATCH...: applies them to net/smc there, compiles what they change.
build() {
    local dir=$1 each
    shift
    for each in "$@"; do
        patch -d "$dir" -p1 --fuzz=0 -s --no-backup-if-mismatch <"$each" >&2 ||
            die "smc_module.sh: $each does not fit"
    done
    make -C "$kernel/build" "M=$dir/net/smc" -j"$(nproc)" modules >"$dir/log" 2>&1 ||
        { tail -n 20 "$dir/log" >&2 && die "smc_module.sh: it does not compile"; }
}

mkdir -p "$STEER_CACHE/smc"
exec 9>"$STEER_CACHE/smc/lock"
flock 9
if [ ! -e "$result" ]; then
    work=$(mktemp -d "$STEER_CACHE/smc/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ ! -e "$source" ]; then
        take_source
        mv "$work" "$source"
        mkdir "$work"
    fi
    if [ ! -e "$patched" ]; then
        step "building net/smc $version with deploy/kernel/patches"
        cp -a "$source/net" "$work"
        build "$work" "${patches[@]}"
        cp "$work/net/smc/smc.ko" "$work/smc.ko"
        mv "$work" "$patched"
        mkdir "$work"
    fi
    if [ $# != 0 ]; then
        step "building it with $(basename -a "$@" | paste -sd" ")"
        cp -a "$patched/net" "$work"
        build "$work" "$@"
        mv "$work/net/smc/smc.ko" "$result"
    fi
fi
printf '%s\n' "$result"
