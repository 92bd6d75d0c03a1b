# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# apt with sources, lists and cache of its own: this machine's configuration stays untouched.

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
    "$tool" -q \
        -o "Dir::Etc::sourcelist=$base/sources.list" -o Dir::Etc::sourceparts=- \
        -o "Dir::State=$base/state" -o "Dir::Cache=$base/cache" \
        -o Dir::State::status=/var/lib/dpkg/status -o APT::Sandbox::User=root \
        -o Acquire::Languages=none "$@"
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
