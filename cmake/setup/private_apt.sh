# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# apt with sources, lists, cache and state of its own: this machine's configuration stays untouched, and
# what is installed, pinned or preferred on this machine decides nothing. (With the machine's own status,
# a package that came from a security update would be the candidate, and nothing could download it.)

# The mirror this machine takes Debian from.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016 # apt's variable, not the shell's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
        grep -v -e security -e debug | head -1)
    [ -n "$mirror" ] || die "./dev setup: apt knows no Debian mirror: look at /etc/apt/sources.list"
    printf '%s' "$mirror"
}

# private_apt SUITE TOOL ARGUMENTS...: apt-get or apt-cache that see SUITE only
private_apt() {
    local suite=$1 tool=$2 base=$STEER_CACHE/apt/$1
    shift 2
    mkdir -p "$base/state/lists/partial" "$base/cache/archives/partial"
    touch "$base/state/status"
    "$tool" -q \
        -o "Dir::Etc::sourcelist=$base/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Default-Release= \
        -o "Dir::State=$base/state" -o "Dir::State::status=$base/state/status" \
        -o "Dir::Cache=$base/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

# private_apt_update SUITE deb|deb-src
private_apt_update() {
    local suite=$1 kind=$2 base=$STEER_CACHE/apt/$1 keys=/usr/share/keyrings
    mkdir -p "$base"
    printf '%s [signed-by=%s] %s %s main\n' "$kind" \
        "$keys/debian-archive-keyring.gpg" "$(debian_mirror)" "$suite" >"$base/sources.list"
    private_apt "$suite" apt-get update ||
        die "./dev setup: cannot read $suite from $(debian_mirror): is the mirror reachable?"
}

# private_apt_depends SUITE PACKAGE PATTERN: the packages it depends on that match
private_apt_depends() {
    private_apt "$1" apt-cache depends "$2" | awk -v pattern="$3" \
        '$1 == "Depends:" && $2 ~ pattern { print $2 }'
}

# private_apt_unpack SUITE PACKAGE DIRECTORY
private_apt_unpack() {
    local work
    work=$(mktemp -d "$STEER_CACHE/apt/unpack.XXXXXX")
    (cd "$work" && private_apt "$1" apt-get download "$2")
    mkdir -p "$3"
    dpkg-deb -x "$work"/*.deb "$3"
    rm -rf "$work"
}

# take_headers SUITE PACKAGE DIRECTORY: Debian's kernel headers as they are, but that its packages find
# each other in DIRECTORY/headers and not in /usr; DIRECTORY/build is what kbuild is given.
take_headers() {
    local suite=$1 package=$2 dir=$3 common other
    common=$(private_apt_depends "$suite" "$package" '^linux-headers-.*-common$')
    [ -n "$common" ] || die "./dev setup: $suite has no $package"
    for other in "$package" "$common" \
        $(private_apt_depends "$suite" "$package" '^linux-kbuild-'); do
        private_apt_unpack "$suite" "$other" "$dir/headers"
    done
    # Evaluated where it stands: later on the last word is another one.
    # shellcheck disable=SC2016 # make's functions
    sed -i -e 's|^KBUILD_OUTPUT=|KBUILD_OUTPUT := |' \
        -e 's|/usr/src/|$(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)/|' \
        "$dir/headers/usr/src/$package/Makefile"
    ln -s "headers/usr/src/$package" "$dir/build"
}
