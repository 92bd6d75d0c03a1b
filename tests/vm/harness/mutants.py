# SPDX-License-Identifier: Apache-2.0
"""./dev mutants: takes a protection out, builds, and expects that a test fails of it.

A mutant is a patch in tests/mutants with a few words before it:

    about: what is taken out, and what goes wrong then
    killed-by: the case that has to fail (of any label)
    says: a piece of what it has to fail with
    build: targets of ninja, if it needs any
    unseen: why it is not known yet that this case kills it each time, if so: no plain run depends on it

The work tree is not touched: in a mount namespace of its own an overlay lies over the repository, at
the repository's own path. What is patched, compiled and run there goes when the namespace goes.
What was said is kept in build/mutants/NAME.

A diff of net/smc (paths as in the kernel's tree, without context, on top of deploy/kernel/patches) is for
cmake/setup/smc_module.sh, and guests take what that makes.
"""

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from . import arguments, namespaces, paths, progress
from .outcome import Outcome

LABEL = "mutants"
PREFIX = "mutant-"
DIRECTORY = paths.REPO / "tests" / "mutants"
LOGS = paths.REPO / "build" / "mutants"
SCRATCH = paths.CACHE / "mutant"
KEYS = ("about", "killed-by", "says", "build", "unseen")
TIMEOUT = 1500
SECONDS = 40.0  # that one takes which this machine has not run yet

EPILOG = """examples:
  ./dev mutants
  ./dev mutants --list
  ./dev mutants --only no-last-look
  ./dev test --only mutant-no-last-look

All take about an hour and a quarter on two CPUs without KVM: 20 s where a program of this machine
kills one, 45 s in guests. A full ./dev test runs two of them, the next two with each commit and each
day; with --long all. How to add one: CONTRIBUTING.md."""

NOT_APPLIED, NOT_BUILT = 101, 102
# Arguments: repository, a directory for the layers, one for logs, patch, case, build directory, whether it is
# one of net/smc (yes or no), targets.
INSIDE = f"""
set -e
repo=$1 scratch=$2 logs=$3 patch=$4 case=$5 build=$6 smc=$7
shift 7
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/logs"
mount --bind "$logs" "$scratch/logs"
mount -t overlay -o "lowerdir=$repo,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$repo"
mkdir -p "$repo/build/test-logs"
mount --bind "$scratch/logs" "$repo/build/test-logs"
cd "$repo"
logs=$repo/build/test-logs
if [ "$smc" = yes ]; then
    SMC_STEER_SMC_KO=$(cmake/setup/smc_module.sh "$patch" 2>"$logs/build.log") || exit {NOT_BUILT}
    export SMC_STEER_SMC_KO
else
    git apply "$patch" >"$logs/apply.log" 2>&1 || exit {NOT_APPLIED}
fi
[ $# -eq 0 ] || ninja -C "$build" "$@" >"$logs/build.log" 2>&1 || exit {NOT_BUILT}
exec /usr/bin/python3 -B -c "import sys; sys.path.insert(0, 'tests/vm')
from harness.run import main
sys.exit(main())" --only "$case" --jobs 1 --junit "$logs/result.xml" >"$logs/run.log" 2>&1
"""


@dataclass(frozen=True)
class Mutant:
    name: str
    about: str
    killed_by: str
    says: str
    build: tuple[str, ...]
    patch: Path
    unseen: str = ""
    smc: bool = False  # of the guest kernel's net/smc


def parse(path: Path) -> Mutant:
    """ValueError for what is no mutant."""
    head, _, diff = path.read_text().partition("\n---")
    words = dict(re.findall(r"(?m)^([a-z-]+): (.+)$", head))
    unknown = [line for line in head.splitlines() if line.split(":")[0] not in KEYS]
    missing = [key for key in KEYS[:3] if key not in words]
    if unknown or missing or not diff:
        raise ValueError(f"{path.name}: wants {', '.join(KEYS)} and a diff "
                         f"(missing: {missing}, not known: {unknown})")
    return Mutant(path.stem, words["about"], words["killed-by"], words["says"],
                  tuple(words.get("build", "").split()), path, words.get("unseen", ""),
                  "\n+++ b/net/smc/" in diff)


def load(directory: Path = DIRECTORY) -> dict[str, Mutant]:
    return {path.stem: parse(path) for path in sorted(directory.glob("*.patch"))}


def in_turn(names: list[str], turn: int) -> list[str]:
    """Two of them: all have been in it after half as many turns as there are names."""
    return [names[(2 * turn + step) % len(names)] for step in range(min(2, len(names)))]


