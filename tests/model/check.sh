#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the models with spin, and that each finds an error when a barrier or another step is taken out.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# errors MODEL [-DMACRO...]: number of errors of an exhaustive search
errors() {
    local out
    cp "$here"/*.pml "$here"/tso.inc "$work"
    cd "$work"
    spin -a "${@:2}" "$1.pml" >/dev/null
    # COLLAPSE: half the memory, exact all the same
    gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=800 -w -o pan pan.c
    out=$(./pan -m200000)
    if grep -qE 'search depth too small|Search not completed' <<<"$out" &&
        ! grep -qE 'errors: [1-9]' <<<"$out"; then
        echo "$1: the search was not exhaustive" >&2
        exit 1
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p' <<<"$out"
}

failed=0
expect() { # expect MODEL (right|wrong) [-DMACRO...]
    local found
    found=$(errors "$1" "${@:3}")
    if { [ "$2" = right ] && [ "$found" = 0 ]; } || { [ "$2" = wrong ] && [ "$found" != 0 ]; }; then
        echo "model $1 ${*:3}: $2, as it should be"
    else
        echo "model $1 ${*:3}: $found errors, expected it to be $2" >&2
        failed=1
    fi
}

# without "MODEL [-DMACRO...]" STEP...: each of these steps is left out by itself, and missed.
without() {
    local words step
    read -ra words <<<"$1"
    for step in "${@:2}"; do
        expect "${words[0]}" wrong "${words[@]:1}" "-D$step"
    done
}

expect notify right
without notify NO_PRODUCER_BARRIER NO_RECEIVER_BARRIER
expect claim right
without claim NO_OWNER_BARRIER NO_WRITER_BARRIER

expect watch right -DSLEEPS
expect watch right -DPOLLS
expect watch right -DEDGES
without "watch -DSLEEPS" NO_PUBLISH_BARRIER NO_WATCH_BARRIER NO_LOOK_AFTER_WATCH WATCH_STAYS CAME_UNTOLD HEARD_LATER \
    NO_FIRST_WATCH SLEEPS_AT_ONCE ANSWER_FORGOTTEN ASKED_UNTOLD ONLY_WHO_ASKED

expect room right -DSLEEPS
without "room -DSLEEPS" NO_WANT_BARRIER NO_CONSUMED_BARRIER NO_LOOK_AFTER_WANT WANT_STAYS TOLD_FORGOTTEN NOT_ASKED_ANEW \
    CLEARED_LATE NOBODY_WOKEN SLEEPS_AT_ONCE
expect room right -DEDGES
without "room -DEDGES" NO_EVENT NO_LOOK_AFTER_NOSPACE
for waits in SLEEPS EDGES; do
    expect room right -D$waits -DTIMER
    expect room wrong -D$waits -DTIMER -DTIMER_TELLS_NOBODY
done

expect ends right
without "ends" NO_PUBLISH_BARRIER NO_CLOSER_BARRIER VALID_FIRST CLOSES_UNLOCKED NO_WRITING NOT_WAITED_FOR NO_REPEAT \
    ALWAYS_REPEATED BEYOND_FINAL NOT_KEPT
expect ends right -DSTANDS_STILL
without "ends -DSTANDS_STILL" NO_HURRY HURRY_UNDER_LOCK UNKNOWN_REPEATED

expect urgent right
without "urgent" HOLE_UNSEEN LOOKED_ONCE HOLE_KEPT GONE_OVER_TWICE GONE_PAST_IS_A_LIE MARK_UNSEEN
expect urgent right -DPEEKS -DONE_URGENT
# what is known not to be so
expect urgent wrong -DPEEKS

expect clean right
without "clean" NO_GRACE NO_RELEASES NO_WAKES NO_OWNER NO_SLEEPERS WOKEN_UNSEEN
# what is known not to be seen
expect clean wrong -DFAULTS_BEFORE_LOCK

expect direct right -DSTAYS
without "direct -DSTAYS" NO_CLEAN NO_SENDER_BARRIER NO_READER_BARRIER NO_WANT_BARRIER ROOM_UNTOLD RING_FIRST \
    END_FIRST SEQUENCE_IGNORED TCP_UNLIMITED
expect direct right -DCLOSES
expect direct wrong -DCLOSES -DUNREAD_TOO_EARLY
expect direct right -DUNLOADS
without "direct -DUNLOADS" NO_CLOSER_BARRIER NO_REPEAT BEYOND_FINAL NOT_KEPT
exit $failed
