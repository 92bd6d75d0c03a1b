# SPDX-License-Identifier: Apache-2.0
"""The shared memory of a region as a member of it sees it (include/ivpci/shm_abi.h), to be read and
written past its driver.
"""

from dataclasses import dataclass

from . import driver
from .guest import Guest

PAGE = 4096
CHUNK = 1 << 20
DMBS = 4096
RING = 1024
BULLETIN = PAGE
PAIRS = BULLETIN + 4 * PAGE
PAIR_SIZE = 64 + 4 * RING + 16 * 16
DESC_SIZE = 32
REQUEST, LEAVE = 16, 2  # req_op in struct ivpci_ctl, and a value of it
OPEN = f"""import mmap, os
fd = os.open("{driver.DEVICE}/device/resource2", os.O_RDWR | os.O_SYNC)
m = mmap.mmap(fd, os.fstat(fd).st_size)
"""


def align(value: int, unit: int) -> int:
    return (value + unit - 1) // unit * unit


@dataclass
class Layout:
    """ivpci_layout_init()"""

    size: int
    slots: int

    def __post_init__(self):
        self.descs = PAIRS + (self.slots + 1) * PAIR_SIZE
        claims = self.descs + DMBS * DESC_SIZE
        self.area_size = align(claims + (self.slots + 1) * DMBS * 4, PAGE)
        self.leases = align(256 + (self.slots + 1) * 64, 64)
        self.areas = align(self.leases + self.size // CHUNK * 4, PAGE)
        self.chunks = align(self.areas + self.slots * self.area_size, CHUNK)

    def area(self, slot: int) -> int:
        return self.areas + (slot - 1) * self.area_size

    def bulletin(self, slot: int) -> int:
        return self.area(slot) + BULLETIN

    def pair(self, producer: int, receiver: int) -> int:
        return self.area(producer) + PAIRS + receiver * PAIR_SIZE

    def desc(self, slot: int, index: int) -> int:
        return self.area(slot) + self.descs + index * DESC_SIZE


def run(guest: Guest, script: str) -> str:
    """Python in the guest, with the whole region as `m`."""
    return guest.check(["python3", "-Sc", OPEN + script])
