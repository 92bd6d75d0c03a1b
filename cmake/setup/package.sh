#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# package.sh BUILD OUTPUT: Debian packages of what BUILD (a release build) has, in OUTPUT; says where
# they are on standard output. The tree they are made in is put together anew each time, of files git
# knows; dates are those of the last commit, so that the same commit gives the same packages.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build=$1
output=$2
version=$(sed -n 's/^#define STEER_VERSION "\(.*\)"/\1/p' "$STEER_REPO/include/smc_steer/version.h")
work=$STEER_REPO/build/package
tree=$work/smc-steer-$version
log=$work/package.log

# Time of the last commit; of a tree without git, of its changelog.
commit_time() {
    git -C "$STEER_REPO" log -1 --format=%ct 2>/dev/null ||
        stat -c %Y "$STEER_REPO/CHANGELOG.md"
}

commit_name() {
    git -C "$STEER_REPO" describe --always --dirty 2>/dev/null || echo "a tree without git"
}

assemble() {
    rm -rf "$work"
    mkdir -p "$tree"
    # From git, so that nothing a person left lying about gets in; as it is in the work tree.
    (cd "$STEER_REPO" && {
        git ls-files -z --cached --others --exclude-standard -- CHANGELOG.md deploy docs include kmod \
            2>/dev/null || find CHANGELOG.md deploy docs include kmod -type f -print0
    } | tar --create --null --files-from=- --ignore-failed-read) | tar -C "$tree" --extract
    mv "$tree/deploy/debian" "$tree/debian"
    mkdir "$tree/debian/source"
    echo '3.0 (native)' >"$tree/debian/source/format"
    cat >"$tree/debian/changelog" <<EOF
smc-steer ($version) unstable; urgency=medium

  * Made of $(commit_name). What changed is in CHANGELOG.md.

 -- smc-steer project <smc-steer@localhost.localdomain>  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
EOF
}

package() {
    # Without debug symbols in packages of their own: the programs have none.
    (cd "$tree" && STEER_BUILD=$build DEB_BUILD_OPTIONS="noautodbgsym nocheck" \
        dpkg-buildpackage --build=binary --no-sign) >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2 && die "./dev package: dpkg-buildpackage failed (${log#"$STEER_REPO/"})"; }
}

SOURCE_DATE_EPOCH=$(commit_time)
export SOURCE_DATE_EPOCH
step "packaging smc-steer $version"
assemble
package
step "looking at the packages with lintian"
# The project has no address for mail.
lintian --allow-root --fail-on error,warning --tag-display-limit 0 \
    --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog "$work"/*.changes >&2 || die "./dev package: lintian found the above"
mkdir -p "$output"
for deb in "$work"/*.deb; do
    mv "$deb" "$output/"
    printf '%s\n' "$output/$(basename "$deb")"
done
