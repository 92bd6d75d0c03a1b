# SPDX-License-Identifier: Apache-2.0
"""The modules that a guest sees: its kernel's, and ours, as modprobe wants them. Made on the host, once in a
lab for each kernel: depmod takes a second of CPU under TCG, and none here.
"""

import functools
import shutil
import subprocess
from pathlib import Path

from . import paths

OURS = ("ivpci.ko", "tcp_ivpci_calls.ko", "tcp_ivpci.ko")


def other_smc(kernel: str) -> Path | None:
    """The smc.ko that guests with that kernel take in place of its own."""
    return paths.smc_module() if kernel == "guest" else None


@functools.cache
def prepare(kernel: str) -> Path:
    """Directory for /lib/modules/RELEASE of a guest with that kernel (of paths.KERNELS), in the lab's own
    tmpfs, which guests see.
    """
    top = paths.RUN / f"modules-{kernel}"
    source = next((paths.kernel_dir(kernel) / "lib" / "modules").iterdir())
    target = top / "lib" / "modules" / source.name
    shutil.copytree(source, target, symlinks=True)
    places = {f"extra/{name}": paths.driver(kernel).parent / name for name in OURS}
    if other := other_smc(kernel):
        # Whatever its file is called. depmod prefers what lies here.
        places["updates/smc.ko"] = other
    for place, module in places.items():
        if module.exists():
            (target / place).parent.mkdir(exist_ok=True)
            # Links: guests take a module from where it is built, also one that was built meanwhile.
            (target / place).symlink_to(module)
    subprocess.run(["depmod", "-b", top, source.name], check=True)
    return target
