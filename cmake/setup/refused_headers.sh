#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Headers of a kernel the driver refuses to be built for (6.12, as Debian 13 has it), for the test that
# it does so with a reason. Leaves $STEER_CACHE/refused/KEY-RELEASE with build/ and complete.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=bookworm-backports # its tools run on Debian 12

if [ -n "$(refused_headers)" ]; then
    exit 0
fi
mkdir -p "$STEER_CACHE/refused"
work=$(mktemp -d "$STEER_CACHE/refused/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
private_apt_update $SUITE deb
package=$(private_apt $SUITE apt-cache pkgnames linux-headers-6.12. |
    grep -E '^linux-headers-6\.12\.[0-9]+\+deb[0-9+]+-amd64$' | sort -V | tail -1 || true)
if [ -z "$package" ]; then
    step "$SUITE has no headers of a kernel 6.12 any more: the test that they are refused will fail"
    exit 0
fi
release=${package#linux-headers-}
step "taking the headers of kernel $release, to see them refused"
dir=$STEER_CACHE/refused/$(hash_of "${BASH_SOURCE[0]}" "$here/private_apt.sh")-$release
rm -rf "$dir"
mkdir -p "$dir"
take_headers $SUITE "$package" "$dir"
touch "$dir/complete"
