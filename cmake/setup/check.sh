#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# check.sh format|tidy|shell|python|model|fmt...: one kind of look at the sources each; says what it
# does and fails with what it found.
set -euo pipefail
# shellcheck source=cmake/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$STEER_REPO"

# Files git knows or would add, by patterns.
sources() {
    git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
        [ -f "$file" ] && printf '%s\n' "$file"
    done
}

# Versions differ in what they want: Debian 12's tools decide, elsewhere they are not asked.
have() {
    if ! command -v "$1" >/dev/null; then
        step "$kind: left out, there is no $1 here (Debian 12 has it)"
        return 1
    fi
}

check_format() {
    have clang-format-14 || return 0
    sources '*.cc' '*.h' '*.c' | xargs -r clang-format-14 --dry-run -Werror
}

check_fmt() {
    have clang-format-14 || exit 1
    sources '*.cc' '*.h' '*.c' | xargs -r clang-format-14 -i
}

check_tidy() {
    local log=build/clang-tidy.log made
    have run-clang-tidy-14 || return 0
    # A tree that compiles each source by itself, of which only what is generated gets made.
    cmake --preset dev -B build/tidy -DSMC_STEER_LIBBPF="$(libbpf_prefix)" >/dev/null
    mapfile -t made < <(ninja -C build/tidy -t targets all | sed -nE 's/^(.*\.(skel|pb)\.h): .*/\1/p')
    ninja -C build/tidy "${made[@]}" >"$log" 2>&1 || die "./dev check: build first: ./dev build ($log)"
    # Programs of guests and tests too: all C++ that is compiled.
    if ! run-clang-tidy-14 -quiet -j "$(nproc)" -p build/tidy \
        "^$STEER_REPO/(agent|broker|tests)/.*\.cc\$" >"$log" 2>&1; then
        grep -E '(warning|error):' "$log" | sort -u >&2
        die "./dev check: clang-tidy found the above (all of it: $log)"
    fi
}

check_shell() {
    sources dev '*.sh' .ci/run tests/vm/guest/initramfs tests/vm/guest/systemd \
        'deploy/debian/*.p[or]*' | xargs -r shellcheck -x
}

check_python() {
    sources '*.py' tests/vm/guest/dibs_client tests/vm/guest/chat tests/vm/guest/ends \
        tests/vm/guest/device_file tests/vm/guest/lend |
        xargs -r /usr/bin/python3 -B -c '
import sys
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as source:
        compile(source.read(), name, "exec")'
}

# The protocols between guests, and that the models find what a missing barrier does.
check_model() {
    tests/model/check.sh
}

for kind; do
    step "$kind"
    "check_$kind"
done
