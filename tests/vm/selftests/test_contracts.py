# SPDX-License-Identifier: Apache-2.0
"""Contracts between modules of which one may be older than the other: whoever changes one gives it a new number."""

import hashlib
import re
import unittest

from harness import paths

# IVPCI_RINGS_VERSION -> what kmod/ivpci_rings.h was then, without comments and spaces.
RINGS = {2: "babf6be1de1e4a3a"}


class RingsVersion(unittest.TestCase):
    def test_another_contract_has_another_number(self):
        """tcp_ivpci_calls stays until the next boot, and finds the driver by this number (deploy/dkms/ivpci-reload)."""
        text = (paths.REPO / "kmod" / "ivpci_rings.h").read_text(encoding="ascii")
        number = int(re.search(r"#define IVPCI_RINGS_VERSION (\d+)", text)[1])
        code = re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
        self.assertEqual(hashlib.sha256(code.encode()).hexdigest()[:16], RINGS.get(number),
                         "ivpci_rings.h changed: give it the next version, and say here what that is")
