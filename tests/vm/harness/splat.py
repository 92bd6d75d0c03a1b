# SPDX-License-Identifier: Apache-2.0
"""Finds what a kernel prints when something is wrong. A pure function over console text."""

import re
from dataclasses import dataclass

# "[   12.345678] ", with "[    T1] " or "[   C0] " after it where CONFIG_PRINTK_CALLER is on.
STAMP = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")

# Matched against a line without its stamp.
PATTERNS = [(kind, re.compile(pattern)) for kind, pattern in (
    ("lockdep", r"WARNING: (?:possible|inconsistent|bad unlock|held lock|lock held|nested lock"
                r"|suspicious RCU|.*lock order|.*-safe.*lock|Nested lock)"),
    ("lockdep", r"INFO: trying to register non-static key"),
    ("lockdep", r"DEBUG_LOCKS_WARN_ON"),
    ("WARN", r"WARNING: "),
    ("WARN", r"-+\[ cut here \]-+"),
    ("KASAN", r"BUG: (?:KASAN|KFENCE|KCSAN|KMSAN): "),
    ("UBSAN", r"UBSAN: "),
    ("lockup", r"(?:NMI )?watchdog: (?:BUG: soft lockup|Watchdog detected hard LOCKUP)"),
    ("lockup", r"BUG: workqueue lockup"),
    ("BUG", r"BUG: "),
    ("BUG", r"kernel BUG at "),
    ("Oops", r"(?:Internal error: )?Oops(?:\[#\d+\])?: "),
    ("Oops", r"Unable to handle kernel "),
    ("Oops", r"(?:general protection fault|double fault|divide error|invalid opcode)[:,]"),
    ("hung task", r"INFO: task .* blocked (?:for more than|in I/O wait)"),
    ("RCU stall", r"(?:rcu: )?INFO: rcu_\w+ (?:self-)?detected (?:expedited )?stalls?"),
    ("refcount", r"refcount_t: "),
    ("ref_tracker", r"ref_tracker: .*(?:has \d+/\d+ users|leaked reference)"),
    ("netdevice", r"unregister_netdevice: waiting for "),
    ("list", r"list_(?:add|del|add_rcu|del_rcu) (?:double add|corruption)"),
    ("list", r"slab .*: Freelist|=+ *BUG .*: "),
    ("ODEBUG", r"ODEBUG: "),
    ("kmemleak", r"kmemleak: \d+ new suspected memory leaks"),
    ("sysfs", r"sysfs: cannot create duplicate filename"),
    ("memory", r"\S+: page allocation failure"),
    ("memory", r"(?:Out of memory|Memory cgroup out of memory): Killed process"),
    ("module", r"\S+: (?:Unknown symbol|disagrees about version of symbol|version magic) "),
    ("crash of a program", r"\S+\[\d+\]: segfault at "),
    ("crash of a program", r"traps: \S+\[\d+\] "),
    ("panic", r"Kernel panic - not syncing"),
)]

END = re.compile(r"---\[ end (?:trace|Kernel panic)")
CONTEXT = 40


@dataclass
class Splat:
    kind: str
    line: str
    text: str  # the line and what follows it, as printed


def kind_of(line: str, panic_expected: bool) -> str | None:
    bare = STAMP.sub("", line)
    for kind, pattern in PATTERNS:
        if pattern.match(bare):
            return None if kind == "panic" and panic_expected else kind
    return None


def find(console: str, panic_expected: bool = False) -> list[Splat]:
    """Splats in the order they were printed. What a splat prints until its end, or for
    CONTEXT lines, belongs to it and is not another one.
    """
    lines = console.splitlines()
    found = []
    at = 0
    while at < len(lines):
        kind = kind_of(lines[at], panic_expected)
        if kind is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and end < at + CONTEXT and not END.search(lines[end - 1]):
            end += 1
        bare = STAMP.sub("", lines[at])
        if bare.startswith("-") and at + 1 < end:
            # "cut here" says nothing; the next line does, if it is one of ours.
            better = kind_of(lines[at + 1], panic_expected)
            kind = better or kind
            bare = STAMP.sub("", lines[at + 1])
        found.append(Splat(kind, bare.strip(), "\n".join(lines[at:end])))
        at = end
    return found
