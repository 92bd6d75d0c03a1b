#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building and testing need: what is missing, no more.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
    # compilers and what checks the sources
    build-essential cmake ninja-build pkgconf clang clang-14 libclang-rt-14-dev llvm-14
    clang-format-14 clang-tidy-14
    clang-format clang-tidy shellcheck git spin
    # libraries
    libcli11-dev libcpp-httplib-dev libexpected-dev libfmt-dev libgmock-dev libgtest-dev libkainjow-mustache-dev
    libmicrohttpd-dev libmnl-dev libspdlog-dev
    libsystemd-dev libyaml-cpp-dev nlohmann-json3-dev libelf-dev zlib1g-dev
    libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
    # kernel and libbpf
    # (gcc-12: what modules for Debian 12's own kernel are compiled with, its headers say)
    bc bison bpftool cpio dpkg-dev flex gcc-12 kmod libssl-dev pahole perl python3 xz-utils
    debian-archive-keyring
    # tests of policy files and completions
    man-db python3-jsonschema python3-yaml zsh
    # guests
    iperf3 iproute2 mount nftables procps qemu-system-x86 socat sockperf systemd tcpdump
    util-linux
    # containers in guests; what would start daemons here is left to containers.sh
    busybox-static iptables redis-tools
    # packages, and the clean root file systems they are tried in
    debhelper dh-dkms lintian mmdebstrap
    # what the examples in deploy/ are checked with
    libvirt-clients
    # the status page in a browser; the image, and a container of it
    chromium fonts-dejavu-core golang-github-containers-common openssl runc umoci
)

# The names above are Debian 12's. Debian 13 has others for these, or none where only that version
# would do: cmake/setup/check.sh leaves out what it is for.
declare -A renamed=()
# shellcheck source=/dev/null
case $(. /etc/os-release && echo "${VERSION_CODENAME-}") in
bookworm) ;;
*)
    renamed=([libclang-rt-14-dev]=libclang-rt-19-dev [llvm-14]=llvm-19
        [clang-14]='' [clang-format-14]='' [clang-tidy-14]='')
    ;;
esac

# Other sources of Node.js have npm in the package nodejs, which Debian's npm does not go with.
command -v npm >/dev/null || packages+=(npm)

missing=()
for package in "${packages[@]}"; do
    package=${renamed[$package]-$package}
    [ -n "$package" ] || continue
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$status" != installed ]; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    die "./dev setup: packages are missing, and only root can install them: apt-get install ${missing[*]}"
fi
step "installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends "${missing[@]}"
