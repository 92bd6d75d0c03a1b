# SPDX-License-Identifier: Apache-2.0
"""Mutants: each is one still, and what became of one is told from what became of its test."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import case, gtest, junit, mutants, paths, run, self_tests
from harness.outcome import Outcome

SMC_PATCHES = paths.REPO / "deploy" / "kernel" / "patches"
NOT_YET: set[str] = set()  # none is to be added
PATCH = """about: nothing counts
killed-by: Some.Test
says: expected 1
build: unit_tests smc-agent

--- a/kmod/x.c
+++ b/kmod/x.c
@@ -1 +1 @@
-a
+b
"""


class Parse(unittest.TestCase):
    def parse(self, text):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "of-this-name.patch"
            path.write_text(text)
            return mutants.parse(path)

    def test_words(self):
        one = self.parse(PATCH.replace("\n\n", "\n"))
        self.assertEqual((one.name, one.killed_by, one.says, one.build),
                         ("of-this-name", "Some.Test", "expected 1", ("unit_tests", "smc-agent")))
        self.assertFalse(one.smc)

    def test_one_of_the_kernel(self):
        self.assertTrue(self.parse(PATCH.replace("\n\n", "\n").replace("kmod/x.c", "net/smc/x.c")).smc)

    def test_mistakes(self):
        for old, new in (("about", "abuot"), ("killed-by: Some.Test\n", ""), ("says: expected 1\n", ""),
                         ("--- a/kmod/x.c", "+++ a/kmod/x.c"), ("build:", "a word\nbuild:")):
            with self.subTest(old=old), self.assertRaises(ValueError):
                self.parse(PATCH.replace("\n\n", "\n").replace(old, new))


class Turns(unittest.TestCase):
    def test_all_come_round(self):
        for count in (2, 3, 40, 41):
            names = [f"m{number}" for number in range(count)]
            turns = [mutants.in_turn(names, turn) for turn in range(7, 7 + (count + 1) // 2)]
            self.assertEqual(set(sum(turns, [])), set(names))

    def test_a_plain_run_depends_on_none_that_nobody_has_seen_killed(self):
        known = mutants.load()
        unseen = {name for name, one in known.items() if one.unseen}
        chosen = set()
        for turn in range(len(known)):
            mutants.turn_now, before = lambda turn=turn: turn, mutants.turn_now
            try:
                chosen |= set(mutants.cases(False, []))
            finally:
                mutants.turn_now = before
        wanted = set() if paths.CHECKED else {mutants.PREFIX + name for name in set(known) - unseen}
        self.assertEqual(chosen, wanted)

    def test_few(self):
        self.assertEqual(mutants.in_turn([], 3), [])
        self.assertEqual(mutants.in_turn(["one"], 3), ["one"])


class Verdicts(unittest.TestCase):
    def verdict(self, code, outcomes):
        one = mutants.Mutant("m", "about", "Some.Test", "expected 1", (), Path("m.patch"))
        with tempfile.TemporaryDirectory() as directory:
            if outcomes is not None:
                junit.write(Path(directory) / "result.xml", outcomes)
            return mutants.verdict(one, code, Path(directory))

    def outcome(self, name="Some.Test", passed=False, reason=""):
        return Outcome("unit", name, passed, 0.1, reason)

    def test_killed(self):
        self.assertEqual(self.verdict(1, [self.outcome(reason="expected 1, got 2")]), "")

    def test_survived(self):
        self.assertIn("SURVIVED", self.verdict(0, [self.outcome(passed=True)]))

    def test_what_is_no_kill(self):
        failed = self.outcome(reason="expected 1, got 2")
        for code, outcomes, word in (
                (mutants.NOT_APPLIED, None, "apply"), (mutants.NOT_BUILT, [failed], "build"),
                (2, None, "no result"), (1, [], "no result"),
                (1, [self.outcome("Other.Test", reason="expected 1")], "no result"),
                (1, [self.outcome(reason="guests and agents were not up")], "something else")):
            with self.subTest(code=code, word=word):
                self.assertIn(word, self.verdict(code, outcomes))


class Patches(unittest.TestCase):
    """What makes a patch useless is noticed without building anything."""

    @classmethod
    def setUpClass(cls):
        cls.all = mutants.load()

    def test_there_are_enough(self):
        self.assertGreaterEqual(len(self.all), 40)

    def test_they_apply(self):
        for one in self.all.values():
            if one.smc:
                continue
            with self.subTest(name=one.name):
                check = subprocess.run(["git", "apply", "--check", one.patch], cwd=paths.REPO,
                                       capture_output=True, text=True, check=False)
                self.assertEqual(check.returncode, 0, check.stderr)

    def test_those_of_the_kernel_take_out_what_our_patches_put_in(self):
        """Its sources are not here. One has none of their lines, and no words for ninja."""
        ours = {line[1:] for patch in SMC_PATCHES.glob("*.patch") for line in patch.read_text().splitlines()
                if line.startswith("+")}
        for one in filter(lambda one: one.smc, self.all.values()):
            with self.subTest(name=one.name):
                lines = one.patch.read_text().partition("\n---")[2].splitlines()[2:]
                self.assertEqual([line for line in lines if line[:1] not in ("@", "-", "+")], [])
                self.assertEqual({line[1:] for line in lines if line.startswith("-")} - ours, set())
                self.assertEqual(one.build, ())

    def test_their_tests_exist(self):
        known = {*self_tests.collect(), *case.load()}
        for binary in run.GTEST.values():
            known.update(gtest.list_tests(binary))
        for one in self.all.values():
            with self.subTest(name=one.name):
                self.assertIn(one.killed_by, known)

    def test_each_was_seen_killed(self):
        """The word is for who has no time to run one now: not for what is left at the end."""
        unseen = {name: one.unseen for name, one in self.all.items() if one.unseen}
        self.assertEqual({name: why for name, why in unseen.items() if name not in NOT_YET}, {})

    def test_they_are_told_in_a_sentence(self):
        for one in self.all.values():
            with self.subTest(name=one.name):
                self.assertRegex(one.about, r"^[A-Z].{30,250}\.$")
                self.assertRegex(one.name, r"^[a-z0-9-]{4,40}$")


if __name__ == "__main__":
    unittest.main()
