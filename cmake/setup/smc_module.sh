#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smc_module.sh [PATCH...]: the guest kernel's net/smc with deploy/kernel/patches, and PATCHes on top of them
# (paths as in the kernel's tree); prints the path of its smc.ko, in the cache. Guests load it in place of
# their kernel's: half a minute instead of a kernel's build.
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
dir=$STEER_CACHE/smc/$(hash_of "${BASH_SOURCE[0]}" "$sums" "${patches[@]}" "$@" <(echo "$kernel"))

# net/smc of the guest kernel's own sources, which its build does not keep.
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

mkdir -p "$STEER_CACHE/smc"
exec 9>"$STEER_CACHE/smc/lock"
flock 9
if [ ! -e "$dir/smc.ko" ]; then
    step "building net/smc $version with deploy/kernel/patches"
    work=$(mktemp -d "$STEER_CACHE/smc/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    take_source
    for each in "${patches[@]}" "$@"; do
        patch -d "$work" -p1 --fuzz=0 -s --no-backup-if-mismatch <"$each" >&2 ||
            die "smc_module.sh: $each does not fit"
    done
    make -C "$kernel/build" "M=$work/net/smc" -j"$(nproc)" modules >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2 && die "smc_module.sh: it does not compile"; }
    mkdir -p "$dir"
    cp "$work/net/smc/smc.ko" "$dir/new"
    mv "$dir/new" "$dir/smc.ko"
fi
printf '%s\n' "$dir/smc.ko"
