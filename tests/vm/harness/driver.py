# SPDX-License-Identifier: Apache-2.0
"""ivpci.ko in a guest: its parameters and its counters."""

import time

from . import traffic
from .guest import Guest

DEVICE = "/sys/class/misc/ivpci0"
# Of a kernel's command line (Plan.append): the driver does not look each second for what was not rung. A doorbell
# that our own code loses is lost then.
UNAIDED = "ivpci.look_unrung=N"


def slot(guest: Guest) -> int:
    return int(guest.check(f"cat {DEVICE}/slot"))


def stats(guest: Guest) -> dict:
    """Of ivpci0, by the names of struct ivpci_stats."""
    return traffic.raw_counters(guest)["ivpci"]["ivpci0"]


def wait_stats(guest: Guest, seconds: float = 20, **wanted: int) -> dict:
    """Until the driver's counters are as wanted."""
    deadline = time.monotonic() + seconds
    while True:
        now = stats(guest)
        if all(now[name] == value for name, value in wanted.items()):
            return now
        if time.monotonic() > deadline:
            raise AssertionError(f"{guest.name}: wanted {wanted}, has {now}")
        time.sleep(0.5)


def load(guest: Guest, *parameters: str) -> None:
    """Loads the driver anew."""
    guest.check(f"modprobe -r ivpci; modprobe ivpci {' '.join(parameters)}")


def reload_each(lab, parameters: list[str]) -> None:
    """Agents stopped, the driver loaded anew, with a parameter for each guest, agents active."""
    for agent in lab.agents:
        if agent.process:
            agent.stop()
    for guest, parameter in zip(lab.guests, parameters):
        load(guest, parameter)
    for agent in lab.agents:
        agent.launch()
    for agent in lab.agents:
        agent.wait_state("active", 2 * (len(lab.guests) - 1))


def reload_all(lab, parameter: str = "") -> None:
    reload_each(lab, [parameter] * len(lab.guests))
