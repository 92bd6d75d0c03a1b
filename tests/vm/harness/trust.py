# SPDX-License-Identifier: Apache-2.0
"""What agent.yaml of a guest has to say for its agent to steer: nothing, where the kernel's net/smc
bounds what it reads from the region.
"""

import functools
import subprocess

from . import modules, paths

LINE = "trust: region\n"


@functools.cache
def line(kernel: str) -> str:
    """LINE or nothing. For a kernel of paths.KERNELS. Told by the module's file, as no guest runs yet."""
    other = modules.other_smc(kernel)
    for module in [other] if other else (paths.kernel_dir(kernel) / "lib" / "modules").glob("*/**/smc.ko*"):
        # A parameter that has functions of its own has no type, only what its author says of it.
        for field in ("parm", "parmtype"):
            told = subprocess.run(["modinfo", "-F", field, module], capture_output=True, text=True,
                                  check=True).stdout
            if any(parameter.startswith("bounded:") for parameter in told.split("\n")):
                return ""
    return LINE
