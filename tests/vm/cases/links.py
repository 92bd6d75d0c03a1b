# SPDX-License-Identifier: Apache-2.0
"""The agents' own connections: what they spare the programs', and what happens without them."""

from harness import driver, smcd, stress, traffic
from harness.case import case, expect, expect_equal, wait_until

LINK_PORT = 7254
BLOCK = f"""nft add table inet block
nft add chain inet block in '{{ type filter hook input priority 0; }}'
nft add rule inet block in tcp dport {LINK_PORT} drop"""


def peer(agent) -> dict:
    return agent.ask("peers")["peers"][0]


@case("spine", "first-connections", agent=False, timeout=120, long_timeout=600)
def first_connections(lab):
    """Many connections at once are the first ones between two guests: all of them run over
    SMC-D and none is reset, although SMC has only just made its link group.
    """
    server, client = lab.guests
    for _ in range(20 if lab.long else 3):
        driver.reload_all(lab)
        listener = stress.serve(server)
        before = traffic.counters(client)
        stress.run(client, server, 32, 1, 20000, listener)
        expect_equal((traffic.counters(client) - before).client, 32, "SMC-D connections")
        listener.kill()
        listener.wait(10)


@case("spine", "no-link", agent=False, timeout=120)
def no_link(lab):
    """Agents that cannot reach each other: TCP, and smc-policy says why. It is SMC-D as soon
    as they can, and a stranger at the port is sent away.
    """
    server, client = lab.guests
    for guest in lab.guests:
        guest.check(BLOCK)
    for agent in lab.agents:
        agent.start()
    listener = traffic.transfer_server(server)
    smcd.expect_tcp(client, server)
    told = wait_until(lambda: peer(lab.agents[1]), lambda it: it["link_problem"], 20,
                      "a peer without a reason", 0.3)
    expect("no answer" in told["link_problem"], str(told))

    for guest in lab.guests:
        guest.check("nft delete table inet block")
    for agent in lab.agents:
        agent.wait_state("active", 2)
    listener.kill()
    listener.wait(10)
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server)

    strangers = lab.agents[0].status()["link"]["strangers"]
    server.check(f"timeout 5 socat -u TCP:127.0.0.1:{LINK_PORT} STDOUT")
    expect_equal(lab.agents[0].status()["link"]["strangers"], strangers + 1, "strangers")


@case("spine", "link-port-taken", agent=False)
def link_port_taken(lab):
    """Somebody else listens there: the agent says so in a line and leaves TCP untouched."""
    server, client = lab.guests
    traffic.transfer_server(server, port=LINK_PORT)
    agent = lab.agents[0]
    agent.launch_ready()
    expect_equal(agent.process.wait(20), 1, "exit code")
    expect(f"cannot listen for agents on port {LINK_PORT}" in agent.log(), agent.log())
    traffic.transfer(client, server.ip4, port=LINK_PORT)
