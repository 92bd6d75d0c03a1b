# SPDX-License-Identifier: Apache-2.0
"""Unmodified programs run over SMC-D."""

from harness import traffic
from harness.case import case, expect, expect_equal

SMC = 256  # SO_PROTOCOL of a steered socket


def expect_smcd(lab, connections: int, action):
    """Runs `action` from guest2 to guest1: it has to make `connections` SMC-D connections."""
    server, client = lab.guests
    before = traffic.counters(client), traffic.counters(server)
    result = action(client, server)
    made = traffic.counters(client) - before[0]
    accepted = traffic.counters(server) - before[1]
    expect_equal(made.client, connections, "SMC-D connections made by the client")
    expect_equal(accepted.server, connections, "SMC-D connections accepted by the server")
    return result, made, accepted


@case("spine", "accelerate-checksum")
def accelerate_checksum(lab):
    """Every byte there and back is right, and all of them went through shared memory."""
    server, client = lab.guests
    traffic.transfer_server(server)
    size = (256 if lab.long else 16) << 20
    report, made, _ = expect_smcd(
        lab, 1, lambda client, server: traffic.transfer(client, server.ip4, size))
    expect_equal(report["protocol"], SMC, "the client's SO_PROTOCOL")
    expect(made.tx_bytes >= size, f"{made.tx_bytes} bytes sent over SMC-D, {size} were to be")
    expect(made.rx_bytes >= size, f"{made.rx_bytes} bytes received over SMC-D")
    expect(made.ivpci_bytes > 0 or made.signals > 0, "ivpci counted nothing")


@case("spine", "accelerate-sockperf")
def accelerate_sockperf(lab):
    """Debian's sockperf, as it is."""
    server, _ = lab.guests
    traffic.sockperf_server(server, server.ip4)
    latency, made, _ = expect_smcd(
        lab, 1, lambda client, server: traffic.sockperf(client, server.ip4))
    expect(latency.messages > 100, f"sockperf exchanged {latency.messages} messages")
    expect(made.signals > 100, f"ivpci sent {made.signals} notifications")


@case("spine", "accelerate-iperf3")
def accelerate_iperf3(lab):
    """Debian's iperf3, as it is: one control and one data connection."""
    server, _ = lab.guests
    traffic.iperf_server(server)
    report, made, _ = expect_smcd(lab, 2, lambda client, server: traffic.iperf(client, server.ip4))
    sent = report["end"]["sum_sent"]["bytes"]
    expect(sent > 1 << 20, f"iperf3 sent {sent} bytes")
    expect(made.tx_bytes >= sent, f"{made.tx_bytes} bytes over SMC-D, iperf3 sent {sent}")


@case("spine", "parallel-streams", timeout=120)
def parallel_streams(lab):
    """Sixteen iperf3 streams at once, and every one gets somewhere."""
    server, _ = lab.guests
    traffic.iperf_server(server)
    seconds = 30 if lab.long else 8
    report, _, _ = expect_smcd(
        lab, 17, lambda client, server: traffic.iperf(client, server.ip4, seconds, streams=16))
    for number, stream in enumerate(report["end"]["streams"]):
        received = stream["receiver"]["bytes"]
        expect(received > 0, f"stream {number} moved nothing")
