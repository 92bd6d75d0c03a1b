# SPDX-License-Identifier: Apache-2.0
"""What programs can see of a socket is what they see of TCP, but for what is documented."""

import time

from harness import semantics, traffic
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


@case("semantics", "semantics-native", agent=False, timeout=400)
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
