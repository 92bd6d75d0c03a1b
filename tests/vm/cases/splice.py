# SPDX-License-Identifier: Apache-2.0
"""Connections that the agents relay: on kernels without IPPROTO_SMC, and to listeners that were
there before the agent.
"""

from harness import smcd, splice, traffic
from harness.case import case, expect, expect_equal


@case("splice", "splice-pair", agent=False, timeout=200, kernels=["stock", "stock"])
def pair(lab):
    """Two 6.1 guests: every byte there and back is right and went over SMC-D."""
    server, client = lab.guests
    traffic.transfer_server(server)
    splice.start(lab)
    before = splice.counters(lab.agents[1])
    size = 4 << 20
    _, made, _ = smcd.expect_connections(
        client, server, 1, lambda: traffic.transfer(client, server.ip4, size))
    after = splice.counters(lab.agents[1])
    expect_equal(after["relayed"] - before["relayed"], 1, f"relayed connections ({after})")
    expect(made.tx_bytes >= size, f"{made.tx_bytes} bytes went over SMC-D, {size} were sent")


@case("splice", "splice-adopt", agent=False, timeout=200)
def adopt(lab):
    """7.3: a server that runs when the agent comes is accelerated, not restarted."""
    server, client = lab.guests
    traffic.transfer_server(server)
    splice.start(lab)
    size = 4 << 20
    _, made, _ = smcd.expect_connections(
        client, server, 1, lambda: traffic.transfer(client, server.ip4, size))
    expect_equal(splice.counters(lab.agents[0])["adopted"], 1, "adopted connections")
    expect(made.tx_bytes >= size, f"{made.tx_bytes} bytes went over SMC-D, {size} were sent")
