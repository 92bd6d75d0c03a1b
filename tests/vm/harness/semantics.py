# SPDX-License-Identifier: Apache-2.0
"""tests/vm/programs/semantics: what programs can see of a stream socket, over TCP and over what
replaces it; and the table of differences in docs/COMPATIBILITY.md.

A case runs the program once over plain TCP, where every row has to pass, and once the other way:

    plain = semantics.run_plain(client, server)
    ... now sockets are steered ...
    other = semantics.run(client, server)
    semantics.expect_documented(plain, other, "native",
                                lambda only: semantics.run(client, server, only=only), print)
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from . import paths
from .case import expect
from .channel import Process
from .guest import CommandFailed, Guest

PROGRAM = paths.PROGRAMS / "semantics"
CONTROL = 9300  # the puppet's port: has to stay plain TCP, a rule says so
PORTS = "9301-9899"  # the tests'; two for each
REPORT = "/run/semantics.json"
PATIENCE = {"SEMANTICS_SLOW": f"{paths.SLOW:.0f}"}  # socket.h, watch_time()

COMPATIBILITY = paths.REPO / "docs" / "COMPATIBILITY.md"
SECTION = "Socket semantics"
PLAIN = "plain TCP"
SAME = "same"  # in a cell: as in column PLAIN
UNKNOWN = "-"  # in a cell: nobody compares this column yet
VARIES = "varies"  # from run to run: a row that is documented and not compared

POLICY = f"""version: 1
default: allow
rules:
  - {{action: deny, ports: [22, {CONTROL}]}}
"""


@dataclass(frozen=True)
class Row:
    """What a test saw."""

    passed: bool
    saw: str
    reason: str = ""  # of a failure
    # Of those that were to wait for it (run_parts(await_)): connections, those that were moved, what was in the way.
    met: int = 0
    moved: int = 0
    in_the_way: str = ""

    def cell(self) -> str:
        """As the table has it: of a failed test nothing but that."""
        return (self.saw or "passes") if self.passed else "fails"


def parse_report(report: dict) -> dict[str, Row]:
    """Of GoogleTest's JSON report. Roles/Close.X/client is Close.X/client here."""
    rows = {}
    for suite in report["testsuites"]:
        for test in suite["testsuite"]:
            reason = "\n".join(each["failure"] for each in test.get("failures", []))
            passed = not reason and test.get("result") == "COMPLETED"
            name = suite["name"].split("/")[-1] + "." + test["name"]
            rows[name] = Row(passed, test.get("saw", ""), reason, int(test.get("met", 0)),
                             int(test.get("moved", 0)), test.get("in_the_way", ""))
    return rows


def puppet(guest: Guest) -> Process:
    process = guest.spawn([str(paths.built(PROGRAM)), "puppet", "--listen", str(CONTROL)], env=PATIENCE)
    process.wait_output("listening", 20)
    return process


def argv(client: Guest, server: Guest, only: str, report: str) -> list[str]:
    return [str(paths.built(PROGRAM)), "--peer", server.ip4, "--peer6", server.ip6, "--own", client.ip4,
            "--own6", client.ip6, "--control", str(CONTROL), f"--gtest_output=json:{report}",
            "--gtest_color=no", f"--gtest_filter={only}"]


def collect(client: Guest, process: Process, report: str, timeout: float) -> dict[str, Row]:
    """The rows of a run, when it is over."""
    code = process.wait(timeout * paths.SLOW)
    if code not in (0, 1):
        raise CommandFailed(f"{client.name}: semantics: exit {code}: "
                            f"{(process.out + process.err).decode(errors='replace')[-2000:]}")
    rows = parse_report(json.loads(client.get(report)))
    client.check(["rm", report])
    return rows


def run(client: Guest, server: Guest, timeout: float = 300, only: str = "*") -> dict[str, Row]:
    """The tests in `client`, their far end in `server`. The rows of all tests, by name."""
    far = puppet(server)
    rows = collect(client, client.spawn(argv(client, server, only, REPORT), env=PATIENCE), REPORT, timeout)
    far.kill()
    far.wait(10)
    expect(rows, "semantics ran no test")
    return rows


def run_parts(client: Guest, server: Guest, parts: int, await_: str = "", sample: tuple[int, int] = (0, 1),
              timeout: float = 300, only: str = "*") -> dict[str, Row]:
    """As run(), in that many programs at the same time, with ports of their own. sample (I, N): every Nth test,
    from the Ith on. `await_`: "rings" or "moved", what each test waits for before it begins with its connection.
    """
    first, last = map(int, PORTS.split("-"))
    ports = (last - first) // parts & ~1
    far = puppet(server)
    running = []
    for part in range(parts):
        report = f"{REPORT}.{part}"
        words = ["--first", str(first + part * ports), *(("--await", await_) if await_ else ())]
        program, *rest = argv(client, server, only, report)
        shard = {**PATIENCE, "GTEST_TOTAL_SHARDS": str(sample[1] * parts),
                 "GTEST_SHARD_INDEX": str(sample[0] + part * sample[1])}
        running.append((client.spawn([program, *words, *rest], env=shard), report))
    rows = {}
    for process, report in running:
        rows |= collect(client, process, report, timeout)
    far.kill()
    far.wait(10)
    expect(rows, "semantics ran no test")
    return rows


