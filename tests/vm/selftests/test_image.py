# SPDX-License-Identifier: Apache-2.0
"""The OCI image: what is in it, that it runs, that it is the same twice."""

import json
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import image, paths

CONTAINERFILE = paths.REPO / "deploy" / "image" / "Containerfile"


def instructions(word: str) -> list[str]:
    return re.findall(rf"^{word} (.+)$", CONTAINERFILE.read_text(), re.M)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = image.built()
        cls.rootfs = cls.directory / "bundle" / "rootfs"

    def run_in_it(self, *words: str) -> subprocess.CompletedProcess:
        """In namespaces of its own, with nothing of this machine but its kernel."""
        return subprocess.run(["unshare", "--map-root-user", "--mount", "--pid", "--net", "--fork",
                               "--kill-child", "--root", self.rootfs, *words],
                              capture_output=True, text=True, check=False)

    def test_its_programs_run(self):
        for name in image.PROGRAMS:
            with self.subTest(name):
                run = self.run_in_it(f"/usr/sbin/{name}", "--version")
                self.assertEqual((run.stdout.strip(), run.returncode),
                                 (f"{name} {image.version()}", 0), run.stderr)

    def test_the_agent_checks_its_configuration(self):
        run = self.run_in_it("/usr/sbin/smc-agent", "--check")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("configuration and policy are good", run.stdout)

    def test_doctor_looks_at_the_machine(self):
        run = self.run_in_it("/usr/sbin/smc-policy", "doctor")
        self.assertIn(run.returncode, (0, 1), run.stderr)
        self.assertIn("kernel BTF", run.stdout)

    def test_it_holds_programs_and_libraries_and_no_shell(self):
        programs = {path.name for place in ("usr/sbin", "usr/bin")
                    for path in (self.rootfs / place).glob("*")}
        self.assertEqual(programs, set(image.PROGRAMS))
        self.assertEqual(list(self.rootfs.rglob("*sh")), [])
        for path in self.rootfs.rglob("*"):
            if path.is_file() and not path.is_symlink():
                self.assertFalse(path.stat().st_mode & 0o6022, f"mode of {path}")

    def test_its_configuration_is_the_containerfiles(self):
        blobs = self.directory / "oci" / "blobs" / "sha256"
        index = json.loads((self.directory / "oci" / "index.json").read_text())
        (entry,) = index["manifests"]
        self.assertEqual(entry["annotations"]["io.containerd.image.name"],
                         f"localhost/smc-steer:{image.version()}")
        manifest = json.loads((blobs / entry["digest"].split(":")[1]).read_text())
        whole = json.loads((blobs / manifest["config"]["digest"].split(":")[1]).read_text())
        config = whole["config"]
        self.assertEqual([config["Entrypoint"]], [json.loads(text) for text in
                                                  instructions("ENTRYPOINT")])
        self.assertEqual(config["Env"], instructions("ENV"))
        self.assertEqual([config["StopSignal"]], instructions("STOPSIGNAL"))
        labels = dict(word.split("=", 1) for line in instructions("LABEL")
                      for word in shlex.split(line))
        self.assertLessEqual(labels.items(), config["Labels"].items())
        self.assertEqual(len(whole["rootfs"]["diff_ids"]), 1)

    def test_the_same_twice(self):
        with tempfile.TemporaryDirectory() as text:
            digests = []
            for name in ("one", "two"):
                said = image.build(Path(text) / name, SOURCE_DATE_EPOCH="1700000000",
                                   TZ="Asia/Tokyo" if name == "one" else "UTC")
                digests.append(re.search(r"^digest +(sha256:[0-9a-f]{64})$", said, re.M)[1])
                self.assertRegex(said, r"(?m)^size +[0-9.]+[KM]iB compressed")
                self.assertRegex(said, r"(?m)^start +smc-agent --version [0-9.]+ ms")
            self.assertEqual(*digests)
            archives = [next((Path(text) / name).glob("*.oci.tar")).read_bytes()
                        for name in ("one", "two")]
            self.assertEqual(*[len(each) for each in archives])
            self.assertTrue(archives[0] == archives[1], "the archives differ")
