# SPDX-License-Identifier: Apache-2.0
"""Guests in which nobody steers: programs ask for AF_SMC themselves."""

from . import paths, traffic
from .case import wait_until
from .guest import Guest

SMC = ("--smc",)  # of transfer and stress
UEID_COMMAND = paths.PROGRAMS / "ueid"
DEVICE = "/sys/class/misc/ivpci0"


def members(guest: Guest) -> int:
    """Others in the region that the guest's driver knows of; -1: it has not joined itself."""
    text = guest.check(f"""cd {DEVICE} 2>/dev/null && [ "$(cat generation)" != 0 ] &&
        cat members && echo joined; :""")
    return len(text.splitlines()) - 1


def wait_members(guest: Guest, others: int, seconds: float = 20) -> None:
    wait_until(lambda: members(guest), lambda count: count == others, seconds,
               f"{guest.name}: {others} other members")


def eid(guest: Guest) -> str:
    """Of the guest's region, as agent/kernel/eid.h makes it."""
    uuid = guest.check(["cat", f"{DEVICE}/region_uuid"]).replace("-", "")
    return f"SMC-STEER-{uuid[:16].upper()}"


def load(guest: Guest) -> str:
    """The driver, and what an agent would give the kernel: an EID that all guests share. Without
    one every connection falls back, as x86 has no system EID.
    """
    guest.check("modprobe ivpci && modprobe smc")
    ueid = eid(guest)
    guest.check([str(paths.built(UEID_COMMAND)), "add", ueid])
    return ueid


def load_all(lab) -> None:
    for guest in lab.guests:
        load(guest)
    for guest in lab.guests:
        wait_members(guest, len(lab.guests) - 1)


def server(guest: Guest, port: int = traffic.TRANSFER_PORT, address: str = "0.0.0.0"):
    return traffic.transfer_server(guest, address, port, flags=SMC)


def link(client: Guest, server_guest: Guest, port: int = traffic.TRANSFER_PORT):
    """One connection, alone, that stays: several first ones at once would end each other's link
    group (docs/ARCHITECTURE.md, "Links"), and here no agent holds one.
    """
    return traffic.hold(client, server_guest.ip4, port=port, flags=SMC)
