# SPDX-License-Identifier: Apache-2.0
"""A DIBS client in a guest (tests/kmod/dibs_client): the driver's ops, one by one."""

import json

from . import paths
from .guest import CommandFailed, Guest

COMMAND = paths.REPO / "tests" / "vm" / "guest" / "dibs_client"


class Client:
    """Loads the driver and the client; `gid` is the device's."""

    def __init__(self, guest: Guest, *parameters: str):
        self.guest = guest
        module = paths.built(paths.DIBS_CLIENT_KO)
        # The device is there when the driver has joined the region.
        guest.check(f"""modprobe ivpci {' '.join(parameters)}
            for ((i = 0; i < 200; i++)); do [ -e /sys/class/dibs/ivpci0 ] && break; sleep 0.05; done
            insmod {module}""")
        # One program for all commands: each one started costs under TCG.
        self.program = guest.spawn([str(COMMAND)], stdin=True)
        self.answers = 0
        self.name, self.gid, self.fabric = self.ask("device").split()

    def unload(self) -> None:
        self.guest.check("rmmod dibs_client")

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
                raise CommandFailed(f"{self.guest.name}: dibs_client: {command}: {error}")
        return [answer for answer, _ in results]

    def ask(self, command: str, timeout: float = 60) -> str:
        return self.ask_all(command, timeout=timeout)[0]

    def register(self, writer: "Client", size: int) -> str:
        """A DMB that `writer` may write into: its token."""
        return self.ask(f"register {writer.gid} {size}").split()[0]

    def stat(self, name: str) -> int:
        """A counter of the driver."""
        return int(self.ask(f"read /sys/class/misc/{self.name}/stats/{name}"))
