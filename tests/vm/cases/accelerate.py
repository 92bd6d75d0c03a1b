# SPDX-License-Identifier: Apache-2.0
"""Unmodified programs run over SMC-D."""

from harness import smcd, traffic
from harness.case import case, expect


@case("spine", "accelerate-checksum", long_timeout=300)
def accelerate_checksum(lab):
    """Every byte there and back is right, and all of them went through shared memory."""
    server, client = lab.guests
    traffic.transfer_server(server)
    size = (512 if lab.long else 16) << 20
    smcd.expect_smcd(client, server, size=size, timeout=280)
    smcd.expect_smcd(client, server, size=1)
    expect(traffic.counters(client).signals > 0, "ivpci counted no notification")


@case("spine", "accelerate-sockperf")
def accelerate_sockperf(lab):
    """Debian's sockperf, as it is."""
    server, client = lab.guests
    traffic.sockperf_server(server, server.ip4)
    latency, made, _ = smcd.expect_connections(
        client, server, 1, lambda: traffic.sockperf(client, server.ip4))
    expect(latency.messages > 100, f"sockperf exchanged {latency.messages} messages")
    expect(made.signals > 100, f"ivpci sent {made.signals} notifications")


@case("spine", "accelerate-iperf3")
def accelerate_iperf3(lab):
    """Debian's iperf3, as it is: one control and one data connection."""
    server, client = lab.guests
    traffic.iperf_server(server)
    report, made, _ = smcd.expect_connections(
        client, server, 2, lambda: traffic.iperf(client, server.ip4))
    sent = report["end"]["sum_sent"]["bytes"]
    expect(sent > 1 << 20, f"iperf3 sent {sent} bytes")
    expect(made.tx_bytes >= sent, f"{made.tx_bytes} bytes over SMC-D, iperf3 sent {sent}")


@case("spine", "parallel-streams", long_timeout=120)
def parallel_streams(lab):
    """Sixteen iperf3 streams at once, and every one gets somewhere."""
    server, client = lab.guests
    traffic.iperf_server(server)
    seconds = 60 if lab.long else 8
    report, _, _ = smcd.expect_connections(
        client, server, 17, lambda: traffic.iperf(client, server.ip4, seconds, streams=16))
    for number, stream in enumerate(report["end"]["streams"]):
        received = stream["receiver"]["bytes"]
        expect(received > 0, f"stream {number} moved nothing")


@case("spine", "many-connections", timeout=90)
def many_connections(lab):
    """Connections held open while others come and go: at least 256 DMBs in each guest."""
    server, client = lab.guests
    traffic.transfer_server(server)
    # The agent's 1 MiB buffers would want a region of gigabytes.
    for guest in lab.guests:
        guest.check("sysctl -q net.smc.wmem=65536 net.smc.rmem=65536")
    before = traffic.counters(client)
    held = traffic.hold(client, server.ip4, 256, timeout=70)
    now = traffic.counters(client)
    expect(now.dmbs >= 256, f"{now.dmbs} DMBs are registered, 256 were to be")
    expect(now.client - before.client >= 256, f"{now.client - before.client} went over SMC-D")
    smcd.expect_smcd(client, server, size=1 << 20)
    held.kill()


@case("spine", "ipv6")
def ipv6(lab):
    """IPv6 addresses, and an IPv4 client of a listener that listens on both."""
    server, client = lab.guests
    traffic.transfer_server(server, "::")
    smcd.expect_smcd(client, server, server.ip6)
    smcd.expect_smcd(client, server, server.ip4)


@case("spine", "mptcp")
def mptcp(lab):
    """Programs that ask for MPTCP, as Go's listeners do, on either side or both."""
    server, client = lab.guests
    ask = ("--mptcp",)
    traffic.transfer_server(server, port=9001, flags=ask)
    traffic.transfer_server(server, port=9002)
    smcd.expect_smcd(client, server, port=9001)
    smcd.expect_smcd(client, server, port=9001, flags=ask)
    smcd.expect_smcd(client, server, port=9002, flags=ask)


@case("spine", "static-binary")
def static_binary(lab):
    """A static program, which no preloaded library reaches."""
    server, client = lab.guests
    static = traffic.TRANSFER_STATIC
    traffic.transfer_server(server, program=static)
    smcd.expect_smcd(client, server, program=static)
