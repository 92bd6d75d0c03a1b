# SPDX-License-Identifier: Apache-2.0
"""Programs that make traffic between guests, and what they report."""

import json
import re
from dataclasses import dataclass

from . import paths
from .channel import Process
from .guest import CommandFailed, Guest

SOCKPERF_PORT = 11111
IPERF_PORT = 5201
TRANSFER_PORT = 9000

TRANSFER = paths.PROGRAMS / "transfer"
TRANSFER_STATIC = paths.PROGRAMS / "transfer_static"
COUNTERS = paths.PROGRAMS / "counters"
PROBER = paths.REPO / "tests" / "vm" / "guest" / "prober"


@dataclass
class Counters:
    """What a guest's kernel counted; subtract an earlier one."""

    client: int  # SMC-D connections made
    server: int  # SMC-D connections accepted
    tx_bytes: int
    rx_bytes: int
    doorbells: int
    signals: int
    ivpci_bytes: int
    tcp_opens: int  # connections tried, over whatever
    dmbs: int  # registered now, not subtracted

    def __sub__(self, old: "Counters") -> "Counters":
        new = {key: value - getattr(old, key) for key, value in vars(self).items()}
        return Counters(**{**new, "dmbs": self.dmbs})


def raw_counters(guest: Guest, netns: str = "") -> dict:
    """What programs/counters prints."""
    enter = ["ip", "netns", "exec", netns] if netns else []
    return json.loads(guest.check([*enter, str(paths.built(COUNTERS))]))


def counters(guest: Guest, netns: str = "") -> Counters:
    """Of the guest's first network namespace, or of `netns`."""
    raw = raw_counters(guest, netns)
    smc = raw["smc"] or dict.fromkeys(("client", "server", "tx_bytes", "rx_bytes"), 0)
    ivpci = raw["ivpci"].values()

    def total(name: str) -> int:
        return sum(device[name] for device in ivpci)
    return Counters(smc["client"], smc["server"], smc["tx_bytes"], smc["rx_bytes"],
                    total("doorbells_sent"), total("signals_sent"), total("bytes_sent"),
                    raw["tcp_opens"], total("dmbs"))


# transfer: every byte checked

def transfer_server(guest: Guest, address: str = "0.0.0.0", port: int = TRANSFER_PORT,
                    program=TRANSFER, flags: tuple = (), netns: str = "") -> Process:
    enter = ["ip", "netns", "exec", netns] if netns else []
    argv = [*enter, str(paths.built(program)), "serve", *flags, address, str(port)]
    server = guest.spawn(argv)
    server.wait_output("listening", 20)
    return server


def transfer_argv(address: str, size: int, port: int = TRANSFER_PORT, program=TRANSFER,
                  flags: tuple = (), netns: str = "") -> list[str]:
    enter = ["ip", "netns", "exec", netns] if netns else []
    return [*enter, str(paths.built(program)), "send", *flags, address, str(port), str(size)]


def transfer_result(code: int, out: bytes | str, what: str) -> dict:
    """The program's report; raises unless every byte arrived as it was sent."""
    text = out.decode() if isinstance(out, bytes) else out
    if code:
        raise CommandFailed(f"{what}: exit {code}: {text.strip()}")
    return json.loads(text)


def transfer(guest: Guest, address: str, size: int = 8 << 20, timeout: float = 40, **where) -> dict:
    """`size` bytes there and back. Keys: "protocol" (256: an SMC socket), "bytes"."""
    run = guest.run(transfer_argv(address, size, **where), timeout)
    return transfer_result(run.code, run.out + run.err, f"{guest.name}: transfer to {address}")


def repeat(guest: Guest, address: str, size: int, seconds: int, port: int,
           flags: tuple = ()) -> float:
    """Connections of `size` bytes there and back, one after the other: microseconds of one."""
    run = guest.run([str(paths.built(TRANSFER)), "repeat", *flags, address, str(port), str(size),
                     str(seconds)], seconds + 40)
    return transfer_result(run.code, run.out + run.err, f"{guest.name}: repeat")["us_each"]


def hold(guest: Guest, address: str, count: int = 1, port: int = TRANSFER_PORT,
         timeout: float = 60, flags: tuple = ()) -> Process:
    """`count` connections that stay open; the program ends with the first of them."""
    process = guest.spawn([str(paths.built(TRANSFER)), "hold", *flags, address, str(port),
                           str(count)])
    process.wait_output("connected", timeout)
    return process


# iperf3

def iperf_server(guest: Guest, port: int = IPERF_PORT, netns: str = "") -> Process:
    enter = ["ip", "netns", "exec", netns] if netns else []
    server = guest.spawn([*enter, "iperf3", "--server", "--port", str(port), "--forceflush"])
    server.wait_output("Server listening", 20)
    return server


def iperf(guest: Guest, address: str, seconds: int = 3, size: str = "64K", streams: int = 1,
          port: int = IPERF_PORT, timeout: float = 40) -> dict:
    """iperf3's own JSON report."""
    out = guest.run(["iperf3", "--client", address, "--port", str(port), "--json",
                     "--time", str(seconds), "--length", size, "--parallel", str(streams)],
                    timeout + seconds)
    report = json.loads(out.out) if out.out.strip().startswith("{") else {"error": out.err}
    if "error" in report:
        raise CommandFailed(f"{guest.name}: iperf3: {report['error']}")
    return report


def megabytes(report: dict) -> float:
    """MB/s received, of an iperf3 report."""
    return report["end"]["sum_received"]["bits_per_second"] / 8e6


# sockperf

def sockperf_server(guest: Guest, address: str, port: int = SOCKPERF_PORT) -> Process:
    server = guest.spawn(["sockperf", "server", "--tcp", "--ip", address, "--port", str(port)])
    server.wait_output("using recvfrom", 20)
    return server


@dataclass
class Latency:
    """Of half a round trip, in microseconds."""

    p50: float
    p99: float
    messages: int


def parse_sockperf(text: str) -> Latency:
    p50 = re.search(r"percentile 50\.\d+ = +([\d.]+)", text)
    p99 = re.search(r"percentile 99\.0\d+ = +([\d.]+)", text)
    received = re.search(r"ReceivedMessages=(\d+)", text)
    if not (p50 and p99 and received):
        raise CommandFailed(f"sockperf said: {text.strip()[-1000:]}")
    return Latency(float(p50[1]), float(p99[1]), int(received[1]))


def sockperf(guest: Guest, address: str, seconds: int = 3, port: int = SOCKPERF_PORT,
             size: int = 64) -> Latency:
    run = guest.run(["sockperf", "ping-pong", "--tcp", "--ip", address, "--port", str(port),
                     "--time", str(seconds), "--msg-size", str(size)], seconds + 40)
    return parse_sockperf(run.out + run.err)


# prober: one new connection after the other

def prober_server(guest: Guest, port: int) -> Process:
    server = guest.spawn([str(PROBER), "serve", str(port)])
    server.wait_output("listening", 20)
    return server


def probe(guest: Guest, address: str, port: int, seconds: int) -> Process:
    """For probed()."""
    return guest.spawn([str(PROBER), address, str(port), str(seconds), str(COUNTERS)])


def probed(prober: Process, seconds: int) -> list:
    """[seconds since it began, "smcd" or "tcp"] of each connection; raises if one failed."""
    if code := prober.wait(seconds + 60):
        raise CommandFailed(f"prober: exit {code}: {prober.err}")
    results = json.loads(prober.out)
    if failed := [each for each in results if each[1] not in ("smcd", "tcp")]:
        raise CommandFailed(f"connections that failed: {failed}")
    return results
