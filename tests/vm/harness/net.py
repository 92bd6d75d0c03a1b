# SPDX-License-Identifier: Apache-2.0
"""The network of a lab: a bridge and one tap per guest, in the lab's network namespace.

The lab itself is a host on the bridge too, at HOST4 and HOST6: one without ivpci, as the
rest of a network is.
"""

import os
import subprocess

BRIDGE = "br0"
HOST4 = "10.77.0.1"
HOST6 = "fd77::1"


def guest4(number: int) -> str:
    return f"10.77.0.{10 + number}"


def guest6(number: int) -> str:
    return f"fd77::{10 + number:x}"


def guest_mac(number: int) -> str:
    return f"52:54:00:77:00:{number:02x}"


def tap(number: int) -> str:
    return f"tap{number}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def have_vhost() -> bool:
    """vhost-net moves the packets of virtio-net inside the host's kernel."""
    try:
        os.close(os.open("/dev/vhost-net", os.O_RDWR))
    except OSError:
        return False
    return True


def make_bridge() -> None:
    # A bridge keeps quiet for 15 s before it forwards unless it is told otherwise.
    ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{HOST4}/24", "dev", BRIDGE)
    ip("address", "add", f"{HOST6}/64", "dev", BRIDGE, "nodad")
    ip("link", "set", BRIDGE, "up")


def make_tap(number: int) -> None:
    ip("tuntap", "add", tap(number), "mode", "tap", "vnet_hdr")
    ip("link", "set", tap(number), "master", BRIDGE, "up")
