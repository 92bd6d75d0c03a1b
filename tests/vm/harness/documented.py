# SPDX-License-Identifier: Apache-2.0
"""The commands of a page of docs/, which tests run as they stand there.

A fenced shell block says in its first line who runs it:

  ```sh prepare        ./dev test, in the repository, before it starts clean guests (clean.py)
  ```sh guest [WORD]   case `packages`, in a guest; WORD is for the case to tell blocks apart
  ```sh case=NAME      that case, by itself
  ```sh cluster WORD   case `cluster-install` (docs/KUBERNETES.md: `cluster-ten-minutes`): WORD "prepare" before it starts,
                       "node" on each node, others where kubectl is

One that says something else, or nothing, fails a test (selftests/test_documented.py), and so does one
that its case did not come to (Page.finish).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .case import expect, expect_equal
from .guest import Guest

OPERATIONS = paths.REPO / "docs" / "OPERATIONS.md"
BLOCK = re.compile(r"^```(\w*) ?(.*?)\n(.*?)^```$", re.M | re.S)
HEADING = re.compile(r"^#+ (.*)$", re.M)
SHELLS = ("", "sh", "bash", "shell", "console")


@dataclass(frozen=True)
class Block:
    heading: str  # it stands below
    line: int
    tag: str
    text: str

    def __str__(self) -> str:
        return f"{self.heading}, line {self.line}"


def blocks(text: str) -> list[Block]:
    """The shell blocks of a page, in order. One without a language may be one."""
    found = []
    for match in BLOCK.finditer(text):
        language, tag, body = match.groups()
        if language in SHELLS:
            headings = HEADING.findall(text[:match.start()])
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(headings[-1] if headings else "", line, tag.strip(), body))
    return found


def load(path: Path = OPERATIONS) -> list[Block]:
    return blocks(path.read_text(encoding="utf-8"))


class Page:
    """A case's view of a page: runs the blocks with its tag, heading by heading."""

    def __init__(self, tag: str = "guest", path: Path = OPERATIONS):
        self.blocks = [block for block in load(path) if block.tag.split()[:1] == [tag]]
        self.done: list[Block] = []

    def below(self, heading: str, word: str = "") -> list[Block]:
        return [block for block in self.blocks
                if block.heading == heading and block.tag.split()[1:] == word.split()]

    def take(self, heading: str, word: str = "") -> str:
        """The blocks below that heading that nobody took yet, for the caller to run."""
        chosen = [block for block in self.below(heading, word) if block not in self.done]
        expect(chosen, f"the page has no block left below '{heading}' ({word or 'no word'})")
        self.done += chosen
        return "".join(block.text for block in chosen)

    def taken(self, word: str) -> None:
        """Somebody else runs those blocks."""
        self.done += [block for block in self.blocks if block.tag.split()[1:] == [word]]

    def run(self, guest: Guest, heading: str, word: str = "", timeout: float = 300,
            cwd: str = "/root") -> str:
        """take(), in a guest. What it prints; each line has to succeed."""
        return run_text(guest, self.take(heading, word), f"below '{heading}'", timeout, cwd)

    def finish(self) -> None:
        left = [str(block) for block in self.blocks if block not in self.done]
        expect(not left, f"commands of the page that nobody ran: {'; '.join(left)}")


def run_text(guest: Guest, text: str, what: str, timeout: float = 300, cwd: str = "/root") -> str:
    """Commands of a page once more."""
    run = guest.run(["bash", "-euxo", "pipefail", "-c", text], timeout, cwd=cwd,
                    env={"DEBIAN_FRONTEND": "noninteractive"})
    expect_equal(run.code, 0, f"exit code of the commands {what}:\n{run.out}{run.err}")
    return run.out + run.err
