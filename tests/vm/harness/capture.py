# SPDX-License-Identifier: Apache-2.0
"""TCP options of the SYNs that cross the lab's bridge: tcpdump and a reader of its file."""

import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import net

SMC_OPTION = 254
FILTER = "(ip and tcp[13] & 2 != 0) or (ip6 and ip6[6] == 6 and ip6[53] & 2 != 0)"


@dataclass
class Syn:
    source: str
    destination: str
    source_port: int
    destination_port: int
    answer: bool  # SYN-ACK
    options: list[int]  # kinds

    @property
    def smc(self) -> bool:
        return SMC_OPTION in self.options


def option_kinds(data: bytes) -> list[int]:
    kinds, at = [], 0
    while at < len(data) and data[at] != 0:
        kinds.append(data[at])
        if data[at] == 1:
            at += 1
        elif at + 1 < len(data) and data[at + 1] >= 2:
            at += data[at + 1]
        else:
            break
    return [kind for kind in kinds if kind != 1]


def text_address(raw: bytes) -> str:
    import ipaddress
    return str(ipaddress.ip_address(raw))


def parse_frame(frame: bytes) -> Syn | None:
    """An Ethernet frame with a SYN, or None."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800:
        source, destination = frame[26:30], frame[30:34]
        tcp = frame[14 + (frame[14] & 15) * 4:]
    elif kind == 0x86dd and frame[20] == 6:
        source, destination = frame[22:38], frame[38:54]
        tcp = frame[54:]
    else:
        return None
    if len(tcp) < 20 or not tcp[13] & 2:
        return None
    source_port, destination_port = struct.unpack_from("!HH", tcp)
    options = option_kinds(tcp[20:(tcp[12] >> 4) * 4])
    return Syn(text_address(source), text_address(destination), source_port, destination_port,
               bool(tcp[13] & 16), options)


COOKED = 113  # of any device: a header of tcpdump's own, that ends with what Ethernet's ends with


def parse_pcap(data: bytes) -> list[Syn]:
    """All SYNs of a little-endian pcap file; a record cut short ends it."""
    syns, at = [], 24
    cooked = len(data) >= 24 and struct.unpack_from("<I", data, 20)[0] == COOKED
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        if at + 16 + size > len(data):
            break
        frame = data[at + 16:at + 16 + size]
        syn = parse_frame(bytes(12) + frame[14:] if cooked else frame)
        if syn:
            syns.append(syn)
        at += 16 + size
    return syns


class Capture:
    """with Capture() as capture: ...; then capture.to_port(9000) and the like."""

    FILE = Path("syns.pcap")

    def __enter__(self) -> "Capture":
        argv = ["tcpdump", "-i", net.BRIDGE, "-w", str(self.FILE), "-U", "-s", "128",
                "-Z", "root", "--immediate-mode", FILTER]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        line = b""
        while b"listening on" not in line:
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError("tcpdump did not start")
        self.syns: list[Syn] = []
        return self

    def __exit__(self, *_error) -> None:
        time.sleep(0.3)  # what is on its way
        self.process.terminate()
        self.process.wait()
        self.syns = parse_pcap(self.FILE.read_bytes())

    def to_port(self, port: int) -> list[Syn]:
        """SYNs of clients to servers on `port`."""
        return [syn for syn in self.syns if syn.destination_port == port and not syn.answer]

    def from_port(self, port: int) -> list[Syn]:
        """The servers' answers."""
        return [syn for syn in self.syns if syn.source_port == port and syn.answer]
