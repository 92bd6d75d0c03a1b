# SPDX-License-Identifier: Apache-2.0
"""Runs VM cases from outside: one set of namespaces each, with a watch on the time."""

import json
import shutil
import subprocess
import time
from pathlib import Path

from . import cluster, namespaces, packages, paths, stock
from .case import Case
from .outcome import Outcome
from .run_case import BOOT_SECONDS

CONSOLE_LINES = 15


def tail(path: Path, lines: int) -> str:
    try:
        text = path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return ""
    return "\n".join([f"--- {path.name}", *text]) if text else ""


def wait(process: subprocess.Popen, directory: Path, seconds: float, boot: float) -> str:
    """Until the case ends; why it had to be ended, if so."""
    began = time.monotonic()
    up = None
    while process.poll() is None:
        now = time.monotonic()
        if up is None and (directory / "up").exists():
            up = now
        if up is None and now - began > boot:
            process.kill()
            return f"guests and agents were not up after {boot:g} s"
        if up is not None and now - up > seconds:
            process.kill()
            return f"no end after {seconds:g} s"
        time.sleep(0.1)
    return ""


def run(case: Case, long: bool, slow: float) -> Outcome:
    """`slow` stretches all times, for kernels that check themselves."""
    directory = paths.TEST_LOGS / case.name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    argv = namespaces.python("run_case", case.name, str(directory), "long" if long else "short")
    began = time.monotonic()
    if case.plan.root or case.plan.cluster or {*case.plan.kernels} & {*paths.STOCK_KERNELS}:
        with open(directory / "prepare.log", "wb") as log:
            try:
                stock.prepare(case.plan.kernels, log)
                if case.plan.root:
                    packages.prepare(case.plan.root, log, long)
                if case.plan.cluster:
                    cluster.prepare(log, long)
            except (OSError, subprocess.CalledProcessError, paths.MissingError) as error:
                return Outcome(case.label, case.name, False, time.monotonic() - began,
                               f"what its guests are made of cannot be made: {error}",
                               tail(directory / "prepare.log", CONSOLE_LINES))
    with open(directory / "case.log", "wb") as log:
        process = subprocess.Popen(namespaces.command(argv), stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=subprocess.STDOUT)
        try:
            late = wait(process, directory, case.seconds(long) * slow, BOOT_SECONDS * slow)
            process.wait()
        except BaseException:
            process.kill()
            raise
    seconds = time.monotonic() - began
    try:
        result = json.loads((directory / "result.json").read_text())
    except (OSError, ValueError):
        result = {"outcome": "failed", "reason": tail(directory / "case.log", 5)}
    if result["outcome"] == "passed" and not late:
        return Outcome(case.label, case.name, True, seconds)
    logs = [tail(path, CONSOLE_LINES) for path in sorted(directory.glob("*.agent"))]
    logs += [tail(path, CONSOLE_LINES) for path in sorted(directory.glob("*.console"))]
    logs += [tail(path, CONSOLE_LINES) for path in sorted(directory.glob("broker*.log"))]
    logs.append(f"more in {directory.relative_to(paths.REPO)}")
    return Outcome(case.label, case.name, False, seconds, late or result["reason"],
                   "\n".join(filter(None, logs)))
