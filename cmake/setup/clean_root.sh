#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Debian 12 root file system that has never seen this project, in the cache: what packages are tried
# in (tests/vm/harness/clean.py). Prints its directory. As a machine comes out of an installer: what
# our packages depend on is there, so that guests without a network can install them.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=bookworm
PACKAGES=(
    systemd systemd-sysv udev dbus kmod iproute2 procps
    # what ivpci-dkms and the kernel's build tree want
    dkms libelf1 pahole
    # what smc-steer and ivpci-broker are linked with
    libfmt9 libmicrohttpd12 libmnl0 libspdlog1.10 libsystemd0 libyaml-cpp0.7 zlib1g
    # the tests' own programs in the guest
    python3
)

# The script is the recipe: the list above, and how it is made.
root=$STEER_CACHE/root/$SUITE-$(hash_of "${BASH_SOURCE[0]}")
mkdir -p "$STEER_CACHE/root"
exec 9>"$STEER_CACHE/root/lock"
flock 9
if [ ! -e "$root/complete" ]; then
    step "making a clean root file system ($SUITE)"
    work=$(mktemp -d "$STEER_CACHE/root/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    include=$(IFS=, && echo "${PACKAGES[*]}")
    # dpkg in a guest need not wait for a disk either.
    mmdebstrap --quiet --mode=root --variant=minbase --include="$include" \
        --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$SUITE" "$work/fs" "deb $(debian_mirror) $SUITE main" >&2 ||
        die "./dev test: no clean root file system: mmdebstrap failed (above)"
    # Tests have no network, and no name of this machine.
    : >"$work/fs/etc/machine-id"
    rm -f "$work/fs/etc/hostname" "$work/fs/etc/resolv.conf"
    rm -rf "$root"
    mkdir "$root"
    mv "$work/fs" "$root/fs"
    touch "$root/complete"
fi
printf '%s\n' "$root/fs"
