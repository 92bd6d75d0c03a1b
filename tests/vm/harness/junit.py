# SPDX-License-Identifier: Apache-2.0
"""Outcomes as JUnit XML, for build servers."""

from pathlib import Path
from xml.etree import ElementTree

from .outcome import Outcome


def write(path: Path, outcomes: list[Outcome]) -> None:
    failures = sum(not each.passed for each in outcomes)
    root = ElementTree.Element("testsuite", name="smc-steer", tests=str(len(outcomes)),
                               failures=str(failures))
    for each in outcomes:
        test = ElementTree.SubElement(root, "testcase", classname=each.label, name=each.name,
                                      time=f"{each.seconds:.3f}")
        if not each.passed:
            failure = ElementTree.SubElement(test, "failure", message=each.reason)
            # XML has no way to write most control characters.
            failure.text = "".join(c for c in each.logs if c >= " " or c in "\n\t")
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
