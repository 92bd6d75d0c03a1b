# SPDX-License-Identifier: Apache-2.0
"""A user of rings in a guest (tests/kmod/ring_client)."""

from dataclasses import dataclass

from . import driver, native, paths
from .case import wait_until
from .dibs import Commands
from .guest import Guest

# enum ivpci_rings_why
PEER_LEFT, PEER_SILENT, PEER_PARTED, NO_MEMBER, SHUTDOWN, UNBIND = range(1, 7)


class Client(Commands):
    """Loads the driver and the user, which stays as long as the guest."""

    def __init__(self, guest: Guest, kernel: str = "guest", *parameters: str):
        module = paths.built(paths.module(kernel, "tests/kmod/ring_client/ring_client.ko"))
        guest.check(f"modprobe ivpci {' '.join(parameters)} && insmod {module}")
        super().__init__(guest, "/dev/ring_client")

    def where(self) -> tuple[int, int]:
        """Slot and generation."""
        return tuple(int(self.guest.get(f"{driver.DEVICE}/{name}")) for name in ("slot", "generation"))


@dataclass
class End:
    """Of a pair of rings: what the client has of it."""

    client: Client
    number: int
    token: str

    def ask(self, command: str, words: str = "", timeout: float = 60) -> str:
        return self.client.ask(f"{command} {self.number} {words}", timeout)

    def error(self, command: str, words: str = "") -> str:
        return self.client.run(f"{command} {self.number} {words}")[0][1]

    def signals(self) -> int:
        return int(self.ask("look").split()[0])

    def ended(self) -> tuple[int, bool]:
        """Why it is gone, 0: it is not; and whether it was released."""
        _, why, released = self.ask("look").split()
        return int(why), released == "1"

    def wait_ended(self, why: int, seconds: float = 10) -> None:
        wait_until(self.ended, lambda ended: ended == (why, True), seconds,
                   f"{self.client.guest.name}: gone because of {why}, and released")


def make(client: Client, peer: tuple[int, int], size: int) -> End:
    """An end of `client`'s, for a peer of that slot and generation."""
    number, token = client.ask(f"make 0 {peer[0]} {peer[1]} {size}").split()
    return End(client, int(number), token)


def pair(one: Client, other: Client, size: int = 64 << 10) -> tuple[End, End]:
    """Two ends that have each other's memory."""
    ends = make(one, other.where(), size), make(other, one.where(), size)
    for end, peer in (ends, ends[::-1]):
        end.ask("connect", peer.token)
    return ends


def start(lab, *parameters: str) -> list[Client]:
    """One in each guest, which are all members then."""
    clients = [Client(guest, lab.plan.kernel(guest.number), *parameters) for guest in lab.guests]
    for guest in lab.guests:
        native.wait_members(guest, len(lab.guests) - 1)
    return clients
