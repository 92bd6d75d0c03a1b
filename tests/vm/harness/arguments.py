# SPDX-License-Identifier: Apache-2.0
"""argparse with one-line errors: what, where, what to do; exit code 2."""

import argparse
import os
import sys

# Set by ./dev, which asks before it sets up, compiles and so on whether the words are right.
WORDS_ONLY = "SMC_STEER_WORDS_ONLY"


class Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter,
                         allow_abbrev=False, **options)

    def error(self, message: str):
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def end_if_only_asked() -> None:
    """Call it when all words were looked at. Ends the program if ./dev only asked about them."""
    if WORDS_ONLY in os.environ:
        sys.exit(0)


def number(low: int, high: int):
    """A type for add_argument: a whole number in low..high."""
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return value
    return parse
