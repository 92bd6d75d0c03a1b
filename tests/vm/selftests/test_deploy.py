# SPDX-License-Identifier: Apache-2.0
"""Examples in deploy/ against the schemas and programs they are written for."""

import os
import re
import subprocess
import tempfile
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


UNITS = {"smc-agent.service": 4.5, "ivpci-broker.service": 1.5}


class Units(unittest.TestCase):
    """systemd-analyze verify wants the programs: case packages has it."""

    def exposure(self, text: str, name: str) -> float:
        with tempfile.TemporaryDirectory(prefix="smc-steer-unit.") as directory:
            unit = Path(directory) / name
            unit.write_text(text)
            run = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true",
                                  unit], text=True, capture_output=True, check=True)
        return float(re.search(r"Overall exposure level.*: ([\d.]+)", run.stdout)[1])

    def test_exposure_is_as_low_as_it_was(self):
        for name, most in UNITS.items():
            with self.subTest(unit=name):
                text = (DEPLOY / "systemd" / name).read_text()
                self.assertLessEqual(self.exposure(text, name), most)

    def test_a_fence_that_is_gone_is_noticed(self):
        for name, most in UNITS.items():
            with self.subTest(unit=name):
                text = (DEPLOY / "systemd" / name).read_text()
                open_to_all = re.sub(r"(?m)^(Cap|System|Restrict|Protect).*\n", "", text)
                self.assertGreater(self.exposure(open_to_all, name), most)


class Configuration(unittest.TestCase):
    def keys(self, text: str) -> set[str]:
        return set(re.findall(r"(?m)^\s*([a-z_]+):", text))

    def test_the_installed_file_names_each_key_of_the_manual(self):
        """That their values are the defaults, a unit test knows (AgentShipped)."""
        page = (paths.REPO / "docs" / "OPERATIONS.md").read_text()
        manual = page.split("## Configuration\n", 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]
        shipped = (DEPLOY / "systemd" / "agent.yaml").read_text()
        shipped = re.sub(r"(?m)^#(?=[a-z]| {2})", "", shipped)
        self.assertEqual(self.keys(shipped), self.keys(manual))


class Version(unittest.TestCase):
    def test_programs_say_what_the_header_says(self):
        header = (paths.REPO / "include" / "smc_steer" / "version.h").read_text()
        version = re.search(r'#define STEER_VERSION "(.*)"', header)[1]
        for program in (paths.AGENT, paths.BROKER):
            said = subprocess.run([paths.built(program), "--version"], capture_output=True,
                                  text=True, check=True).stdout
            self.assertEqual(said.split(), [program.name, version])
