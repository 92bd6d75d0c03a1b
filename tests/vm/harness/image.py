# SPDX-License-Identifier: Apache-2.0
"""The OCI image of this build's programs, made once per build by deploy/image/build.sh."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

from . import paths

SCRIPT = paths.REPO / "deploy" / "image" / "build.sh"
PROGRAMS = ("smc-agent", "smc-policy", "smc-device-plugin", "smc-node-label")


def version() -> str:
    text = (paths.REPO / "include" / "smc_steer" / "version.h").read_text()
    return re.search(r'^#define STEER_VERSION "([0-9.]+)"', text, re.M)[1]


def build(output: Path, **environment: str) -> str:
    """What the script says."""
    run = subprocess.run([SCRIPT, paths.AGENT.parent, output, version()], text=True, check=False,
                         capture_output=True, env={**os.environ, **environment})
    if run.returncode:
        raise AssertionError(f"{SCRIPT.name}: exit {run.returncode}: {run.stdout}{run.stderr}")
    return run.stdout


def built() -> Path:
    """Directory of the image and, unpacked by umoci, of a bundle of it."""
    key = hashlib.sha256(SCRIPT.read_bytes())
    for name in PROGRAMS:
        key.update(str(paths.built(paths.AGENT.parent / name).stat().st_mtime_ns).encode())
    directory = paths.BUILD / "image" / key.hexdigest()[:12]
    if not (directory / "complete").exists():
        build(directory)
        unpack(directory / "oci", directory / "bundle")
        (directory / "complete").touch()
    return directory


def unpack(layout: Path, bundle: Path) -> None:
    subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{layout}:{version()}", bundle],
                   check=True, capture_output=True)
