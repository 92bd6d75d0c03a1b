# SPDX-License-Identifier: Apache-2.0
"""Connections that are too short for SMC."""

import json

from harness import smcd, traffic
from harness.case import case, expect, expect_equal

PORT = traffic.TRANSFER_PORT
OTHER = PORT + 1
ENOUGH = 40  # STEER_SCORE_BACK and a few
# Long enough for a connection on a busy host.
CONFIG = "workloads: all\nshort_connections: {bytes: 64KiB, milliseconds: 10000}\n"
OFF = "workloads: all\nshort_connections: off\n"


def make(client, server, count: int, size: int, port: int = PORT) -> int:
    """`count` connections one after the other; how many ran over SMC-D."""
    before = traffic.counters(client)
    send = " ".join(traffic.transfer_argv(server.ip4, size, port=port))
    client.check(f"for ((i = 0; i < {count}; i++)); do {send} >/dev/null || exit 1; done", 100)
    return (traffic.counters(client) - before).client


@case("policy", "short-connections", agent=False, timeout=150)
def short_connections(lab):
    """An endpoint whose connections are short is left to TCP, and it alone; it comes back when they
    grow; explain and endpoints say so. With `off` nobody steps back.
    """
    server, client = lab.guests
    client.configure_agent(CONFIG)
    lab.start_agents()
    agent = lab.agents[1]
    for port in (PORT, OTHER):
        traffic.transfer_server(server, port=port)

    over_smcd = make(client, server, ENOUGH, 64)
    expect(30 <= over_smcd < ENOUGH, f"{over_smcd} of {ENOUGH} short connections over SMC-D")
    seen = smcd.endpoint(agent, PORT)
    expect_equal((seen["connections"], seen["short"], seen["stepped_back"]), (ENOUGH, ENOUGH, True),
                 "what was learned")
    # 64 bytes there and back, a checksum and the two words of a connection's beginning
    expect(100 < seen["mean_bytes"] < 1000, f"mean bytes {seen['mean_bytes']}")
    told = json.loads(client.check(["smc-policy", "explain", client.ip4, f"{server.ip4}:{PORT}",
                                    "--json"]))
    expect_equal(told["verdict"], "TCP", "verdict of explain")
    expect("short" in told["because"], f"explain says {told['because']!r}")
    expect(agent.status()["counters"]["syn_short"] > 0, "no SYN was counted as too short")
    smcd.expect_smcd(client, server, port=OTHER, size=1 << 20)

    expect_equal(make(client, server, 5, 1 << 20), 0, "SMC-D connections while it steps back")
    make(client, server, 3, 1 << 20)
    expect_equal(smcd.endpoint(agent, PORT)["stepped_back"], False, "stepped back after longer ones")
    smcd.expect_smcd(client, server, size=1 << 20)

    # The kernel's own limit on handshakes, as long as the agent is there and wants it.
    expect_equal(traffic.raw_counters(client)["smc"]["limited"], 1, "limit on handshakes")
    expect_equal(agent.stop(), 0, "exit code after SIGTERM")
    expect_equal(traffic.raw_counters(client)["smc"]["limited"], 0, "limit on handshakes after it")
    client.configure_agent(OFF)
    agent.start(addresses=2)
    lab.agents[0].wait_state("active", 2)
    expect_equal(traffic.raw_counters(client)["smc"]["limited"], 0, "limit on handshakes, off")
    expect_equal(make(client, server, ENOUGH, 64), ENOUGH, "SMC-D connections with 'off'")
