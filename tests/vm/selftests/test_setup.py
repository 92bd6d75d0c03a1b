# SPDX-License-Identifier: Apache-2.0
"""cmake/setup: what a machine has installed and configured decides nothing, and a command sets up what
it needs and no more.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import paths

SETUP = paths.REPO / "cmake" / "setup"

# A machine where a newer version than the archive's is installed, as from a security update; where
# the package is pinned away; and whose apt wants another release.
INSTALLED = """\
Package: steer-probe
Status: install ok installed
Architecture: all
Maintainer: nobody <nobody@localhost>
Version: 2.0
Description: newer than what the archive has

"""
PINNED = "Package: steer-probe\nPin: version *\nPin-Priority: -1\n"
RELEASE = 'APT::Default-Release "experimental";\n'
CONTROL = """\
Package: steer-probe
Architecture: all
Maintainer: nobody <nobody@localhost>
Version: 1.0
Description: what the archive has
"""

SCRIPT = """
set -eu
mount --bind "$1/status" /var/lib/dpkg/status
mount --bind "$1/preferences.d" /etc/apt/preferences.d
. "$2/common.sh"
. "$2/private_apt.sh"
export APT_CONFIG="$1/apt.conf"
mkdir -p "$STEER_CACHE/apt/probe"
printf 'deb [trusted=yes] file:%s/archive ./\\n' "$1" >"$STEER_CACHE/apt/probe/sources.list"
private_apt probe apt-get update
private_apt_unpack probe steer-probe "$1/unpacked"
"""


def make_machine(top: Path) -> None:
    for place in ("archive", "preferences.d", "tree/DEBIAN", "tree/usr/share/steer-probe"):
        (top / place).mkdir(parents=True)
    (top / "status").write_text(INSTALLED)
    (top / "preferences.d" / "pin").write_text(PINNED)
    (top / "apt.conf").write_text(RELEASE)
    (top / "tree/DEBIAN/control").write_text(CONTROL)
    (top / "tree/usr/share/steer-probe/file").write_text("taken\n")
    subprocess.run(["dpkg-deb", "--build", top / "tree", top / "archive/steer-probe.deb"], check=True,
                   capture_output=True)
    index = subprocess.run(["dpkg-scanpackages", "."], cwd=top / "archive", check=True,
                           capture_output=True)
    (top / "archive/Packages").write_bytes(index.stdout)


class PrivateAptTest(unittest.TestCase):
    def test_takes_packages_that_are_installed_here_in_another_version(self):
        with tempfile.TemporaryDirectory(prefix="smc-steer-apt.") as directory:
            top = Path(directory)
            make_machine(top)
            user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
            run = subprocess.run(["unshare", *user, "--mount", "bash", "-c", SCRIPT, "bash", top, SETUP],
                                 env={**os.environ, "XDG_CACHE_HOME": str(top / "cache")},
                                 capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            self.assertEqual((top / "unpacked/usr/share/steer-probe/file").read_text(), "taken\n")


class PartsTest(unittest.TestCase):
    def packages(self, *parts: str) -> list[str]:
        run = subprocess.run([SETUP / "apt.sh", "--list", *parts], capture_output=True, text=True,
                             check=True)
        return run.stdout.split()

    def test_the_demo_needs_no_browser_and_no_containers(self):
        demo = self.packages("compile", "kernel", "guests")
        for name in ("qemu-system-x86", "sockperf", "iperf3", "clang", "pahole"):
            self.assertIn(name, demo)
        for name in ("chromium", "runc", "umoci", "lintian", "npm", "clang-tidy-14", "mmdebstrap"):
            self.assertNotIn(name, demo)

    def test_wrong_words_set_nothing_up(self):
        for words, said in ((("demo", "--kernel", "5.10"), "--kernel: invalid choice: '5.10'"),
                            (("bench", "--rows", "no"), "--rows: no row's name begins with 'no'"),
                            (("test", "--lable", "unit"), "unrecognized arguments: --lable unit"),
                            (("vm", "up", "--guests", "99"), "--guests: '99' is not a number from 1 to 16"),
                            (("mutants", "--only", "none"), "no mutant is called 'none'")):
            with tempfile.TemporaryDirectory(prefix="smc-steer-words.") as directory:
                run = subprocess.run([paths.REPO / "dev", *words], env={**os.environ, "XDG_CACHE_HOME": directory},
                                     capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(os.listdir(directory), [], words)
            self.assertEqual(run.returncode, 2, run.stderr)
            self.assertIn(said, run.stderr)
            self.assertEqual(run.stderr.count("\n"), 1, run.stderr)

    def test_a_part_that_is_none(self):
        run = subprocess.run([SETUP / "apt.sh", "--list", "everything"], capture_output=True, text=True,
                             check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("no part 'everything'", run.stderr)
