#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smc_module.sh DIRECTORY [PATCH...]: DIRECTORY/smc.ko, the guest kernel's net/smc with PATCHes on top
# (paths as in the kernel's tree), for guests that are started with SMC_STEER_SMC_KO=DIRECTORY/smc.ko.
# So a change of deploy/kernel/patches is tried, or one taken out, in half a minute instead of a
# kernel's build. Not in /tmp, which guests do not see. -R as first PATCH: the rest is taken out.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 1 ] || die "usage: smc_module.sh DIRECTORY [-R] [PATCH...]"
directory=$(realpath -m -- "$1")
shift
kernel=$(kernel_dir guest)
[ -n "$kernel" ] || die "smc_module.sh: there is no guest kernel: run ./dev setup"
rm -rf "$directory"
mkdir -p "$directory/tree/net"
cp -r "$kernel/source/net/smc" "$directory/tree/net/"
flags=(-p1 --fuzz=0 -s --no-backup-if-mismatch)
if [ "${1-}" = -R ]; then
    flags+=(-R)
    shift
fi
for each; do
    patch -d "$directory/tree" "${flags[@]}" <"$each" ||
        die "smc_module.sh: $each does not fit"
done
make -C "$kernel/build" "M=$directory/tree/net/smc" -j"$(nproc)" modules >"$directory/log" 2>&1 ||
    { tail -n 20 "$directory/log" >&2 && die "smc_module.sh: it does not compile"; }
cp "$directory/tree/net/smc/smc.ko" "$directory/"
step "$directory/smc.ko"
