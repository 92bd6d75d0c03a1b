#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# containerd, CNI plugins, and servers and a Java for the guests, unpacked in the cache and not installed: their
# packages would start daemons on this machine, and start them again at its next boot. Guests see
# them where they are.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=bookworm
PACKAGES=(containerd containernetworking-plugins nginx postgresql-15 postgresql-client-15 libpq5
    memcached libevent-2.1-7 libmemcached-tools libmemcached11 libhashkit2
    etcd-server etcd-client openjdk-17-jre-headless)

if [ -n "$(containers_dir)" ]; then
    exit 0
fi
step "taking ${PACKAGES[*]} for the guests"
work=$(mktemp -d "$STEER_CACHE/containers-new.XXXXXX")
trap 'rm -rf "$work"' EXIT
private_apt_update $SUITE deb
for package in "${PACKAGES[@]}"; do
    (cd "$work" && private_apt $SUITE apt-get download "$package")
    dpkg-deb -x "$work/$package"_*.deb "$work/root"
done
dir=$(containers_place)
mkdir -p "$dir"
mv "$work/root" "$dir/root"
touch "$dir/complete"
