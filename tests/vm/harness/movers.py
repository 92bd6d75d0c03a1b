# SPDX-License-Identifier: Apache-2.0
"""tests/vm/programs/mover: connections are moved onto rings and back, from both ends (docs/DIRECT.md)."""

import json
import signal

from . import driver, paths
from .case import expect_equal, wait_until

OFFLOAD, MOVER = paths.PROGRAMS / "offload", paths.PROGRAMS / "mover"
PORT = 9950


def offload(guest, *argv: str):
    return json.loads(guest.check([str(paths.built(OFFLOAD)), *argv]))


def prepare(lab) -> None:
    """Both modules, and each guest sees the other."""
    for guest in lab.guests:
        guest.check("modprobe ivpci && modprobe tcp_ivpci")
    for guest in lab.guests:
        others = f"cd {driver.DEVICE}; grep -vc \"^$(cat slot) \" members || true"
        wait_until(lambda guest=guest: guest.check(others).strip(), lambda count: count == "1", 20,
                   f"others that {guest.name} sees")


class Movers:
    """Move the connections of `ports`, which guest2 has with guest1, until finish(). `how`: stay, random or toggle."""

    def __init__(self, lab, how: str, hold_ms: int, size_kib: int, ports: str, port: int = PORT) -> None:
        self.lab = lab
        server, client = lab.guests[:2]
        program = str(paths.built(MOVER))
        self.serving = server.spawn([program, "serve", str(port), how, str(hold_ms)])
        self.serving.wait_output("running", 30)
        self.running = client.spawn([program, "run", server.ip4, str(port), how, str(hold_ms), str(size_kib), ports])
        self.running.wait_output("running", 30)

    def finish(self) -> list[dict]:
        """What the two ends have counted, the server's first."""
        for process in (self.running, self.serving):
            process.signal(signal.SIGTERM)
            expect_equal(process.wait(30), 0, f"exit code of mover ({process.err})")
        counts = [offload(guest, "counters") for guest in self.lab.guests[:2]]
        for guest, count in zip(self.lab.guests, counts):
            self.lab.progress(f"{guest.name}: {json.dumps(count)}")
        return counts
