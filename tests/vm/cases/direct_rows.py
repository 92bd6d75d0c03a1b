# SPDX-License-Identifier: Apache-2.0
"""The rows of semantics (harness/semantics.py), each with a connection that has been moved before the row begins."""

from harness import driver, mutants, semantics
from harness.case import case, expect, expect_equal
from harness.movers import Movers, offload, prepare

PARTS = 4  # programs at the same time: most of a row is waiting
SHARE = 9  # of the rows a short run has one in so many, others with each commit and each day


def again(lab, plain: dict, found: dict, await_: str) -> dict:
    """What a busy machine did once is no property of these sockets."""
    lab.progress("\n".join(f"{name}: {cells}" for name, cells in found.items()))
    server, client = lab.guests
    names = semantics.filter_of(found)
    second = semantics.run_parts(client, server, 1, await_, only=names)
    return {name: cells for name, cells in semantics.differences(
        {name: plain[name] for name in found if name in plain}, second).items()}


def rows_moved(lab, plain: dict, how: str, hold_ms: int, sample: tuple[int, int]) -> None:
    """No row differs of connections that are moved and stay so, or that are moved, moved back, given back and
    detached from all the time.
    """
    server, client = lab.guests
    await_ = "moved" if how == "stay" else "rings"
    before = sum(offload(guest, "counters")["records"] for guest in lab.guests)
    moving = Movers(lab, how, hold_ms, 64, semantics.PORTS)
    other = semantics.run_parts(client, server, PARTS, await_, sample)
    found = semantics.differences(plain, other)
    if found:
        found = again(lab, plain, found, await_)
    counts = moving.finish()
    semantics.keep(other, lab.logs / f"semantics.{how}")
    met = {name: row for name, row in other.items() if row.met}
    moved = [name for name, row in met.items() if row.moved == row.met]
    lab.progress(f"{how}: of {len(other)} rows {len(met)} have a connection to wait for, {len(moved)} had it moved "
                 f"({sum(row.moved for row in met.values())} connections); {len(found)} rows differ\n" +
                 "\n".join(f"{name}: not moved: {row.in_the_way}" for name, row in met.items() if name not in moved))
    expect(not found, "rows that differ:\n" + "\n".join(
        f"{name}: {' | '.join(cells)} {other[name].reason if name in other else ''}"
        for name, cells in found.items()))
    expect(len(met) >= 0.8 * len(other), f"only {len(met)} of {len(other)} rows wait for a connection")
    expect(len(moved) >= 0.95 * len(met), f"only {len(moved)} of {len(met)} connections were moved")
    records = sum(each["records"] for each in counts) - before
    expect(records > (1 if how == "stay" else 0.3) * len(moved), f"only {records} records went by rings")
    for guest, now in zip(lab.guests, counts):
        expect_equal(now["lies"], 0, f"{guest.name}: lies")


def rows(lab) -> None:
    prepare(lab)
    server, client = lab.guests
    sample = (0, 1) if lab.long else (mutants.turn_now() % SHARE, SHARE)
    plain = semantics.run_parts(client, server, PARTS, sample=sample)
    failed = [f"{name}: {row.reason}" for name, row in plain.items() if not row.passed]
    expect(not failed, "over plain TCP:\n" + "\n".join(failed))
    rows_moved(lab, plain, "stay", 5, sample)
    rows_moved(lab, plain, "random", 2, sample)


@case("direct", "direct-rows", append=driver.UNAIDED, agent=False, timeout=200, long_timeout=900)
def direct_rows(lab):
    """The rows of semantics over plain TCP, and again with each connection moved before a row begins with it; and with
    connections that are moved, moved back and given back all the time. All of them in the long form, else one in nine.
    """
    rows(lab)


@case("direct", "direct-rows-6.1", agent=False, long_only=True, timeout=300, long_timeout=900,
      kernels=["stock", "stock"])
def direct_rows_61(lab):
    """The same on Debian 12's own 6.1."""
    rows(lab)
