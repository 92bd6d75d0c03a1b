# SPDX-License-Identifier: Apache-2.0
"""The device file that the driver has for the agent."""

import json
import re

from harness import paths, shm
from harness.case import case, expect_equal

VERSION = paths.REPO / "include" / "smc_steer" / "version.h"

PROGRAM = paths.REPO / "tests" / "vm" / "guest" / "device_file"
WANTED = {
    "magic": "IVPCSMD0",
    "region, to write": "EACCES",
    "region, to write later": "EACCES",
    "region with a chunk": "EINVAL",
    "a chunk": "EINVAL",
    "behind the region": "EINVAL",
    "private": "EINVAL",
    "more than the bulletin": "EINVAL",
    "publish without a bulletin": "EPERM",
    "a second owner": "EBUSY",
    "publish of another": "EPERM",
    "publish": "ok",
    "bulletin": [1, 0x010203],
    "bulletin of one that closed": [0, 0],
    "its sequence is odd": 0,
    "an owner after that": "ok",
    "read": 0,
    "read without the device": "SIGBUS",
    "publish without the device": "ENODEV",
}


@case("fabric", "device-file", agent=False, guests=1, slots=4, size="64M")
def device_file(lab):
    """/dev/ivpciN: the region can be read and not written, chunks not even that; one file owns the
    bulletin, which is empty when that one is closed; nothing is mapped any more when the device goes.
    """
    guest = lab.guests[0]
    layout = shm.Layout(64 << 20, 4)
    guest.check("modprobe ivpci")
    expect_equal(guest.check("cat /sys/module/ivpci/version").strip(),
                 re.search(r'#define STEER_VERSION "(.*)"', VERSION.read_text())[1], "the driver's version")
    guest.check("for i in {1..100}; do [ -e /sys/class/dibs/ivpci0 ] && exit; "
                "sleep 0.1; done; exit 1")
    told = json.loads(guest.check([str(PROGRAM), str(64 << 20), str(layout.chunks),
                                   str(layout.bulletin(1))]))
    for what, wanted in WANTED.items():
        expect_equal(told[what], wanted, what)
