# SPDX-License-Identifier: Apache-2.0
"""Agents that move connections onto shared memory by themselves: `path: direct` in agent.yaml."""

from . import driver, traffic
from .agent import Agent
from .case import expect, wait_until
from .guest import Guest
from .lab import ADDRESSES

CONFIG = """path: {path}
workloads: {workloads}
metrics: {{listen: off}}
offload: {{idle_ms: {idle_ms}, on_exit: {on_exit}{more}}}
"""


def load(guest: Guest) -> None:
    guest.check("modprobe ivpci && modprobe tcp_ivpci")


def configure(guest: Guest, idle_ms: int = 60_000, on_exit: str = "keep", workloads: str = "all", path: str = "direct", **more) -> None:
    """`more`: other keys of `offload`."""
    words = "".join(f", {key}: {value}" for key, value in more.items())
    guest.configure_agent(CONFIG.format(idle_ms=idle_ms, on_exit=on_exit, workloads=workloads, path=path, more=words))


def start(lab, addresses: int = ADDRESSES, **settings) -> list[Agent]:
    """Both modules and an agent in each guest; they can talk. `addresses`: that each guest publishes."""
    for guest, agent in zip(lab.guests, lab.agents):
        load(guest)
        configure(guest, **settings)
        agent.launch()
    others = len(lab.guests) - 1
    for agent in lab.agents:
        agent.wait_state("active", others * addresses)
        wait_talking(agent, others)
    return lab.agents


def wait_talking(agent: Agent, count: int = 1) -> None:
    wait_until(lambda: totals(agent)["up"], lambda up: up == count, 20, f"agents that {agent.guest.name}'s talks with")


def totals(agent: Agent) -> dict:
    return agent.status()["offload"]


def flows(agent: Agent, port: int) -> list[dict]:
    """Of connections with that port at either end."""
    return [flow for flow in agent.ask("flows")["flows"]
            if flow["local"].endswith(f":{port}") or flow["peer"].endswith(f":{port}")]


def wait_moved(agent: Agent, port: int, count: int = 1, seconds: float = 10) -> list[dict]:
    """Until that many connections of the port are moved, and no more of them. Those."""
    def look() -> list[dict]:
        return [flow for flow in flows(agent, port) if flow["mode"] == "direct"]
    return wait_until(look, lambda found: len(found) == count, seconds,
                      f"connections of port {port} that are moved, {count} wanted", 0.2)


def wait_dmbs(agent: Agent, count: int = 0, seconds: float = 10) -> None:
    """A connection that is moved has one at each end."""
    wait_until(lambda: driver.stats(agent.guest)["dmbs"], lambda dmbs: dmbs == count, seconds,
               f"{agent.guest.name}: DMBs in use, {count} wanted")


def stream(client, server):
    """iperf3, in the background until expect_streaming(), not so fast that nobody else gets a CPU."""
    traffic.iperf_server(server)
    return client.spawn(["iperf3", "--client", server.ip4, "--time", "600", "--length", "64K", "--bitrate", "100M",
                         "--forceflush"])


def expect_streaming(process) -> None:
    """It is at work to the end."""
    said = []

    def look() -> int:
        expect(process.poll() is None, f"iperf3 ended: {process.out}{process.err}")
        said.append(len(process.out))
        return said[-1] - said[0]
    wait_until(look, lambda more: more > 0, 10, "what iperf3 says")
    expect(b" 0.00 bits/sec" not in process.out, f"iperf3 stood still: {process.out}")
    process.kill()
