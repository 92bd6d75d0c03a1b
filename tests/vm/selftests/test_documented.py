# SPDX-License-Identifier: Apache-2.0
"""docs/OPERATIONS.md: each command on the page is run by a case, which its block names."""

import inspect
import re
import unittest

from harness import case, documented, paths

PROGRAMS = ("smc-policy", "smc-agent", "ivpci-broker", "systemctl", "journalctl", "apt", "dkms",
            "modprobe", "rmmod", "lsmod", "systemd-analyze", "./dev")
SPAN = re.compile(r"`([^`\n]+)`")

PAGE = """# Title

## One

```sh guest
first
```

text

```yaml
no: shell
```

### Two

```sh
second
third
```
```
fourth
```
"""


def spans(text: str) -> list[str]:
    """Commands in running text, without what may be left out."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    found = []
    for span in SPAN.findall(plain):
        words = re.sub(r" ?\[[^]]*\]", "", span).split()
        if words[0] in PROGRAMS and len(words) > 1:
            found.append(" ".join(words))
    return found


class Blocks(unittest.TestCase):
    def test_all_shell_blocks_are_found(self):
        found = [(block.heading, block.line, block.tag, block.text)
                 for block in documented.blocks(PAGE)]
        self.assertEqual(found, [("One", 5, "guest", "first\n"), ("Two", 17, "", "second\nthird\n"),
                                 ("Two", 21, "", "fourth\n")])

    def test_commands_in_the_text_are_found(self):
        text = "`smc-policy flows [--watch]`, `smc-policy` and `eth0`, `systemctl stop x`\n" + PAGE
        self.assertEqual(spans(text), ["smc-policy flows", "systemctl stop x"])


class Operations(unittest.TestCase):
    def setUp(self):
        self.text = documented.OPERATIONS.read_text(encoding="utf-8")
        self.blocks = documented.blocks(self.text)

    def test_each_block_says_who_runs_it(self):
        cases = case.load()
        for block in self.blocks:
            with self.subTest(block=str(block)):
                kind, _, name = block.tag.partition("=")
                if kind == "case":
                    self.assertIn(name, cases)
                    self.assertIn("documented", inspect.getsource(
                        inspect.getmodule(cases[name].function)))
                else:
                    self.assertIn(block.tag.split()[:1], (["guest"], ["prepare"], ["cluster"]))

    def test_each_command_for_clusters_is_of_a_case(self):
        for page, name in ((documented.OPERATIONS, "cluster-install"),
                           (paths.REPO / "docs" / "KUBERNETES.md", "cluster-ten-minutes")):
            source = inspect.getsource(inspect.getmodule(case.load()[name].function))
            blocks = documented.load(page)
            words = {block.tag.split()[1] for block in blocks if block.tag.split()[:1] == ["cluster"]}
            self.assertGreater(len(words), 5)
            for word in words:
                self.assertIn(f'"{word}"', source, page)

    def test_the_short_way_has_no_other_commands(self):
        for block in documented.load(paths.REPO / "docs" / "KUBERNETES.md"):
            self.assertEqual(block.tag.split()[0], "cluster", block)

    def test_there_are_blocks(self):
        self.assertGreater(len([block for block in self.blocks if block.tag == "guest"]), 10)

    def test_commands_in_the_text_are_in_a_block_too(self):
        run = "\n".join(block.text for block in self.blocks)
        for span in spans(self.text):
            with self.subTest(command=span):
                self.assertGreaterEqual(run.find(span), 0, 'in no block of the page')
