# SPDX-License-Identifier: Apache-2.0
"""Runs one VM case, as the first process of its lab.

Its result goes to result.json in the case's log directory: "failed" from the start, "passed"
only as the last thing done.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

from . import case as cases
from . import kmemleak, paths, splat
from .lab import Lab

BOOT_SECONDS = 180  # for guests and agents, before the case's own time counts


class Result:
    def __init__(self, directory: Path):
        self.path = directory / "result.json"
        self.write("failed", "the case's process died")

    def write(self, outcome: str, reason: str = "", up: float = 0.0) -> None:
        text = json.dumps({"outcome": outcome, "reason": reason, "up": up})
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.path)


def cpu_seconds() -> float:
    """Of all processes of this lab: user and system time, guests included."""
    ticks = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            ticks += sum(map(int, entry.read_text().rsplit(")", 1)[1].split()[11:15]))
        except (OSError, ValueError):
            pass  # it ended meanwhile
    return ticks / os.sysconf("SC_CLK_TCK")


def explain(error: BaseException) -> str:
    """The error, and where in the case it happened."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if "/cases/" in frame.filename]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    name = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return f"{name}{error}{where}"


def kernel_troubles(lab: Lab) -> list[str]:
    troubles = []
    for guest in lab.guests:
        for each in splat.find(guest.console(), guest.panic_expected):
            troubles.append(f"{guest.name}: {each.kind}: {each.line}\n{each.text}")
        if guest.process is not None and not guest.alive() and not guest.expect_death:
            troubles.append(f"{guest.name}: QEMU ended unasked")
        if guest.restarted_unasked():
            troubles.append(f"{guest.name}: restarted unasked")
    for index, broker in enumerate(lab.brokers):
        if not broker.alive() and not broker.expect_death:
            troubles.append(f"broker {index}: ended unasked")
    return troubles


def keep_logs(lab: Lab) -> None:
    """What only the guests have."""
    for guest, agent in zip(lab.guests, lab.agents):
        try:
            text = guest.run("journalctl -b -o short-monotonic --no-pager | tail -n 500").out \
                if lab.roots else agent.log(500)
        except Exception as error:
            text = f"(not readable: {error})\n"
        (lab.logs / f"{guest.name}.agent").write_text(text)


def run(one: cases.Case, lab: Lab) -> None:
    lab.start()
    if one.agent:
        lab.start_agents()
    # The parent's watch starts when it sees this.
    (lab.logs / "up").touch()
    one.function(lab)
    if paths.CHECKED:
        leaks = kmemleak.find(lab.guests)
        cases.expect(not leaks, "\n".join(leaks))


def main() -> int:
    """Arguments: case, log directory, "long" or "short"."""
    name, directory, length = sys.argv[1:4]
    logs = Path(directory)
    result = Result(logs)
    one = cases.load()[name]
    lab = None
    began = time.monotonic()
    reasons = []
    try:
        # Figures are in case.log.
        lab = Lab(one.plan, lambda text: print(text, flush=True), logs=logs, long=length == "long")
        run(one, lab)
    except BaseException as error:
        traceback.print_exc()
        reasons.append(explain(error))
    if lab is not None:
        reasons += kernel_troubles(lab)
        if reasons:
            keep_logs(lab)
    if reasons:
        result.write("failed", "\n".join(reasons))
        return 1
    up = time.monotonic() - began
    result.write("passed", up=up)
    print(f"{up:.1f} s, {cpu_seconds():.1f} s of CPU")
    sys.stdout.flush()
    os._exit(0)  # the guests end with this process
