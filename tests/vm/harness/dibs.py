# SPDX-License-Identifier: Apache-2.0
"""Modules of tests in a guest that use the driver as others do, one call after the other: a DIBS client
(tests/kmod/dibs_client), a user of rings (tests/kmod/ring_client).
"""

import json

from . import paths
from .guest import CommandFailed, Guest

COMMAND = paths.REPO / "tests" / "vm" / "guest" / "dibs_client"


class Commands:
    """One program for all commands to a module: each one started costs under TCG."""

    name = "ivpci0"  # the device's

    def __init__(self, guest: Guest, device: str):
        self.guest = guest
        self.program = guest.spawn([str(COMMAND), device], stdin=True)
        self.answers = 0

    def run(self, *commands: str, timeout: float = 60) -> list[list[str]]:
        """[answer, name of the error] of each."""
        self.program.write("".join(command + "\n" for command in commands).encode())
        first, self.answers = self.answers, self.answers + len(commands)
        self.program.wait_output(f"#{self.answers - 1}\n", timeout)
        lines = self.program.out.decode().splitlines()[first:]
        return [json.loads(line.rpartition("#")[0]) for line in lines]

    def ask_all(self, *commands: str, timeout: float = 60) -> list[str]:
        results = self.run(*commands, timeout=timeout)
        for command, (_, error) in zip(commands, results):
            if error:
                raise CommandFailed(f"{self.guest.name}: {command}: {error}")
        return [answer for answer, _ in results]

    def ask(self, command: str, timeout: float = 60) -> str:
        return self.ask_all(command, timeout=timeout)[0]

    def stat(self, name: str) -> int:
        """A counter of the driver."""
        return int(self.ask(f"read /sys/class/misc/{self.name}/stats/{name}"))


class Client(Commands):
    """Loads the driver and the client; `gid` is the device's."""

    def __init__(self, guest: Guest, *parameters: str):
        module = paths.built(paths.DIBS_CLIENT_KO)
        # The device is there when the driver has joined the region.
        guest.check(f"""modprobe ivpci {' '.join(parameters)}
            for ((i = 0; i < 200; i++)); do [ -e /sys/class/dibs/ivpci0 ] && break; sleep 0.05; done
            insmod {module}""")
        super().__init__(guest, "/dev/dibs_client")
        self.name, self.gid, self.fabric = self.ask("device").split()

    def unload(self) -> None:
        self.guest.check("rmmod dibs_client")

    def register(self, writer: "Client", size: int) -> str:
        """A DMB that `writer` may write into: its token."""
        return self.ask(f"register {writer.gid} {size}").split()[0]
