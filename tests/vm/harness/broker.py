# SPDX-License-Identifier: Apache-2.0
"""ivpci-broker of a lab: one process per region."""

import subprocess
import time
from pathlib import Path

from . import paths


class BrokerError(Exception):
    pass


class Broker:
    def __init__(self, directory: Path, index: int, size: str = "256M", slots: int = 16,
                 flags: tuple = ()):
        self.socket = f"broker{index}.sock"
        self.log = directory / f"broker{index}.log"
        self.argv = [str(paths.built(paths.BROKER)), "--socket", self.socket,
                     "--size", size, "--slots", str(slots), *flags]
        self.process: subprocess.Popen | None = None
        self.expect_death = False

    def start(self) -> None:
        # Of one that was killed: it would be taken for the new one's.
        Path(self.socket).unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        deadline = time.monotonic() + 10
        while not Path(self.socket).is_socket():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"ivpci-broker did not start: {self.log.read_text().strip()}")
            time.sleep(0.01)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM, as a service manager would."""
        self.expect_death = True
        if self.alive():
            self.process.terminate()
            self.process.wait(10)

    def kill(self) -> None:
        self.expect_death = True
        if self.process is not None:
            self.process.kill()
            self.process.wait()
