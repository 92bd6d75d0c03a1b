# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the setup scripts and ./dev share: where the caches are and what they are keyed by.

STEER_REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STEER_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/smc-steer

# Progress goes to standard error: standard output is for results.
step() {
    printf '== %s\n' "$*" >&2
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Twelve digits that change when any of the files does.
hash_of() {
    cat "$@" | sha256sum | cut -c1-12
}

# Counted up when cmake/setup/kernel.sh makes something else of the same fragments.
KERNEL_RECIPE=2

# Fragments of a kernel flavour (guest or debug), in the order they apply in.
kernel_fragments() {
    local dir=$STEER_REPO/deploy/kernel
    printf '%s\n' "$dir/smc-steer.config" "$dir/guest.config"
    if [ "$1" = debug ]; then
        printf '%s\n' "$dir/debug.config"
    fi
}

# kernel_key FLAVOUR: FLAVOUR-<hash of what the kernel is made from, but for its version>;
# flavours are guest and debug, and of Debian's own kernels stock (6.1), 6.12 and trixie.
kernel_key() {
    local fragments
    case $1 in
    stock | 6.12 | trixie)
        printf '%s-%s' "${1/#[6t]/debian-&}" \
            "$(hash_of "$STEER_REPO"/cmake/setup/{stock_kernel,private_apt}.sh \
                "$STEER_REPO/tests/vm/guest/initramfs")"
        return
        ;;
    esac
    mapfile -t fragments < <(kernel_fragments "$1")
    # Modules are loaded into what they were compiled for: the compiler counts too.
    printf '%s-%s' "$1" "$(hash_of "${fragments[@]}" "$STEER_REPO"/deploy/kernel/patches/{*.patch,sums} \
        <(echo "$KERNEL_RECIPE"; gcc --version 2>/dev/null))"
}

# kernel_dir FLAVOUR: directory of the finished kernel, newest version first; nothing if none.
kernel_dir() {
    local dir
    for dir in $(printf '%s\n' "$STEER_CACHE/kernel/$(kernel_key "$1")"-* | sort -rV); do
        if [ -e "$dir/complete" ]; then
            printf '%s' "$dir"
            return
        fi
    done
}

# smc_source VERSION: where net/smc of that kernel is kept, as it came.
smc_source() {
    printf '%s' "$STEER_CACHE/smc/source-$1-$(hash_of "$STEER_REPO/deploy/kernel/patches/sums")"
}

# What containers.sh makes, finished or not.
containers_place() {
    printf '%s' "$STEER_CACHE/containers-$(hash_of "$STEER_REPO/cmake/setup/containers.sh")"
}

# The same if it is finished; nothing if not.
containers_dir() {
    if [ -e "$(containers_place)/complete" ]; then
        containers_place
    fi
}

# What cluster.sh makes, finished or not.
cluster_place() {
    printf '%s' "$STEER_CACHE/cluster-$(hash_of "$STEER_REPO/cmake/setup/cluster.sh")"
}

# The same if it is finished; nothing if not.
cluster_dir() {
    if [ -e "$(cluster_place)/complete" ]; then
        cluster_place
    fi
}

# kernel_build FLAVOUR: what kbuild makes modules for that kernel with; nothing if it is not there.
kernel_build() {
    local dir
    dir=$(kernel_dir "$1")
    [ -z "$dir" ] || printf '%s/build' "$dir"
}

# Directory of the newest finished headers that the driver refuses; nothing if none.
refused_headers() {
    local dir key
    key=$(hash_of "$STEER_REPO"/cmake/setup/{refused_headers,private_apt}.sh)
    for dir in $(printf '%s\n' "$STEER_CACHE/refused/$key"-* | sort -rV); do
        if [ -e "$dir/complete" ]; then
            printf '%s' "$dir"
            return
        fi
    done
}

# Prefix of the newest finished libbpf; nothing if none.
libbpf_prefix() {
    local dir
    for dir in $(printf '%s\n' "$STEER_CACHE"/libbpf/* | sort -rV); do
        if [ -e "$dir/complete" ]; then
            printf '%s' "$dir"
            return
        fi
    done
}

# Directory of what cmake/setup/npm.sh installs.
npm_dir() {
    printf '%s' "$STEER_CACHE/npm-$(hash_of "$STEER_REPO/cmake/setup/npm/package-lock.json" \
        "$STEER_REPO/cmake/setup/npm.sh")"
}
