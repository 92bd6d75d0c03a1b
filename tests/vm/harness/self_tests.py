# SPDX-License-Identifier: Apache-2.0
"""The harness's own unittest cases (tests/vm/selftests), as cases of the run."""

import time
import traceback
import unittest

from . import paths
from .outcome import Outcome

LABEL = "unit"
DIRECTORY = paths.REPO / "tests" / "vm"


def flatten(suite) -> list[unittest.TestCase]:
    return [test for each in suite for test in
            (flatten(each) if isinstance(each, unittest.TestSuite) else [each])]


def name_of(test: unittest.TestCase) -> str:
    """test_splat.SplatTest.test_x; a module that cannot be imported is a failing test."""
    return test.id().removeprefix("selftests.")


def collect() -> dict[str, unittest.TestCase]:
    suite = unittest.TestLoader().discover(str(DIRECTORY / "selftests"),
                                           top_level_dir=str(DIRECTORY))
    return {name_of(test): test for test in flatten(suite)}


class Recorder(unittest.TestResult):
    """Keeps the first trouble of one test; a skip is one."""

    def __init__(self):
        super().__init__()
        self.trouble = ""

    def note(self, error) -> None:
        self.trouble = self.trouble or "".join(traceback.format_exception(*error)[-1:]).strip()

    def addFailure(self, test, err):
        self.note(err)

    def addError(self, test, err):
        self.note(err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.note(err)
            self.trouble += f" [{subtest.params}]"

    def addSkip(self, test, reason):
        self.trouble = self.trouble or f"it was skipped: {reason}"

    def addUnexpectedSuccess(self, test):
        self.trouble = self.trouble or "it was expected to fail and did not"


def run(name: str, test: unittest.TestCase) -> Outcome:
    recorder = Recorder()
    began = time.monotonic()
    unittest.TestSuite([test]).run(recorder)  # with what its class sets up
    seconds = time.monotonic() - began
    return Outcome(LABEL, name, not recorder.trouble, seconds, recorder.trouble)
