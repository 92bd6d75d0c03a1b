#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# render.sh [HELM FLAG...]: the plain manifests, from the chart. Without flags, what
# deploy/kubernetes/smc-steer.yaml holds:
#   deploy/kubernetes/render.sh >deploy/kubernetes/smc-steer.yaml
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../cmake/setup/common.sh"

cat <<'EOF'
# SPDX-License-Identifier: Apache-2.0
# Made by deploy/kubernetes/render.sh from the chart beside it; a test compares.
---
apiVersion: v1
kind: Namespace
metadata:
  name: smc-steer
  labels:
    # The agent is in the node's network namespace and mounts files of the node.
    pod-security.kubernetes.io/enforce: privileged
EOF
"$(npm_dir)/helm" template smc-steer "$STEER_REPO/deploy/kubernetes/chart" \
    --namespace smc-steer "$@"
