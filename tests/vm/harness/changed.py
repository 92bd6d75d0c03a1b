# SPDX-License-Identifier: Apache-2.0
"""./dev test --changed: which cases a change can have broken, by the files it touches.

A rule names a place in the repository and the labels and cases that look at it, those that look
closest first in the reader's mind: what is used by everything has no rule and means everything, and so
does a file nobody thought of. So a rule that is missing costs time and hides nothing.
"""

import fnmatch
import subprocess

from . import case as cases
from . import paths

PROGRAMS = {"unit", "abi", "broker", "mutants"}
AGENT = {"unit", "spine", "policy", "containers", "deploy", "semantics", "direct"}

# The first pattern that fits decides; "*" reaches over slashes. Words are labels or cases.
RULES: list[tuple[str, set[str]]] = [
    ("docs/OPERATIONS.md", {"unit", "packages"}),
    ("*.md", {"unit"}),
    ("docs/*", {"unit"}),
    ("LICENSES/*", set()), ("LICENSE", set()), (".clang-*", set()), (".gitignore", set()),
    ("tests/model/*", set()), ("tests/driver/*", set()), ("tests/*/fuzz*", set()),
    ("tests/bench/*", set()),
    ("tests/unit/*", {"unit"}),
    ("tests/mutants/*", {"unit", "mutants"}),
    ("tests/vm/selftests/*", {"unit"}),
    ("tests/abi/*", {"abi"}),
    ("tests/broker/*", {"broker"}),
    ("tests/kubernetes/*", {"unit"}),
    ("tests/kmod/dibs_client/*", {"dibs-client", "last-look"}),
    ("tests/kmod/squat/*", {"driver-comes-and-goes"}),
    ("tests/kmod/ring_client/*", {"ring-client", "rings-go", "rings-6.12", "rings-trixie"}),
    ("tests/vm/programs/semantics*", {"semantics", "direct"}),
    ("tests/vm/harness/semantics.py", {"unit", "semantics", "direct"}),
    ("tests/vm/harness/*bench.py", set()), ("tests/vm/harness/measure.py", set()),
    ("kmod/tcp_ivpci*", {"direct"}), ("include/smc_steer/direct_abi.h", {"direct"}),
    ("tests/vm/programs/offload.cc", {"direct"}),
    ("kmod/ivpci_smcd.c", {"unit", "kernel61"}),
    ("kmod/*", {"unit", "abi", "fabric", "spine", "kernel61", "semantics", "direct", "packages"}),
    ("bpf/services*", {"unit", "containers"}),
    ("bpf/*", AGENT | {"abi"}),
    ("agent/kubernetes/*", {"unit", "deploy"}),
    ("agent/cli/*", {"unit", "policy", "bad-input", "bad-policy-file"}),
    ("agent/workloads/*", {"unit", "containers", "workloads"}),
    ("agent/*", AGENT),
    ("broker/*", {"unit", "broker", "fabric"}),
    ("deploy/debian/*", {"unit", "packages"}), ("cmake/setup/package.sh", {"packages"}),
    ("cmake/setup/clean_root.sh", {"packages"}),
    ("deploy/kubernetes/*", {"unit", "deploy"}), ("deploy/image/*", {"unit", "deploy"}),
    ("deploy/kernel/*", {"spine", "fabric"}), ("cmake/setup/kernel.sh", {"spine", "fabric"}),
    ("deploy/*", {"unit", "deploy", "packages"}),
    ("cmake/setup/*", {"unit"}),
]


def cases_of(file: str) -> set[str] | None:
    """Labels and cases; None: everything."""
    if file.startswith("tests/vm/cases/"):
        module = "cases." + file.removeprefix("tests/vm/cases/").removesuffix(".py")
        own = {name for name, one in cases.load().items() if one.function.__module__ == module}
        return own or None
    for pattern, words in RULES:
        if fnmatch.fnmatchcase(file, pattern):
            return words
    return None


def files(base: str) -> list[str]:
    """What differs from that commit, files that git does not know yet included."""
    def git(*words: str) -> list[str]:
        run = subprocess.run(["git", *words], cwd=paths.REPO, capture_output=True, text=True,
                             check=False)
        if run.returncode:
            raise ValueError(f"--changed {base}: git says: {run.stderr.strip().splitlines()[0]}")
        return run.stdout.splitlines()
    return sorted({*git("diff", "--name-only", base, "--"),
                   *git("ls-files", "--others", "--exclude-standard")})


def narrow(batches: list, base: str) -> list:
    """Of `batches`, what the difference to commit `base` can have broken; ValueError if it is nothing."""
    from .run import select
    wanted: set[str] = set()
    for file in (found := files(base)):
        words = cases_of(file)
        if words is None:
            print(f"{file}: everything uses it")
            return batches
        wanted |= words
    labels = {batch.label for batch in batches}
    names = [name for batch in batches for name in batch.names
             if batch.label in wanted or name in wanted]
    if not names:
        raise ValueError(f"--changed {base}: no case looks at what differs: "
                         f"{', '.join(found) or 'nothing does'}")
    print(f"{len(found)} files differ from {base}: {', '.join(sorted(wanted & labels))} "
          f"{', '.join(sorted(wanted - labels))}".rstrip())
    return select(batches, [], names)
