# SPDX-License-Identifier: Apache-2.0
"""Examples in deploy/ against the schemas and programs they are written for."""

import os
import subprocess
import tomllib
import unittest
from pathlib import Path

from harness import paths

DEPLOY = paths.REPO / "deploy"


class Libvirt(unittest.TestCase):
    def validate(self, text: str) -> subprocess.CompletedProcess:
        return subprocess.run(["virt-xml-validate", "-", "domain"], input=text, text=True,
                              capture_output=True, check=False)

    def test_the_example_fits_libvirts_schema(self):
        run = self.validate((DEPLOY / "libvirt" / "domain.xml").read_text())
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_a_word_that_libvirt_does_not_know_is_noticed(self):
        text = (DEPLOY / "libvirt" / "domain.xml").read_text()
        wrong = text.replace("ivshmem-doorbell", "ivshmem-bell")
        self.assertNotEqual(wrong, text)
        self.assertNotEqual(self.validate(wrong).returncode, 0)


class Kata(unittest.TestCase):
    def arguments(self, *words: str) -> str:
        """What the wrapper calls QEMU with."""
        environment = {**os.environ, "QEMU": "/bin/echo", "IVPCI_SOCKET": "/run/x y.sock"}
        run = subprocess.run([DEPLOY / "kata" / "qemu-ivpci", *words], env=environment, text=True,
                             capture_output=True, check=True)
        return run.stdout.strip()

    def test_a_guest_gets_the_device(self):
        self.assertEqual(self.arguments("-m", "1G", "-kernel", "/k"),
                         "-m 1G -kernel /k -chardev socket,path=/run/x y.sock,id=ivpci "
                         "-device ivshmem-doorbell,chardev=ivpci,vectors=4")

    def test_the_drop_in_names_the_wrapper_and_the_driver(self):
        with open(DEPLOY / "kata" / "50-smc-steer.toml", "rb") as file:
            config = tomllib.load(file)
        qemu = config["hypervisor"]["qemu"]
        self.assertEqual(Path(qemu["path"]).name, "qemu-ivpci")
        self.assertEqual(qemu["valid_hypervisor_paths"], [qemu["path"]])
        self.assertGreater(qemu["default_maxvcpus"], 1)
        self.assertEqual(config["agent"]["kata"]["kernel_modules"], ["smc", "ivpci"])

    def test_a_question_does_not(self):
        self.assertEqual(self.arguments("-machine", "help"), "-machine help")
