#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh guest|debug: the guests' kernel in the cache, from Debian's linux-source package,
# and the patches and fragments in deploy/kernel. What it leaves below $STEER_CACHE/kernel/KEY-VERSION:
#   bzImage config lib/modules/RELEASE/   what guests boot and load
#   build/ source/                        what kbuild needs for modules of ours
#   complete                              the last file made
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=trixie-backports
WANTED=7.3

# Sets `package` to linux-source-WANTED, or to the newest later one when that is gone.
choose_package() {
    local names newest
    private_apt_update $SUITE deb
    names=$(private_apt $SUITE apt-cache pkgnames linux-source- |
        grep -E '^linux-source-[0-9]+\.[0-9]+$' | sort -V)
    package=linux-source-$WANTED
    if ! grep -qx "$package" <<<"$names"; then
        newest=$(tail -1 <<<"$names")
        if [ "$(printf '%s\n' "$package" "$newest" | sort -V | head -1)" != "$package" ]; then
            die "./dev setup: $SUITE has no $package or later (newest: ${newest:-none})"
        fi
        step "$SUITE has no $package any more: taking $newest"
        package=$newest
    fi
}

# Sets `version` (7.3.4) and unpacks the sources into $work/source.
fetch_source() {
    local deb
    (cd "$work" && private_apt $SUITE apt-get download "$package")
    deb=$(echo "$work"/linux-source-*.deb)
    version=$(dpkg-deb -f "$deb" Version)
    version=${version%%-*}
    step "unpacking $package $version"
    dpkg-deb -x "$deb" "$work/deb"
    mkdir "$work/source"
    tar -C "$work/source" --strip-components=1 -xf "$work/deb/usr/src/$package.tar.xz"
    rm -rf "$work/deb" "$deb"
}

# For smc_module.sh: prune() takes it away.
keep_smc_source() {
    local place
    place=$(smc_source "$version")
    [ ! -e "$place" ] || return 0
    mkdir -p "$work/smc/net" "${place%/*}"
    cp -a "$work/source/net/smc" "$work/smc/net"
    mv "$work/smc" "$place"
}

# Patches without context would fit anywhere: only into the files that they were made for.
apply_patches() {
    local patches=$STEER_REPO/deploy/kernel/patches patch
    if ! (cd "$work/source" && sha256sum --check --quiet "$patches/sums" >/dev/null 2>&1); then
        step "net/smc of $version is not the one that ${patches#"$STEER_REPO/"} is for: left as it is"
        return
    fi
    keep_smc_source
    for patch in "$patches"/*.patch; do
        patch -d "$work/source" -p1 --fuzz=0 --no-backup-if-mismatch -s <"$patch" ||
            die "./dev setup: $(basename "$patch") does not fit kernel $version"
    done
}

# Every option asked for has to be in .config; Kconfig drops silently what it cannot give.
verify_config() {
    local config=$1 fragment line name lost=0
    shift
    for fragment in "$@"; do
        while IFS= read -r line; do
            name=${line%%=*}
            if [ "${line#*=}" = n ]; then
                grep -q "^${name}=" "$config" || continue
            elif grep -qx "$line" "$config"; then
                continue
            fi
            printf './dev setup: %s asks for %s, kernel %s has: %s\n' "$(basename "$fragment")" \
                "$line" "$version" "$(grep -E "^(# )?${name}[= ]" "$config" || echo nothing)" >&2
            lost=1
        done < <(grep -E '^CONFIG_' "$fragment")
    done
    [ $lost = 0 ] || exit 1
}

# Counts kbuild's lines: "n of about m". The rest of the output goes to a log.
show_progress() {
    awk -v total="$1" -v log_file="$2" -v tty="$([ -t 1 ] && echo 1 || echo 0)" '
        { print > log_file }
        /^  (CC|AS|AR|LD|CC \[M\]|LD \[M\]|BTF|HOSTCC|MODPOST|OBJCOPY|BTF \[M\]) / {
            n++
            if (n > total) total = n
            if (tty) printf "\r   kernel: %d of about %d", n, total
            else if (n % 250 == 0) printf "   kernel: %d of about %d\n", n, total
            fflush()
        }
        END { if (tty) printf "\n" }'
}

build() {
    local make fragments total
    mapfile -t fragments < <(kernel_fragments "$flavour")
    make=(make -C "$dir/source" "O=$dir/build")
    mkdir -p "$dir/build"
    cat "${fragments[@]}" >"$dir/build/fragments"
    "${make[@]}" -s "KCONFIG_ALLCONFIG=$dir/build/fragments" allnoconfig >/dev/null
    verify_config "$dir/build/.config" "${fragments[@]}"
    step "building kernel $version ($flavour), $(nproc) CPUs"
    # As many object files as there are sources that were configured in, more or less.
    total=$(grep -c '=[ym]$' "$dir/build/.config")
    total=$((total * 3))
    if ! "${make[@]}" -j"$(($(nproc) + 1))" bzImage modules 2>&1 |
        show_progress $total "$dir/build.log"; then
        tail -n 20 "$dir/build.log" >&2
        die "./dev setup: the kernel does not build: see $dir/build.log"
    fi
    "${make[@]}" -s INSTALL_MOD_PATH="$dir" INSTALL_MOD_STRIP=1 modules_install >/dev/null
    rm -f "$dir"/lib/modules/*/{build,source}
    cp "$dir/build/arch/x86/boot/bzImage" "$dir/bzImage"
    cp "$dir/build/.config" "$dir/config"
}

# prune_files DIRECTORY FIND-EXPRESSION...: removes such files but in scripts and tools.
prune_files() {
    local top=$1
    shift
    find "$top" \( -path "$top/scripts" -o -path "$top/tools" \) -prune -o \
        -type f \( "$@" \) -print0 | xargs -0 -r rm -f
}

# Modules of ours need headers, makefiles, the tools in scripts and tools, and vmlinux for
# its BTF: a tenth of what a build leaves.
prune() {
    strip --strip-debug "$dir/build/vmlinux"
    rm -f "$dir/build"/vmlinux.{o,a,unstripped}
    prune_files "$dir/build" -name '*.o' -o -name '*.a' -o -name '*.ko' -o -name '.*.cmd' \
        -o -name '*.mod' -o -name '*.mod.c'
    rm -rf "$dir/source"/{Documentation,samples,.pc,debian}
    prune_files "$dir/source" -name '*.c' -o -name '*.S' -o -name '*.dts*' -o -name '*.rs'
    rm -rf "$dir/source"/{drivers,sound,fs}/*/
    find "$dir/source" -depth -type d -empty -delete
}

flavour=$1
if [ -n "$(kernel_dir "$flavour")" ]; then
    exit 0
fi
mkdir -p "$STEER_CACHE/kernel"
work=$(mktemp -d "$STEER_CACHE/kernel/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
choose_package
fetch_source
apply_patches
dir=$STEER_CACHE/kernel/$(kernel_key "$flavour")-$version
rm -rf "$dir"
mkdir -p "$dir"
mv "$work/source" "$dir/source"
build
prune
touch "$dir/complete"
step "kernel $version ($flavour) is ready"
