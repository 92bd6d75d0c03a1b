#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# stock_modules.sh KERNEL: the driver, and what tests load beside it, for one of Debian's own kernels (6.12 or
# trixie, see stock_kernel.sh, which it calls). Leaves in build/kernels/KERNEL:
#   kernel                         link to the kernel in the cache
#   kmod/ tests/kmod/ring_client/  copies of the sources, compiled there: what did not change is not again
# Debian 13's are compiled with its tools, by chroot into a root file system in the cache.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

# In a mount namespace of its own: the mounts below go with this process.
if [ -z "${STEER_OWN_MOUNTS-}" ]; then
    STEER_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
fi

# What the headers' own tools are linked with, what kbuild calls, and what pahole and gcc bring along. Nothing of
# it is configured: there is no need for a system there.
TOOLS=(base-files bash coreutils dash findutils gcc-14 grep make mawk pahole sed
    libelf1t64 libssl3t64 zlib1g)

# Prints a root file system of Debian 13 with these.
trixie_root() {
    local root
    root=$STEER_CACHE/root/trixie-modules-$(hash_of <(echo "${TOOLS[@]}"))
    if [ ! -e "$root/complete" ]; then
        step "taking Debian 13's compiler"
        rm -rf "$root"
        mkdir -p "$root"
        mmdebstrap --quiet --mode=root --variant=extract --include="$(IFS=, && echo "${TOOLS[*]}")" \
            --aptopt='Acquire::Languages "none"' \
            --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
            trixie "$root/fs" "deb $(debian_mirror) trixie main" >&2 ||
            die "./dev test: no root file system of trixie: mmdebstrap failed (above)"
        # dpkg's alternatives are made when packages are configured
        ln -s mawk "$root/fs/usr/bin/awk"
        touch "$root/complete"
    fi
    printf '%s' "$root/fs"
}

kernel=$1
mkdir -p "$STEER_CACHE/root" "$STEER_REPO/build/kernels"
exec 9>"$STEER_CACHE/root/stock_modules.lock"
flock 9
"$here/stock_kernel.sh" "$kernel"
dir=$(kernel_dir "$kernel")
out=$STEER_REPO/build/kernels/$kernel
# What was compiled for another one is of no use.
if [ "$(readlink "$out/kernel")" != "$dir" ]; then
    rm -rf "$out"
fi
mkdir -p "$out"
ln -sfn "$dir" "$out/kernel"
ln -sfn "$STEER_REPO/include" "$out/include"

in_root=()
if [ "$kernel" = trixie ]; then
    root=$(trixie_root)
    mkdir -p "$root$STEER_REPO" "$root$dir"
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    mount --bind "$STEER_REPO" "$root$STEER_REPO"
    mount --bind "$dir" "$root$dir"
    in_root=(env -i LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/bin chroot "$root")
fi
step "modules for kernel $(basename "$dir"/lib/modules/*)"
for part in kmod tests/kmod/ring_client; do
    mkdir -p "$out/$part"
    cp -ru --preserve=timestamps "$STEER_REPO/$part/." "$out/$part/"
    "${in_root[@]}" make -j"$(nproc)" -C "$dir/build" M="$out/$part" modules
done
