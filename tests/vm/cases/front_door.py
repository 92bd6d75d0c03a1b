# SPDX-License-Identifier: Apache-2.0
"""./dev vm and ./dev demo as people call them, and what they leave behind.

A case is process 1 of namespaces of its own: whatever a command forgets to end or to take
away stays where the case sees it, and only that.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from harness import paths
from harness.case import case, expect, expect_equal

DEV = str(paths.REPO / "dev")
QEMU = "qemu-system-x86"  # as far as the kernel keeps a process's name
BOOT_SECONDS = 100
GONE_SECONDS = 5


def processes() -> dict[int, str]:
    """Of this pid namespace and those below it, but for this one and the dead."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, state = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state.split()[0] not in "ZX" and int(entry.name) != os.getpid():
            found[int(entry.name)] = name
    return found


def traces() -> dict[str, list[str]]:
    """Everything a command could leave behind."""
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True)
    netns = Path("/run/netns")
    return {
        "processes": sorted(processes().values()),
        "mounts": sorted(Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": sorted(line.split()[0] for line in links.stdout.splitlines()),
        "network namespaces": sorted(os.listdir(netns)) if netns.is_dir() else [],
        "control socket": [name for name in os.listdir(os.environ["SMC_STEER_LAB_DIR"])
                           if name.endswith(".sock")],
    }


def wait_gone(before: dict, what: str) -> None:
    """The kernel takes a moment to end all that lives in a namespace."""
    deadline = time.monotonic() + GONE_SECONDS
    while (now := traces()) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    for kind, was in before.items():
        expect_equal(now[kind], was, f"{kind} after {what}")


@contextmanager
def own_lab():
    """A ./dev vm beside the one that this machine's user may have."""
    with tempfile.TemporaryDirectory(prefix="smc-steer-lab.") as directory:
        os.environ["SMC_STEER_LAB_DIR"] = directory
        os.environ.pop("SMC_STEER_KO", None)  # of the checked kernel; ./dev vm has the other
        yield


def dev(*words: str, data: str = "") -> subprocess.CompletedProcess:
    return subprocess.run([DEV, *words], input=data, capture_output=True, text=True, timeout=60,
                          check=False)


@case("spine", "vm-up-and-down", agent=False, guests=0, regions=0, timeout=150)
def vm_up_and_down(_lab):
    """./dev vm up returns with its output in a pipe, exec gives exit code, output and input,
    wrong words are told, down leaves nothing.
    """
    with own_lab():
        before = traces()
        up = subprocess.run(["bash", "-c", f"{DEV} vm up --guests 1 2>&1 | tail -n 1; "
                             "exit ${PIPESTATUS[0]}"],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=BOOT_SECONDS, check=False)
        expect_equal(up.returncode, 0, f"exit code of vm up, which said {up.stdout!r}")
        expect(up.stdout.startswith("ready:"), f"the last line of vm up is {up.stdout!r}")

        run = dev("vm", "exec", "guest1", "--", "bash", "-c", "echo to you; echo no >&2; exit 7")
        expect_equal((run.returncode, run.stdout, run.stderr), (7, "to you\n", "no\n"), "vm exec")
        run = dev("vm", "exec", "guest1", "--", "bash", "-c", "kill $$")
        expect_equal(run.returncode, 128 + signal.SIGTERM, "exit code of a program that was killed")
        run = dev("vm", "exec", "-i", "guest1", "--", "tr", "a-z", "A-Z", data="one\ntwo\n")
        expect_equal((run.returncode, run.stdout), (0, "ONE\nTWO\n"), "vm exec --input")
        run = dev("vm", "exec", "guest1", "--", "smc-policy", "status", "--json")
        expect_equal(json.loads(run.stdout)["state"], "active", "the agent's state")
        status = dev("vm", "status")
        expect("guest1  up  10.77.0.11" in status.stdout, f"vm status: {status.stdout!r}")

        run = dev("vm", "exec", "guest2", "--", "true")
        expect(run.returncode and "no guest guest2" in run.stderr, f"vm exec guest2: {run}")
        run = dev("vm", "up")
        expect(run.returncode and "are up already" in run.stderr, f"a second vm up: {run}")

        expect_equal(dev("vm", "down").returncode, 0, "exit code of vm down")
        wait_gone(before, "vm down")
        run = dev("vm", "exec", "guest1", "--", "true")
        expect(run.returncode and "no guests are up" in run.stderr, f"vm exec after down: {run}")


def end_while_booting(words: list[str], number: int) -> tuple[int, str]:
    """Sends a signal to ./dev WORDS a second after its first guest was started, as a terminal
    does: to its whole process group. Exit code and what was said.
    """
    with tempfile.TemporaryFile("w+") as said:
        # Whoever started the tests may have told them to ignore Ctrl-C.
        process = subprocess.Popen([DEV, *words], stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=said, start_new_session=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        deadline = time.monotonic() + BOOT_SECONDS
        while QEMU not in processes().values():
            expect(process.poll() is None, f"{words} ended before a guest was started")
            expect(time.monotonic() < deadline, f"{words} starts no guest")
            time.sleep(0.05)
        time.sleep(1)
        os.killpg(process.pid, number)
        code = process.wait(20)
        said.seek(0)
        return code, said.read()


@case("spine", "ctrl-c-leaves-nothing", agent=False, guests=0, regions=0, timeout=200)
def ctrl_c_leaves_nothing(_lab):
    """Ctrl-C and kill -9 while guests boot: no process, mount, link or namespace stays."""
    with own_lab():
        before = traces()
        for words in (["vm", "up"], ["demo"], ["demo", "--keep"]):
            code, said = end_while_booting(words, signal.SIGINT)
            expect_equal(code, 130, f"exit code of {words} after Ctrl-C, which said {said!r}")
            expect("interrupted" in said and "Traceback" not in said, f"{words} said {said!r}")
            wait_gone(before, f"Ctrl-C during {words}")
        end_while_booting(["vm", "up"], signal.SIGKILL)
        wait_gone(before, "kill -9 during vm up")
