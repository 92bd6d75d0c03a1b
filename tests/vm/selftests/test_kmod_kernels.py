# SPDX-License-Identifier: Apache-2.0
"""The driver's build says in one line which kernels it is not for, and what others do not get."""

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

    def test_preempt_rt_is_refused_by_its_name(self):
        self.expect_refused("CONFIG_PREEMPT_RT", options=("CONFIG_PREEMPT_RT=y",))

    def test_what_a_kernel_lacks_is_left_out_by_name_and_the_driver_is_built(self):
        with tempfile.TemporaryDirectory() as directory:
            run = self.build(directory, "CONFIG_PREEMPTION=")
            made = sorted(path.name for path in (Path(directory) / "kmod").glob("*.ko"))
        self.assertEqual((run.returncode, made), (0, ["ivpci.ko"]), run.stderr)
        said = [line for line in run.stdout.splitlines() if ": kernel 6.12." in line]
        self.assertEqual(len(said), 2, run.stdout)
        for line, words in zip(sorted(said), (
                ("ivpci: ", "no SMC-D device", "smcd_register_dev()", "6.3", "DIBS", "6.18",
                 "docs/COMPATIBILITY.md"),
                ("tcp_ivpci: ", "without CONFIG_PREEMPTION", "left out"))):
            for word in words:
                self.assertIn(word, line)

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
