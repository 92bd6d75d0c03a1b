#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh BINARIES OUTPUT VERSION: the OCI image of the agent, without a daemon, without a network
# and without a base image. BINARIES is a build's agent/ directory. In OUTPUT afterwards:
#   oci/                           OCI layout
#   smc-steer-VERSION.oci.tar      the same as one file, for 'ctr images import' and 'skopeo copy'
#   rootfs.tar                     for deploy/image/Containerfile
# The same binaries and libraries make the same image, to the byte: times are SOURCE_DATE_EPOCH, by
# default those of the last commit.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../cmake/setup/common.sh"

binaries=$1
output=$2
version=$3
programs=(smc-agent smc-policy smc-device-plugin smc-node-label)
containerfile=$STEER_REPO/deploy/image/Containerfile

epoch=${SOURCE_DATE_EPOCH:-$(git -C "$STEER_REPO" log -1 --format=%ct 2>/dev/null || echo 0)}
created=$(date --utc --date "@$epoch" +%Y-%m-%dT%H:%M:%SZ)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/rootfs

# Of every program, what the loader would load, and the loader itself.
libraries() {
    local text
    for program; do
        text=$(ldd "$program")
        case $text in *'not found'*) die "./dev image: $program: $(grep 'not found' <<<"$text")" ;; esac
        awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' <<<"$text"
    done | sort -u
}

# The package a file is of; dpkg knows files of /lib by that name, also where it is a link to usr/lib.
owner() {
    local text
    text=$(dpkg-query -S "$1" 2>/dev/null || dpkg-query -S "${1#/usr}" 2>/dev/null) ||
        die "./dev image: no package has $1"
    printf '%s' "${text%%: /*}"
}

fill_root() {
    local program library package
    local -A packages=()
    mkdir -p "$root"/{dev,etc/smc-steer,proc,run,sys,tmp,usr/sbin,usr/bin,usr/lib,usr/lib64,var/lib/dpkg/status.d}
    ln -s usr/lib "$root/lib"
    ln -s usr/lib64 "$root/lib64"
    for program in "${programs[@]}"; do
        install -m 755 "$binaries/$program" "$root/usr/sbin/"
        strip "$root/usr/sbin/$program"
    done
    for library in $(libraries "${programs[@]/#/$binaries/}"); do
        # Debian's /lib is a link to usr/lib, here as well.
        install -D -m 755 "$(readlink -f "$library")" "$root/usr/${library#/}"
        package=$(owner "$(readlink -f "$library")")
        packages[$package]=1
    done
    find "$root/usr" -path "*/usr/*" -type d -empty -delete
    # Licences, and what scanners of images look for.
    for package in "${!packages[@]}"; do
        install -D -m 644 "/usr/share/doc/${package%%:*}/copyright" \
            "$root/usr/share/doc/${package%%:*}/copyright"
        dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/${package%%:*}"
    done
    install -D -m 644 "$STEER_REPO/LICENSE" "$root/usr/share/doc/smc-steer/copyright"
    printf 'root:x:0:0:root:/:/nonexistent\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    printf 'ID=smc-steer\nNAME="smc-steer"\nVERSION_ID="%s"\n' "$version" >"$root/etc/os-release"
    chmod 1777 "$root/tmp"
}

pack() { # pack ARCHIVE DIRECTORY NAME...
    local archive=$1 directory=$2
    shift 2
    tar --create --file "$archive" --directory "$directory" --sort=name --mtime="@$epoch" \
        --owner=0 --group=0 --numeric-owner --format=pax \
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime "$@"
}

# Words of an instruction of the Containerfile.
instruction() {
    sed -n "s/^$1 //p" "$containerfile"
}

configure() {
    local line words=()
    while IFS= read -r line; do
        words+=(--config.label "$(tr -d '"' <<<"$line")")
    done < <(instruction LABEL)
    while IFS= read -r line; do
        words+=(--config.entrypoint "$line")
    done < <(instruction ENTRYPOINT | tr -d '[]"' | tr ',' '\n' | sed 's/^ *//')
    umoci config --image "$work/oci:$version" --created "$created" --history.created "$created" \
        --history.created_by "./dev image" --os linux --architecture "$(dpkg --print-architecture)" \
        --config.env "$(instruction ENV)" --config.stopsignal "$(instruction STOPSIGNAL)" \
        --config.label "org.opencontainers.image.version=$version" "${words[@]}"
}

# 'ctr images import' wants a whole name, others the tag.
name_it() {
    python3 - "$work/oci/index.json" "$version" <<'EOF'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
index = json.loads(path.read_text())
(image,) = index["manifests"]
image["annotations"]["io.containerd.image.name"] = f"localhost/smc-steer:{sys.argv[2]}"
path.write_text(json.dumps(index, sort_keys=True))
EOF
}

# The least of nine, of programs the machine has read already: milliseconds.
milliseconds() {
    python3 - "$@" <<'EOF'
import subprocess, sys, time
def once():
    began = time.monotonic()
    subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
print(f"{min(once() for _ in range(9)) * 1000:.1f}")
EOF
}

in_root() {
    if [ "$(id -u)" = 0 ]; then printf 'chroot %s\n' "$root"; else
        printf 'unshare --map-root-user --root=%s\n' "$root"
    fi
}

fill_root
pack "$work/rootfs.tar" "$root" .
umoci init --layout "$work/oci"
umoci new --image "$work/oci:$version"
umoci raw add-layer --image "$work/oci:$version" --history.created "$created" \
    --history.created_by "ADD rootfs.tar /" "$work/rootfs.tar"
configure
umoci gc --layout "$work/oci"
name_it
pack "$work/smc-steer-$version.oci.tar" "$work/oci" blobs index.json oci-layout

mkdir -p "$output"
rm -rf "$output/oci"
cp -r "$work/oci" "$output/oci"
mv "$work/rootfs.tar" "$work/smc-steer-$version.oci.tar" "$output/"

blobs=$(find "$work/oci/blobs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
read -ra run < <(in_root)
printf 'image         localhost/smc-steer:%s in %s\n' "$version" "$output"
printf 'size          %s compressed, %s unpacked, %s libraries\n' \
    "$(numfmt --to=iec-i --suffix=B "$blobs")" \
    "$(numfmt --to=iec-i --suffix=B "$(du --bytes --summarize "$root" | cut -f1)")" \
    "$(find "$root/usr/lib" "$root/usr/lib64" -name '*.so*' | wc -l)"
printf 'digest        %s\n' "$(python3 -c 'import json,sys
print(json.load(open(sys.argv[1]))["manifests"][0]["digest"])' "$work/oci/index.json")"
printf 'start         smc-agent --version %s ms, smc-agent --check %s ms, smc-policy --version %s ms\n' \
    "$(milliseconds "${run[@]}" /usr/sbin/smc-agent --version)" \
    "$(milliseconds "${run[@]}" /usr/sbin/smc-agent --check)" \
    "$(milliseconds "${run[@]}" /usr/sbin/smc-policy --version)"
