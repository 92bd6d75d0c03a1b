#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# apt.sh [--list|--update] PART...: installs the Debian packages that these parts need: what is missing, no
# more. --list prints their names instead, --update only reads the package lists anew that the next call then
# installs from. A part is what some commands of ./dev do.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

declare -A packages=(
    # the programs of this repository; what caches are taken from Debian with. gcc-12: what modules for
    # Debian 12's own kernel are compiled with, its headers say.
    [compile]="build-essential ccache cmake ninja-build pkgconf clang clang-14 git bpftool
        gcc-12 libcli11-dev libcpp-httplib-dev libexpected-dev libfmt-dev libgmock-dev libgtest-dev
        libkainjow-mustache-dev libmicrohttpd-dev libmnl-dev libspdlog-dev libsystemd-dev
        libyaml-cpp-dev nlohmann-json3-dev libelf-dev zlib1g-dev
        libgrpc++-dev libssl-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
        cpio debian-archive-keyring dpkg-dev kmod python3 xz-utils"
    # the guests' kernel
    [kernel]="bc bison flex libssl-dev pahole perl"
    # a lab, and what ./dev demo measures with
    [guests]="iperf3 iproute2 mount procps qemu-system-x86 sockperf util-linux"
    # the rest of what tests use. What would start daemons here is left to containers.sh.
    [tests]="busybox-static chromium fonts-dejavu-core golang-github-containers-common iptables
        libvirt-clients man-db mmdebstrap nftables openssl pahole python3-jsonschema python3-yaml
        redis-tools runc socat systemd tcpdump zsh"
    [package]="debhelper dh-dkms lintian"
    [image]="umoci"
    # Kubernetes, for the cases with label cluster: what it is compiled with
    [cluster]="golang-1.19-go make rsync"
    # what looks at the sources
    [check]="clang-format clang-format-14 clang-tidy clang-tidy-14 libclang-rt-14-dev llvm-14
        shellcheck spin"
)

# The names above are Debian 12's. Debian 13 has others for these, or none where only that version
# would do: cmake/setup/check.sh leaves out what it is for.
declare -A renamed=()
# shellcheck source=/dev/null
case $(. /etc/os-release && echo "${VERSION_CODENAME-}") in
bookworm) ;;
*)
    renamed=([libclang-rt-14-dev]=libclang-rt-19-dev [llvm-14]=llvm-19
        [clang-14]='' [clang-format-14]='' [clang-tidy-14]='' [golang-1.19-go]='')
    ;;
esac

action=install
case ${1-} in
--list | --update)
    action=${1#--}
    shift
    ;;
esac
wanted=()
for part; do
    [ -n "${packages[$part]-}" ] || die "apt.sh: no part '$part': there are ${!packages[*]}"
    for package in ${packages[$part]}; do
        package=${renamed[$package]-$package}
        [ -z "$package" ] || wanted+=("$package")
    done
    # Other sources of Node.js have npm in the package nodejs, which Debian's npm does not go with.
    if [ "$part" = tests ] && ! command -v npm >/dev/null; then
        wanted+=(npm)
    fi
done
if [ "$action" = list ]; then
    printf '%s\n' "${wanted[@]}" | sort -u
    exit 0
fi

# dpkg-query fails for names it does not know, after it has told of the others.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
    sed -n 's/^installed //p' | sort -u || true)
mapfile -t missing < <(printf '%s\n' "${wanted[@]}" | sort -u | comm -23 - <(printf '%s\n' "$installed"))
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    die "./dev setup: packages are missing, and only root can install them: apt-get install ${missing[*]}"
fi
log=$STEER_CACHE/apt-get.log
export DEBIAN_FRONTEND=noninteractive
logged() {
    "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2 && die "./dev setup: apt-get failed (above; all of it: $log)"; }
}
if [ "$action" = update ]; then
    logged apt-get -q update
    exit 0
fi
step "installing ${#missing[@]} Debian packages: a minute or two"
logged apt-get -q -y install --no-install-recommends "${missing[@]}"
