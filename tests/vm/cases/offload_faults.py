# SPDX-License-Identifier: Apache-2.0
"""Agents of the direct path that are killed, and one whose machine's root lies in its name."""

import json
import random
import signal
import time

from harness import driver, offload, paths, traffic
from harness.case import case, expect, expect_equal, wait_until
from harness.lab import ADDRESSES

PROBED = 9301


def transfers(one, other) -> list:
    """Loops that end with the first transfer that fails: connections that become worth it, move and end all the time."""
    words = " ".join(traffic.transfer_argv(other.ip4, 8 << 20))
    return [one.spawn(f"while said=$({words} 2>&1); do :; done; echo \"$said\"") for _ in range(5)]


def disturb(agent, how: str) -> None:
    """Kills or upgrades an agent, which has lived until now."""
    expect(agent.process.poll() is None, f"{agent.guest.name}'s agent ended by itself: {agent.log()}")
    if how == "upgraded":
        agent.guest.check("smc-policy upgrade", 90)
        return
    agent.kill()
    agent.launch()
    agent.wait_state("active", ADDRESSES)


@case("direct", "offload-killed", agent=False, long_only=True, timeout=300)
def offload_killed(lab):
    """kill -9 and upgrades of either agent, at any moment, for two minutes, under ten transfers at a time whose connections move
    all the time, and one new connection after the other: none fails, and every byte is right.
    """
    seed = int(time.time())
    lab.progress(f"seed {seed}")
    dice = random.Random(seed)
    server, client = lab.guests
    agents = offload.start(lab)
    for guest in lab.guests:
        traffic.transfer_server(guest)
    traffic.prober_server(server, PROBED)
    seconds = 120
    prober = traffic.probe(client, server.ip4, PROBED, seconds)
    running = transfers(client, server) + transfers(server, client)
    done = {"killed": 0, "upgraded": 0}
    moved = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        agent = dice.choice(agents)
        # Whatever it is doing: most of a move is over in some milliseconds.
        time.sleep(dice.choice([0.005, 0.05, 0.5, 2]) * dice.random())
        how = min(done, key=done.get)
        disturb(agent, how)
        done[how] += 1
        if dice.random() < 0.5:
            offload.wait_talking(agent)
            moved += offload.totals(agent)["moved"]
    results = traffic.probed(prober, seconds)
    gap = max(later[0] - earlier[0] for earlier, later in zip(results, results[1:]))
    lab.progress(f"{done}, {len(results)} connections, at most {gap:.2f} s between two; {moved} moves were seen meanwhile")
    for agent in agents:
        offload.wait_talking(agent)
        wait_until(lambda agent=agent: offload.totals(agent)["moved"], lambda count: count > 0, 20,
                   f"{agent.guest.name}: connections that are moved after all that")
    expect(moved > 3, f"hardly a connection was moved meanwhile: {moved}")
    expect(min(done.values()) >= 2, f"hardly anything was done to the agents: {done}")
    for each in running:
        expect(each.poll() is None, f"a transfer failed: {each.out[-500:]}{each.err}")
        each.kill()
    for agent in agents:
        offload.wait_dmbs(agent, seconds=20)


LYING_WIRE = paths.REPO / "tests" / "vm" / "guest" / "lying_wire"
LIE_PORT, LIE_MARK, AGENT_PORT = 7300, 7, 7256


def lie(guest, seed: int):
    """What that guest's agent says to others is changed on its way. It calls them: nobody calls it."""
    guest.check(f"""nft 'add table inet lie
        add chain inet lie out {{ type nat hook output priority -100; }}
        add rule inet lie out tcp dport {AGENT_PORT} meta mark != {LIE_MARK} redirect to :{LIE_PORT}
        add chain inet lie in {{ type filter hook input priority 0; }}
        add rule inet lie in tcp dport {AGENT_PORT} reject'""")
    lying = guest.spawn([str(LYING_WIRE), str(LIE_PORT), str(LIE_MARK), str(seed)])
    lying.wait_output("running", 20)
    return lying


def moved_for(agent) -> float:
    """Seconds since the stream was moved last."""
    return offload.wait_moved(agent, traffic.IPERF_PORT)[0]["moved_seconds"]


@case("direct", "offload-lying-guest", agent=False, guests=3, timeout=120, long_timeout=400)
def offload_lying_guest(lab):
    """A member whose root changes, repeats and makes up what its agent says: the other two live on, what they have with each
    other stays moved and exact, and of what they had with the liar no memory stays.
    """
    seed = int(time.time())
    lab.progress(f"seed {seed}")
    for guest in lab.guests:
        offload.load(guest)
    # Who has the highest slot calls the others.
    *honest, liar = sorted(lab.agents, key=lambda agent: driver.slot(agent.guest))
    lying = lie(liar.guest, seed)
    offload.start(lab)
    server, client = (agent.guest for agent in honest)
    running = offload.stream(client, server)
    began = [(agent.status()["process"]["start_time"], moved_for(agent), time.monotonic()) for agent in honest]
    for guest in lab.guests:
        traffic.transfer_server(guest)

    def talk(one, other) -> tuple:
        return one, other, one.spawn(traffic.transfer_argv(other.ip4, 4 << 20))
    talking = [talk(*pair) for agent in honest for pair in ((liar.guest, agent.guest), (agent.guest, liar.guest))]
    ended = []
    until = time.monotonic() + (120 if lab.long else 12)
    while time.monotonic() < until:
        traffic.transfer(client, server.ip4, 4 << 20)
        for at, (one, other, each) in enumerate(talking):
            if (code := each.poll()) is not None:
                ended.append(code)
                talking[at] = talk(one, other)
    lying.signal(signal.SIGTERM)
    expect_equal(lying.wait(10), 0, "exit code of lying_wire")
    told = json.loads(lying.out.decode().splitlines()[-1])
    lab.progress(f"{told}; connections with the liar: {len(ended)} ended, {sum(map(bool, ended))} of them failed")
    lab.progress(json.dumps([offload.totals(agent) for agent in honest]))
    expect(told["changed"] > 0 and told["made up"] > 100, f"hardly a lie was told: {told}")
    for agent, (start_time, moved, then) in zip(honest, began):
        expect_equal(agent.status()["process"]["start_time"], start_time, f"when {agent.guest.name}'s agent began")
        stayed = moved_for(agent)
        expect(stayed > moved + 0.8 * (time.monotonic() - then),
               f"{agent.guest.name}: the stream went back to TCP, and was moved anew {stayed} s ago")
    offload.expect_streaming(running)
    for _, _, each in talking:
        each.kill()
    liar.stop()
    for agent in honest:
        offload.wait_dmbs(agent, seconds=20)
