# SPDX-License-Identifier: Apache-2.0
"""Where things are: the repository, its build directory, the caches, the guest kernel."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SMC_STEER_BUILD_DIR") or REPO / "build" / "dev")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smc-steer"
RUN = CACHE / "run"
TEST_LOGS = REPO / "build" / "test-logs"

BROKER = BUILD / "broker" / "ivpci-broker"
AGENT = BUILD / "agent" / "smc-agent"
POLICY = BUILD / "agent" / "smc-policy"
IVPCI_KO = Path(os.environ.get("SMC_STEER_KO") or BUILD / "kmod" / "ivpci.ko")
PROGRAMS = BUILD / "tests" / "vm" / "programs"

GUEST_INIT = REPO / "tests" / "vm" / "guest" / "init"


class MissingError(Exception):
    """Something that has to be built or installed first; the message says what and how."""


def kernel_dir() -> Path:
    """Directory of the guest kernel (bzImage, lib/modules), made by cmake/setup/kernel.sh."""
    value = os.environ.get("SMC_STEER_KERNEL_DIR")
    if not value:
        raise MissingError("the guest kernel is not built: run ./dev setup")
    path = Path(value)
    if not (path / "bzImage").exists():
        raise MissingError(f"no guest kernel in {path}: run ./dev setup")
    return path


def built(path: Path) -> Path:
    """`path` if it exists, else MissingError."""
    if not path.exists():
        raise MissingError(f"{path.relative_to(REPO)} is not built: run ./dev build")
    return path
