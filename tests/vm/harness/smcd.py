# SPDX-License-Identifier: Apache-2.0
"""Proof of what a connection ran over, from the kernels' own counters."""

from typing import Callable

from . import traffic
from .case import expect_equal
from .guest import Guest

TCP = 6  # SO_PROTOCOL of a plain TCP socket
SMC = 256  # of a steered one, whatever its data run over


def expect_connections(client: Guest, server: Guest, connections: int, action: Callable):
    """Calls `action`; it has to make exactly that many SMC-D connections from `client` to
    `server`. Returns its result and what both kernels counted meanwhile.
    """
    before = traffic.counters(client), traffic.counters(server)
    result = action()
    made = traffic.counters(client) - before[0]
    accepted = traffic.counters(server) - before[1]
    expect_equal(made.client, connections, f"SMC-D connections made by {client.name}")
    expect_equal(accepted.server, connections, f"SMC-D connections accepted by {server.name}")
    return result, made, accepted


def expect_smcd(client: Guest, server: Guest, address: str = "", size: int = 4 << 20, **where):
    """One checked transfer to a transfer_server, over SMC-D. The report of transfer."""
    report, made, _ = expect_connections(
        client, server, 1,
        lambda: traffic.transfer(client, address or server.ip4, size, **where))
    expect_equal(report["protocol"], SMC, "the client's SO_PROTOCOL")
    if made.tx_bytes < size:
        raise AssertionError(f"{made.tx_bytes} bytes went over SMC-D, {size} were sent")
    return report


def expect_native(client: Guest, server: Guest, address: str = "", size: int = 4 << 20,
                  flags: tuple = ("--smc",), **where):
    """As expect_smcd, of a program that asks for an SMC socket itself: AF_SMC."""
    try:
        report, made, _ = expect_connections(
            client, server, 1,
            lambda: traffic.transfer(client, address or server.ip4, size, flags=flags, **where))
    except AssertionError as error:
        reasons = [traffic.raw_counters(guest)["smc"]["fallbacks"] for guest in (client, server)]
        raise AssertionError(f"{error}; fallbacks of client and server: {reasons}") from None
    if made.tx_bytes < size or made.ivpci_bytes < size:
        raise AssertionError(f"{made.tx_bytes} bytes went over SMC-D, {made.ivpci_bytes} through "
                             f"ivpci, {size} were sent")
    return report


def expect_tcp(client: Guest, server: Guest, address: str = "", size: int = 1 << 20, **where):
    """One checked transfer, not over SMC-D. The report of transfer."""
    report, _, _ = expect_connections(
        client, server, 0,
        lambda: traffic.transfer(client, address or server.ip4, size, **where))
    return report


def endpoint(agent, port: int) -> dict:
    """What the agent has learned of the one server with that port: how long connections to it are."""
    found = [each for each in agent.ask("endpoints")["endpoints"] if each["port"] == port]
    expect_equal(len(found), 1, f"endpoints with port {port}")
    return found[0]
