# SPDX-License-Identifier: Apache-2.0
"""The Debian packages that clean guests install, and what else such guests are made of."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from . import clean, documented, paths

PACKAGES = paths.REPO / "build" / "packages"  # as ./dev package leaves them
OLD = PACKAGES / "old"
OLD_VERSION = "0.0.1"
PACKAGE_FOR = paths.REPO / "cmake" / "setup" / "package_for.sh"
TRIXIE = paths.REPO / "build" / "packages-trixie"


def prepare(root: str, log, long: bool) -> None:
    """Makes the root file system and the packages, for a Plan's `root`: minutes the first time. What a
    person types for the packages is what docs/OPERATIONS.md says; but the short form packages the programs
    that the other tests use, since compiling what is shipped takes minutes.
    """
    def run(argv: list) -> None:
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                       cwd=paths.REPO)
    if root == "trixie":
        shutil.rmtree(TRIXIE, ignore_errors=True)
        run([clean.SETUP, "trixie"])
        run([PACKAGE_FOR, "trixie", TRIXIE, "release" if long else "dev"])
        return
    run([clean.SETUP])
    shutil.rmtree(PACKAGES, ignore_errors=True)
    for block in documented.load():
        if block.tag == "prepare":
            text = block.text if long else block.text.rstrip() + " --preset dev\n"
            run(["bash", "-euxo", "pipefail", "-c", text])
    # The same programs under an older number: what a node is upgraded from.
    OLD.mkdir()
    with tempfile.TemporaryDirectory(dir=PACKAGES) as work:
        tree = Path(work) / "tree"
        run(["dpkg-deb", "--raw-extract", package("smc-steer"), tree])
        run(["sed", "-i", f"s/^Version: .*/Version: {OLD_VERSION}/", tree / "DEBIAN" / "control"])
        run(["dpkg-deb", "--root-owner-group", "--build", tree, OLD])


def package(name: str, where: Path = PACKAGES) -> Path:
    found = list(where.glob(f"{name}_*.deb"))
    if len(found) != 1:
        raise paths.MissingError(f"{name} is not packaged: run ./dev package")
    return found[0]


def version() -> str:
    return package("smc-steer").name.split("_")[1]
