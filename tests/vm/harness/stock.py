# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernels that are taken, and have modules made for them, when a case runs that wants one."""

import subprocess

from . import paths

SETUP = paths.REPO / "cmake" / "setup" / "stock_modules.sh"


def prepare(kernels: list[str], log) -> None:
    """Seconds where it has been done; the first time about a minute, for Debian 13's two."""
    for kernel in sorted({*kernels} & {*paths.STOCK_KERNELS}):
        subprocess.run([SETUP, kernel], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                       cwd=paths.REPO)
