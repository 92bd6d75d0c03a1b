# SPDX-License-Identifier: Apache-2.0
"""What became of one case of any kind."""

from dataclasses import dataclass


@dataclass
class Outcome:
    label: str
    name: str
    passed: bool
    seconds: float
    reason: str = ""  # why it failed
    logs: str = ""  # last lines worth reading, for a failed one
    before: str = ""  # why it failed the first time, beside others, if it passed by itself
