# SPDX-License-Identifier: Apache-2.0
"""GoogleTest programs: what is in them, and what became of it (from their JSON report)."""

import json
import subprocess
import tempfile
from pathlib import Path

from .outcome import Outcome

TIMEOUT = 600


def parse_list(text: str) -> list[str]:
    """Names from --gtest_list_tests: suites end in a dot, their tests are indented."""
    names, suite = [], ""
    for line in text.splitlines():
        name = line.split("#")[0].rstrip()
        if name.startswith("  "):
            names.append(suite + name.strip())
        elif name.endswith("."):
            suite = name
    return names


def parse_report(report: dict) -> dict[str, tuple[bool, float, str]]:
    """name -> (passed, seconds, reason). A skipped or disabled test did not pass."""
    results = {}
    for suite in report.get("testsuites", []):
        for test in suite.get("testsuite", []):
            reason = "\n".join(each["failure"] for each in test.get("failures", []))
            if test.get("result") == "SKIPPED" or test.get("status") == "NOTRUN":
                reason = "it was skipped"
                for each in test.get("skipped", []):
                    reason += f": {each.get('message', '')}"
            seconds = float(test.get("time", "0s").rstrip("s"))
            results[f"{suite['name']}.{test['name']}"] = (not reason, seconds, reason)
    return results


def list_tests(binary: Path) -> list[str]:
    run = subprocess.run([binary, "--gtest_list_tests"], capture_output=True, text=True,
                         timeout=60, check=True)
    return parse_list(run.stdout)


def run_tests(label: str, binary: Path, names: list[str]) -> list[Outcome]:
    """One run for all names; a test the report does not have (a crash, a hang) failed."""
    with tempfile.TemporaryDirectory(prefix="smc-steer-gtest.") as directory:
        report = Path(directory) / "report.json"
        argv = [str(binary), f"--gtest_output=json:{report}", "--gtest_color=no",
                "--gtest_filter=" + ":".join(names)]
        try:
            run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, errors="replace", timeout=TIMEOUT, check=False)
            text, missing = run.stdout, f"no result: {binary.name} ended with {run.returncode}"
        except subprocess.TimeoutExpired as error:
            text = (error.stdout or b"").decode(errors="replace")
            missing = f"no result: {binary.name} did not end in {TIMEOUT} s"
        results = parse_report(json.loads(report.read_text())) if report.exists() else {}
    outcomes = []
    for name in names:
        passed, seconds, reason = results.get(name, (False, 0.0, missing))
        logs = "" if passed or reason != missing else "\n".join(text.splitlines()[-20:])
        outcomes.append(Outcome(label, name, passed, seconds, reason, logs))
    return outcomes
