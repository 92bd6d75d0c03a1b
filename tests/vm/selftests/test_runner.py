# SPDX-License-Identifier: Apache-2.0
"""The runner's pure parts: what a report says, what a selection is, what does not pass."""

import unittest
from pathlib import Path

from harness import gtest, qemu, self_tests
from harness.lab import Plan
from harness.outcome import Outcome
from harness.run import Batch, select

LISTING = """\
Running main() from gtest_main.cc
Ports.
  One
  Range  # TypeParam = int
Sizes/Param.
  Each/0  # GetParam() = 4
"""


def report(**test):
    return {"testsuites": [{"name": "S", "testsuite": [{"name": "t", "time": "0.25s", **test}]}]}


def batches():
    def run(names, each):
        for name in names:
            each(Outcome("x", name, True, 0.0))
    return [Batch("unit", ["a", "b"], run), Batch("abi", ["c"], run),
            Batch("spine", ["deny-port"], run, True)]


class GtestTest(unittest.TestCase):
    def test_list(self):
        self.assertEqual(gtest.parse_list(LISTING), ["Ports.One", "Ports.Range", "Sizes/Param.Each/0"])

    def test_passed_failed(self):
        passed = gtest.parse_report(report(status="RUN", result="COMPLETED"))
        self.assertEqual(passed, {"S.t": (True, 0.25, "")})
        failed = gtest.parse_report(report(status="RUN", result="COMPLETED",
                                           failures=[{"failure": "x != y"}]))
        self.assertEqual(failed["S.t"][0], False)
        self.assertIn("x != y", failed["S.t"][2])

    def test_skipped_and_disabled_did_not_pass(self):
        for test in ({"status": "RUN", "result": "SKIPPED"}, {"status": "NOTRUN", "result": "SUPPRESSED"}):
            self.assertFalse(gtest.parse_report(report(**test))["S.t"][0])


class SelectTest(unittest.TestCase):
    def names(self, labels, only):
        return [name for batch in select(batches(), labels, only) for name in batch.names]

    def test_all_in_order(self):
        self.assertEqual(self.names([], []), ["a", "b", "c", "deny-port"])

    def test_labels_and_names(self):
        self.assertEqual(self.names(["abi", "spine"], []), ["c", "deny-port"])
        self.assertEqual(self.names([], ["deny-port", "a"]), ["a", "deny-port"])
        self.assertEqual(self.names(["unit"], ["b"]), ["b"])

    def test_words_that_name_nothing(self):
        for labels, only in ((["fabric"], []), ([], ["deny"]), (["abi"], ["a"])):
            with self.assertRaises(ValueError):
                select(batches(), labels, only)


class SelfTestsTest(unittest.TestCase):
    def outcome(self, function):
        class Sample(unittest.TestCase):
            test = function
        return self_tests.run("sample", Sample("test"))

    def test_what_fails(self):
        self.assertTrue(self.outcome(lambda self: None).passed)
        for bad in (lambda self: self.fail("no"), lambda self: 1 / 0,
                    lambda self: self.skipTest("not today")):
            outcome = self.outcome(bad)
            self.assertFalse(outcome.passed)
            self.assertTrue(outcome.reason)

    def test_a_failing_subtest_fails(self):
        def function(self):
            with self.subTest(n=1):
                self.fail("no")
        self.assertFalse(self.outcome(function).passed)


class PlanTest(unittest.TestCase):
    def test_kernels(self):
        plan = Plan(guests=3, kernels=["stock", "guest"])
        self.assertEqual([plan.kernel(number) for number in (1, 2, 3)], ["stock", "guest", "guest"])


class QemuTest(unittest.TestCase):
    def machine(self, **changes):
        return qemu.Machine(number=3, accel="tcg", kernel=Path("/k"), init=Path("/i"),
                            repo=Path("/r"), logs=Path("/l"), **changes)

    def test_never_one_possible_cpu(self):
        for cpus, words in ((1, "1,maxcpus=2"), (2, "2,maxcpus=2"), (4, "4,maxcpus=4")):
            argv = qemu.command(self.machine(cpus=cpus))
            self.assertEqual(argv[argv.index("-smp") + 1], words)

    def test_who_mounts_the_root(self):
        self.assertIn("init=/i", qemu.append(self.machine()).split())
        words = qemu.append(self.machine(initrd=Path("/initrd"))).split()
        self.assertIn("STEER_INIT=/i", words)
        self.assertFalse([word for word in words if word.startswith(("init=", "root="))])

    def test_device_only_where_there_is_a_region(self):
        self.assertNotIn("ivshmem-doorbell", " ".join(qemu.command(self.machine())))
        regions = [qemu.Region("b0"), qemu.Region("b1", "ivpci1", 2)]
        argv = " ".join(qemu.command(self.machine(regions=regions)))
        self.assertIn("ivshmem-doorbell,id=ivpci0,chardev=chardev-ivpci0,vectors=4", argv)
        self.assertIn("ivshmem-doorbell,id=ivpci1,chardev=chardev-ivpci1,vectors=2", argv)

    def test_host_files_are_read_only(self):
        argv = qemu.command(self.machine())
        shares = [argv[i + 1] for i, word in enumerate(argv) if word == "-fsdev"]
        self.assertEqual(len(shares), 2)
        for share in shares:
            self.assertIn("readonly=on", share)


if __name__ == "__main__":
    unittest.main()
