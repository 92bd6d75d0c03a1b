# SPDX-License-Identifier: Apache-2.0
"""Guests whose agents relay what cannot be an SMC socket."""

import json

from . import traffic
from .case import wait_until
from .guest import Guest
from .lab import ADDRESSES


def policy(ports: str) -> str:
    return f"""version: 1
rules:
  - {{action: deny, ports: 22}}
  - {{action: allow, ports: [{ports}], adopt: true}}
"""


def configure(guest: Guest, ports: str, splice: str = "on", short: str = "off") -> None:
    """Before its agent starts. `splice`, `short`: the values of splice and short_connections in
    agent.yaml.
    """
    guest.configure_agent(
              f"workloads: all\nsplice: {splice}\nshort_connections: {short}\n")
    guest.put("/etc/smc-steer/policy.yaml", policy(ports))


def start(lab, ports: str = str(traffic.TRANSFER_PORT), splice: str = "on",
          log: str = "debug", short: str = "off") -> None:
    """All agents, linked with each other."""
    for agent in lab.agents:
        configure(agent.guest, ports, splice, short)
        agent.launch_ready("--log-level", log)
    wait_active(lab)


def wait_active(lab) -> None:
    """Until all agents are, and linked with each other."""
    for agent in lab.agents:
        agent.wait_state("active", ADDRESSES * (len(lab.guests) - 1))


def counters(agent) -> dict:
    return agent.status()["splice"]


def wait_idle(agent, seconds: float = 20) -> None:
    """Until it has no connection."""
    wait_until(lambda: counters(agent)["active"], lambda active: active == 0, seconds,
               f"{agent.guest.name}: no relayed connection")


def show(agent) -> str:
    return json.dumps(counters(agent))
