#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# stock_kernel.sh [--fetch] [KERNEL]: one of Debian's own kernels in the cache, for guests as most people have
# them: no DIBS, no smc_hs_ctrl, everything a module. KERNEL is stock (Debian 12's 6.1), 6.12 (its backports) or
# trixie (the newest of Debian 13's backports, without SMC). --fetch: only what needs nothing but dpkg and apt, for
# the next call. What it leaves below $STEER_CACHE/kernel/KEY-RELEASE:
#   bzImage lib/modules/RELEASE/   as cmake/setup/kernel.sh does, of the modules the named ones
#   build/ headers/                what kbuild needs for modules of ours: Debian's headers packages
#   initrd                         takes such a guest as far as its root file system
#   complete                       the last file made
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

fetch_only=0
if [ "${1-}" = --fetch ]; then
    fetch_only=1
    shift
fi
KERNEL=${1-stock}
META=linux-image-amd64 # linux-image-cloud-amd64 has no 9p, which is how guests get their files
SMC=(smc smc_diag)
# What kube-proxy's rules are made of, by iptables.
PROXY=(nft_compat nft_chain_nat ipt_REJECT ip6t_REJECT xt_MASQUERADE xt_addrtype xt_comment xt_conntrack xt_mark
    xt_multiport xt_nat xt_recent xt_statistic xt_tcpudp)
MORE=()
case $KERNEL in
stock) SUITE=bookworm MORE=("${PROXY[@]}") ;;
6.12) SUITE=bookworm-backports ;;
trixie) SUITE=trixie-backports SMC=() ;;
*) die "stock_kernel.sh: there is no '$KERNEL': there are stock, 6.12, trixie" ;;
esac

# In the order they are loaded in, before there is a root file system.
BOOT_MODULES=(virtio_pci 9pnet_virtio 9p overlay virtio_net virtio_console virtio_rng)
# For what runs in the guest.
MODULES=("${BOOT_MODULES[@]}" "${SMC[@]}" tcp_diag veth sch_ingress cls_bpf nf_tables "${MORE[@]}")

# download SUITE PACKAGE: unpacked into $work/root
download() {
    private_apt_unpack "$1" "$2" "$work/root"
}

# fetch PACKAGE: all that is taken from Debian. Newer kernels come in several packages.
fetch() {
    local package=$1 release=${1#linux-image-}
    step "taking Debian's own kernel $release"
    download "$SUITE" "$package"
    for package in $(private_apt_depends "$SUITE" "$package" '^linux-(base|binary|modules)-[0-9]'); do
        download "$SUITE" "$package"
    done
    take_headers "$SUITE" "linux-headers-$release" "$work/kernel"
    private_apt_update bookworm deb
    download bookworm busybox-static
    printf '%s' "$release" >"$work/fetched"
}

# Newer ones have their files where /usr is merged, and modules compressed.
unpack_modules() {
    if [ ! -e "$work/root/lib/modules" ]; then
        mkdir -p "$work/root/lib"
        ln -s ../usr/lib/modules "$work/root/lib/modules"
    fi
    find "$work/root/lib/modules/" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P "$(nproc)" unxz
    depmod -b "$work/root" "$release"
}

# list_files LIST MODULE...: files of these modules and of what they need, those first; what
# is built in has none.
list_files() {
    local list=$1 module
    shift
    for module; do
        modprobe --dirname "$work/root" --set-version "$release" --show-depends "$module" ||
            die "./dev setup: kernel $release has no module $module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$list"
}

install_modules() {
    local from=$work/root/lib/modules/$release to=$dir/lib/modules/$release file
    mkdir -p "$to"
    cp "$from"/modules.{builtin,builtin.modinfo,order} "$to"
    list_files "$work/modules" "${MODULES[@]}"
    while IFS= read -r file; do
        install -D -m 0644 "$file" "$to/${file#"$from/"}"
    done <"$work/modules"
    depmod -b "$dir" "$release"
}

make_initrd() {
    local tree=$work/initrd file
    mkdir -p "$tree"/{bin,dev,modules,new}
    list_files "$work/boot_modules" "${BOOT_MODULES[@]}"
    cp "$work/root/bin/busybox" "$tree/bin/"
    install -m 0755 "$STEER_REPO/tests/vm/guest/initramfs" "$tree/init"
    while IFS= read -r file; do
        cp "$file" "$tree/modules/"
        basename "$file" >>"$tree/modules/order"
    done <"$work/boot_modules"
    (cd "$tree" && find . | cpio --quiet -o -H newc) >"$dir/initrd"
}

if [ -n "$(kernel_dir "$KERNEL")" ]; then
    exit 0
fi
work=$STEER_CACHE/kernel/fetched-$(kernel_key "$KERNEL")
if [ ! -e "$work/fetched" ]; then
    rm -rf "$work"
    mkdir -p "$work/kernel"
    private_apt_update "$SUITE" deb
    package=$(private_apt_depends "$SUITE" $META '^linux-image-[0-9]' | head -1)
    [ -n "$package" ] || die "./dev setup: $SUITE has no $META"
    fetch "$package"
fi
[ $fetch_only = 0 ] || exit 0
trap 'rm -rf "$work"' EXIT
release=$(cat "$work/fetched")
dir=$work/kernel
unpack_modules
for image in "$work/root/boot/vmlinuz-$release" "$work/root/lib/modules/$release/vmlinuz"; do
    [ ! -e "$image" ] || cp "$image" "$dir/bzImage"
done
install_modules
make_initrd
touch "$dir/complete"
rm -rf "${STEER_CACHE:?}/kernel/$(kernel_key "$KERNEL")-$release"
mv "$dir" "$STEER_CACHE/kernel/$(kernel_key "$KERNEL")-$release"