def turn_now() -> int:
    """Moves on with each commit and each day, and needs no memory."""
    count = subprocess.run(["git", "-C", paths.REPO, "rev-list", "--count", "HEAD"],
                           capture_output=True, text=True, check=False)
    return int(count.stdout.strip() or 0) + int(time.time() // 86400)


def verdict(mutant: Mutant, code: int, logs: Path) -> str:
    """"" when it was killed, and for the right reason; else what happened."""
    if code == NOT_APPLIED:
        return f"the patch does not apply: {tail(logs / 'apply.log', 3)}"
    if code == NOT_BUILT:
        return f"it does not build: {tail(logs / 'build.log', 15)}"
    try:
        tests = list(ElementTree.parse(logs / "result.xml").iter("testcase"))
    except (OSError, ElementTree.ParseError):
        tests = []
    if [test.get("name") for test in tests] != [mutant.killed_by]:
        said = tail(logs / "run.log", 5) or tail(logs / "mounts.log", 5)
        return f"{mutant.killed_by} has no result: {said}"
    failure = tests[0].find("failure")
    if failure is None:
        return f"SURVIVED: {mutant.killed_by} passes all the same"
    said = failure.get("message", "")
    if mutant.says not in said:
        return f"{mutant.killed_by} failed of something else than '{mutant.says}': {said}"
    return ""


def tail(path: Path, lines: int) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def run(mutant: Mutant) -> Outcome:
    """Passed: it was killed."""
    logs = LOGS / mutant.name
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
            "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INSIDE, "sh", paths.REPO, SCRATCH,
            logs, mutant.patch, mutant.killed_by, paths.BUILD, "yes" if mutant.smc else "no", *mutant.build]
    began = time.monotonic()
    try:
        with open(logs / "mounts.log", "wb") as log:
            code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  timeout=TIMEOUT, check=False).returncode
        what = verdict(mutant, code, logs)
    except subprocess.TimeoutExpired:
        what = f"no end after {TIMEOUT} s"
    said = "" if not what else f"more in {logs.relative_to(paths.REPO)}"
    return Outcome(LABEL, PREFIX + mutant.name, not what, time.monotonic() - began,
                   what and f"{mutant.about}\n{what}", said)


def cases(long: bool, only: list[str]) -> dict[str, Mutant]:
    """Those of a ./dev test, by the names they have there: all of them where they are asked for. What
    is built for the kernel that checks itself is built elsewhere: there are none for it.
    """
    if paths.CHECKED:
        return {}
    every = {PREFIX + name: mutant for name, mutant in load().items()}
    if long or any(name.startswith(PREFIX) for name in only):
        return every
    seen = [name for name, mutant in every.items() if not mutant.unseen]
    return {name: every[name] for name in in_turn(seen, turn_now())}


def main() -> int:
    parser = arguments.Parser(prog="./dev mutants", epilog=EPILOG, description=(
        "Takes each protection of tests/mutants out in turn and expects that its test fails."))
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="this mutant (may be repeated)")
    parser.add_argument("--list", action="store_true", help="name them, with what kills them")
    options = parser.parse_args()
    try:
        known = load()
    except ValueError as error:
        sys.exit(f"./dev mutants: {error}")
    for name in options.only:
        if name not in known:
            parser.error(f"no mutant is called '{name}' (see ./dev mutants --list)")
    arguments.end_if_only_asked()
    chosen = [known[name] for name in known if name in (options.only or known)]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:<28} {mutant.killed_by}{'  (unseen)' if mutant.unseen else ''}")
        return 0
    namespaces.require_root()
    left = []
    seconds = progress.remembered()
    if len(chosen) > 1:
        took = sum(seconds.get(PREFIX + mutant.name, SECONDS) for mutant in chosen)
        print(f"{len(chosen)} mutants: about {progress.about(took)}", flush=True)
    try:
        for mutant in chosen:
            outcome = run(mutant)
            progress.remember([outcome])
            word = "killed  " if outcome.passed else "SURVIVED" if "SURVIVED" in outcome.reason else "ERROR   "
            print(f"{word}  {mutant.name}  {outcome.seconds:.1f} s  {mutant.killed_by}", flush=True)
            if not outcome.passed:
                left.append(mutant.name)
                for text in (outcome.reason, outcome.logs):
                    print("      " + text.replace("\n", "\n      "), flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    for mutant in chosen:
        if mutant.name in left:
            print(f"not killed: {mutant.name}")
        elif mutant.unseen:
            print(f"killed, and says 'unseen:' still: {mutant.name}")
    print(f"{len(chosen) - len(left)} killed, {len(left)} not")
    return 1 if left else 0
