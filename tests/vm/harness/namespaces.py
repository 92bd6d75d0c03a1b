# SPDX-License-Identifier: Apache-2.0
"""Namespaces of a lab.

The first process of a lab is process 1 of a pid namespace of its own, with a network and a
mount namespace. The kernel kills the rest when it ends, for whatever reason, and the bridge,
the taps and the mounts go with the last process: there is nothing to clean up.
"""

import os
import sys

from . import paths


def command(argv: list[str], die_with_parent: bool = True) -> list[str]:
    """`argv` as the first process of new namespaces. With `die_with_parent` all of it also
    ends with the thread that starts it, even when that is killed by SIGKILL.
    """
    prefix = ["setpriv", "--pdeathsig", "KILL"] if die_with_parent else []
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return prefix + unshare + argv


def python(module: str, *args: str) -> list[str]:
    """Command line for a module of this package."""
    code = f"import sys; sys.path.insert(0, {str(paths.REPO / 'tests' / 'vm')!r}); "
    code += f"sys.argv[0] = 'dev'; from harness.{module} import main; sys.exit(main())"
    return ["/usr/bin/python3", "-B", "-c", code, *args]


def require_root() -> None:
    if os.geteuid() != 0:
        sys.exit("./dev: guests need root (bridge, taps, namespaces): run as root")
