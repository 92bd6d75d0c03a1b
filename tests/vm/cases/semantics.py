# SPDX-License-Identifier: Apache-2.0
"""What programs can see of a socket is what they see of TCP, but for what is documented."""

import time

from harness import semantics, splice, traffic
from harness.case import case, expect

# Many of the tests' connections are short.
CONFIG = "workloads: all\nshort_connections: off\n"


def measured(lab, name: str, action):
    """Rows, into the case's logs too."""
    began = time.monotonic()
    rows = action()
    lab.progress(f"{name}: {len(rows)} rows in {time.monotonic() - began:.1f} s, "
                 f"{sum(not row.passed for row in rows.values())} failed")
    semantics.keep(rows, lab.logs / f"semantics.{name}")
    return rows


def again(lab):
    server, client = lab.guests
    return lambda only: semantics.run(client, server, only=only)


@case("splice", "semantics-native", agent=False, timeout=400)
def semantics_native(lab):
    """Steered sockets, both ends: they differ from TCP's in the rows that docs/COMPATIBILITY.md has,
    and in no other.
    """
    server, client = lab.guests
    plain = measured(lab, "plain", lambda: semantics.run_plain(client, server))

    for guest in lab.guests:
        guest.configure_agent(CONFIG)
        guest.put("/etc/smc-steer/policy.yaml", semantics.POLICY)
    lab.start_agents()
    before = traffic.counters(client)
    native = measured(lab, "native", lambda: semantics.run(client, server))
    made = traffic.counters(client) - before
    lab.progress(f"SMC-D connections: {made.client} made, {made.server} accepted")
    # More than one for each of the tests that have roles.
    for count, role in ((made.client, "client"), (made.server, "server")):
        least = sum(name.endswith(f"/{role}") for name in native)
        expect(count >= least, f"{count} SMC-D connections as {role}, {least} tests")
    semantics.expect_documented(plain, native, "native", again(lab), lab.progress)


@case("splice", "semantics-spliced", agent=False, timeout=700, kernels=["stock", "stock"])
def semantics_spliced(lab):
    """The same of connections that the agents relay, on 6.1 at both ends: carried on by the kernel from
    the first byte, and in the long form by the agents as well.
    """
    server, client = lab.guests
    plain = measured(lab, "plain", lambda: semantics.run_plain(client, server))

    ways = {"carried": "{after: 0}"}
    if lab.long:
        ways["relayed"] = "{join: loopback}"
    for name, config in ways.items():
        for agent in lab.agents:
            if agent.process:
                agent.stop()
        splice.start(lab, semantics.PORTS, config)
        spliced = measured(lab, name, lambda: semantics.run(client, server))
        made = [splice.counters(agent) for agent in lab.agents]
        lab.progress(f"{name}: {splice.show(lab.agents[1])}")
        for count, role in ((made[1]["relayed"], "client"), (made[1]["incoming"], "server")):
            least = sum(row.endswith(f"/{role}") for row in spliced)
            expect(count >= least, f"{count} connections as {role}, {least} tests")
            # Some end before anything could be carried: they were reset, or never accepted.
            carried = sum(each["carried"] for each in made)
            expect(carried > least if name == "carried" else carried == 0, f"{carried} carried")
        semantics.expect_documented(plain, spliced, "spliced", again(lab), lab.progress)