def run_plain(client: Guest, server: Guest, **how) -> dict[str, Row]:
    """As run(), where all have to pass."""
    rows = run(client, server, **how)
    failed = [f"{name}: {row.reason}" for name, row in rows.items() if not row.passed]
    expect(not failed, "over plain TCP:\n" + "\n".join(failed))
    return rows


def differences(plain: dict[str, Row], other: dict[str, Row]) -> dict[str, tuple[str, str]]:
    """Rows that are not the same: name -> both cells. One that is missing differs."""
    cells = {name: tuple(rows[name].cell() if name in rows else "missing" for rows in (plain, other))
             for name in {**plain, **other}}
    return {name: both for name, both in cells.items() if both[0] != both[1]}


def both_roles(found: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """X/client and X/server that say the same are one row X."""
    joined = {}
    for name, cells in found.items():
        stem, _, role = name.rpartition("/")
        if role in ("client", "server") and \
                found.get(f"{stem}/client") == found.get(f"{stem}/server"):
            name = stem
        joined[name] = cells
    return joined


# The table

def section(text: str) -> str:
    """The part of a page below the heading SECTION."""
    match = re.search(rf"^(#+) {SECTION}$(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    if not match:
        raise ValueError(f"the page has no section '{SECTION}'")
    return match[2]


def table(text: str) -> list[dict[str, str]]:
    """The rows of the section's table: column -> cell, without back quotes."""
    lines = [line.strip().strip("|").split("|") for line in section(text).splitlines()
             if line.startswith("|")]
    cells = [[cell.strip().replace("`", "") for cell in line] for line in lines]
    if len(cells) < 2 or cells[0][:2] != ["row", PLAIN]:
        raise ValueError(f"section '{SECTION}' has no table that begins with row | {PLAIN}")
    for row in cells[2:]:
        if len(row) != len(cells[0]):
            raise ValueError(f"{len(row)} cells in the row {row[0]}, {len(cells[0])} in the head")
    return [dict(zip(cells[0], row)) for row in cells[2:]]


def documented(column: str, text: str | None = None) -> dict[str, tuple[str, str]]:
    """Differences that the table has for `column`, as both_roles() returns them."""
    rows = table(COMPATIBILITY.read_text(encoding="utf-8") if text is None else text)
    found = {}
    for row in rows:
        if column not in row:
            raise ValueError(f"the table has no column '{column}'")
        if row["row"] in found:
            raise ValueError(f"the table has the row {row['row']} twice")
        found[row["row"]] = (row[PLAIN], row[column])
    return {name: cells for name, cells in found.items() if cells[1] not in (SAME, UNKNOWN)}


def varying(column: str, text: str | None = None) -> set[str]:
    """Rows that may or may not differ, as the table says."""
    return {name for name, cells in documented(column, text).items() if cells[1] == VARIES}


def compare(found: dict[str, tuple[str, str]],
            wanted: dict[str, tuple[str, str]]) -> dict[str, str]:
    """What is wrong about the table: row -> a line."""
    wrong = {}
    for name in sorted({**found, **wanted}):
        if found.get(name) != wanted.get(name):
            wrong[name] = f"{name}: " + (
                f"differs ({' | '.join(found[name])})" if name in found else "does not differ") + (
                f", the table has it as {' | '.join(wanted[name])}" if name in wanted
                else ", the table does not have it")
    return wrong


def filter_of(names) -> str:
    """GoogleTest's filter for rows: both roles of one that stands for both."""
    return ":".join(f"*{name}:*{name}/client:*{name}/server" for name in names)


def undocumented(plain: dict[str, Row], other: dict[str, Row], column: str) -> dict[str, str]:
    """As compare(), without the rows that vary."""
    varies = varying(column)

    def settled(rows: dict) -> dict:
        return {name: cells for name, cells in rows.items()
                if name not in varies and name.rsplit("/", 1)[0] not in varies}
    return compare(settled(both_roles(differences(plain, other))), settled(documented(column)))


def expect_documented(plain: dict[str, Row], other: dict[str, Row], column: str,
                      again: Callable[[str], dict[str, Row]], progress: Callable[[str], None]) -> None:
    """The rows that differ are those of the table, with what it says of them. Rows that are not get
    a second run, again(filter): what a busy machine did once is no property of these sockets.
    """
    if wrong := undocumented(plain, other, column):
        progress("\n".join([f"{column}: {len(wrong)} rows again:", *wrong.values()]))
        other = {**other, **again(filter_of(wrong))}
        wrong = undocumented(plain, other, column)
    lines = [*wrong.values(),
             *(f"{name}: {row.reason}" for name, row in other.items() if not row.passed)]
    expect(not wrong, f"{column}: docs/COMPATIBILITY.md, {SECTION}:\n" + "\n".join(lines))


def keep(rows: dict[str, Row], path: Path) -> None:
    """For people who look at a case's logs: also what failed tests saw."""
    path.write_text("".join(f"{name} | {row.cell()}" + (f" | {row.saw}" if not row.passed else "")
                            + "\n" for name, row in rows.items()))
