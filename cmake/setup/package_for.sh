#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# package_for.sh SUITE OUTPUT [PRESET]: what ./dev package does, with SUITE's compiler, libraries and
# debhelper: by chroot into a root file system of clean_root.sh's. What was compiled stays beside that, for
# the next time. PRESET is release, or dev as tests have it in their short forms. libbpf, which is C and
# static, is the one that ./dev setup made here.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"

# In a mount namespace of its own: the mounts below go with this process.
if [ -z "${STEER_OWN_MOUNTS-}" ]; then
    STEER_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
fi

suite=$1
output=$(realpath -m -- "$2")
preset=${3-release}
libbpf=$(libbpf_prefix)
[ -n "$libbpf" ] || die "package_for.sh: there is no libbpf: run ./dev setup"
root=$("$here/clean_root.sh" "$suite" build)
build=$(dirname "$root")/build
mkdir -p "$build" "$output" "$STEER_REPO/build" "$root$STEER_REPO" "$root$libbpf"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$libbpf" "$root$libbpf"
mount --bind "$STEER_REPO" "$root$STEER_REPO"
mount --bind "$build" "$root$STEER_REPO/build"

# in_root COMMAND...
in_root() {
    env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@" >&2
}

step "packaging for $suite"
rm -rf "$build/packages"
in_root cmake -S "$STEER_REPO" --preset "$preset" -DSMC_STEER_UNITY=ON -DSMC_STEER_LIBBPF="$libbpf"
in_root ninja -C "$STEER_REPO/build/$preset" smc-agent smc-policy ivpci-broker
in_root "$STEER_REPO/cmake/setup/package.sh" "$STEER_REPO/build/$preset" "$STEER_REPO/build/packages"
cp -t "$output" "$build"/packages/*.deb
