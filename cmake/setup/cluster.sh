#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Kubernetes for the cases with label `cluster`: Debian 12's source package, compiled with Debian's Go, and
# its etcd, unpacked and not installed. No release of this decade is to be had as source here; this one is a
# kubelet, an API server and a scheduler that nobody here wrote. Into $STEER_CACHE/cluster-KEY:
#   kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy   static programs
#   etcd                                                                       of etcd-server
#   complete                                                                   the last file made
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=cmake/setup/common.sh
. "$here/common.sh"
# shellcheck source=cmake/setup/private_apt.sh
. "$here/private_apt.sh"

SUITE=bookworm
PROGRAMS=(kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy)
GO=/usr/lib/go-1.19/bin

# The version that the source was exported at is in its own scripts: `make` puts it into the programs.
build() {
    local log=$1
    PATH=$GO:$PATH HOME=$work CGO_ENABLED=0 GOLDFLAGS='-s -w' GOCACHE=$work/go-cache \
        make -C "$work/source" WHAT="${PROGRAMS[*]/#/cmd/}" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2 && die "./dev setup: Kubernetes cannot be compiled (above; all of it: $log)"; }
}

if [ -n "$(cluster_dir)" ]; then
    exit 0
fi
[ -x $GO/go ] || die "./dev setup: Kubernetes is compiled with Debian 12's Go, which this machine does not have"
work=$(mktemp -d "$STEER_CACHE/cluster-new.XXXXXX")
trap 'rm -rf "$work"' EXIT
private_apt_update $SUITE deb-src
step "taking the source of Kubernetes"
(cd "$work" && private_apt $SUITE apt-get source --download-only kubernetes)
# apt has looked at its signatures.
dpkg-source --no-check --extract "$work"/kubernetes_*.dsc "$work/source" >/dev/null
private_apt_update $SUITE deb
private_apt_unpack $SUITE etcd-server "$work/etcd"
dir=$(cluster_place)
rm -rf "$dir"
mkdir -p "$dir"
step "compiling Kubernetes, once: about $((24 / $(nproc) + 1)) minutes on $(nproc) CPUs"
build "$dir/build.log"
for program in "${PROGRAMS[@]}"; do
    install -m 755 "$work/source/_output/bin/$program" "$dir/"
done
install -m 755 "$work/etcd/usr/bin/etcd" "$dir/"
touch "$dir/complete"
