# SPDX-License-Identifier: Apache-2.0
"""The driver's build says in one line which kernels it is not for."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import paths


class RefusedKernelTest(unittest.TestCase):
    def build(self, directory: str, *options: str) -> subprocess.CompletedProcess:
        headers = os.environ.get("SMC_STEER_REFUSED_HEADERS")
        self.assertTrue(headers, "no headers of a kernel to refuse: run ./dev setup")
        source = Path(directory) / "kmod"
        shutil.copytree(paths.REPO / "kmod", source)
        return subprocess.run(["make", "-C", f"{headers}/build", f"M={source}",
                               f"IVPCI_INCLUDE={paths.REPO}/include", "modules", *options],
                              capture_output=True, text=True, check=False)

    def test_a_kernel_without_a_way_to_register_is_refused_with_the_reason(self):
        self.expect_refused("kernel 6.12.", "smcd_register_dev()", "6.3", "DIBS", "6.18",
                            "docs/COMPATIBILITY.md")

    def test_preempt_rt_is_refused_by_its_name(self):
        self.expect_refused("CONFIG_PREEMPT_RT", options=("CONFIG_PREEMPT_RT=y",))

    def test_tcp_ivpci_is_left_out_by_name_without_preemption(self):
        with tempfile.TemporaryDirectory() as directory:
            said = self.build(directory, "CONFIG_PREEMPTION=").stdout
        self.assertIn("tcp_ivpci: kernel 6.12.", said)
        self.assertIn("without CONFIG_PREEMPTION", said)

    def expect_refused(self, *words: str, options: tuple = ()) -> None:
        with tempfile.TemporaryDirectory() as directory:
            run = self.build(directory, *options)
            self.assertNotEqual(run.returncode, 0)
            self.assertFalse((Path(directory) / "kmod" / "ivpci.ko").exists())
        said = [line for line in run.stderr.splitlines() if "ivpci: " in line]
        self.assertEqual(len(said), 1, run.stderr)
        for word in words:
            self.assertIn(word, said[0])
        self.assertNotIn("error:", run.stdout + run.stderr)  # refused, not broken
