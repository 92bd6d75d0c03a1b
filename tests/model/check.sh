#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the models with spin, and that each finds an error when a barrier is taken out.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# errors MODEL [-DMACRO]: number of errors of an exhaustive search
errors() {
    local out
    cp "$here"/*.pml "$here"/tso.inc "$work"
    cd "$work"
    spin -a "${@:2}" "$1.pml" >/dev/null
    gcc -O2 -DSAFETY -w -o pan pan.c
    out=$(./pan -m100000)
    if grep -qE 'search depth too small|Search not completed' <<<"$out" &&
        ! grep -qE 'errors: [1-9]' <<<"$out"; then
        echo "$1: the search was not exhaustive" >&2
        exit 1
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p' <<<"$out"
}

failed=0
expect() { # expect MODEL (right|wrong) [-DMACRO]
    local found
    found=$(errors "$1" "${@:3}")
    if { [ "$2" = right ] && [ "$found" = 0 ]; } || { [ "$2" = wrong ] && [ "$found" != 0 ]; }; then
        echo "model $1 ${*:3}: $2, as it should be"
    else
        echo "model $1 ${*:3}: $found errors, expected it to be $2" >&2
        failed=1
    fi
}

expect notify right
expect notify wrong -DNO_PRODUCER_BARRIER
expect notify wrong -DNO_RECEIVER_BARRIER
expect claim right
expect claim wrong -DNO_OWNER_BARRIER
expect claim wrong -DNO_WRITER_BARRIER
exit $failed
