# SPDX-License-Identifier: Apache-2.0
"""Members of brokers that do not have each other's connections: nobody can ring the other."""

from harness import paths, smcd, traffic
from harness.case import case, expect, expect_equal
from harness.lab import ADDRESSES

STRESS = paths.PROGRAMS / "stress"
STRESS_PORT = 9100


def stats(guest) -> dict:
    return traffic.raw_counters(guest)["ivpci"]["ivpci0"]


def stress(client, server, seconds: int) -> None:
    """Four connections of which none may stand still for two seconds."""
    run = client.run([str(paths.built(STRESS)), "run", server.ip4, str(STRESS_PORT), "4",
                      str(seconds), "2000"], seconds + 60)
    expect_equal(run.code, 0, f"{client.name} to {server.name}: stress said {run.out + run.err}")


@case("fabric", "state-dir-restart", guests=3, state_dir=True, timeout=90, long_timeout=300)
def state_dir_restart(lab):
    """kill -9 of a broker without a service manager, and a new one on its state directory: the
    old guests go on, a new one joins the same memory, and old and new use SMC-D both ways
    although their doorbells do not reach each other.
    """
    old, other, new = lab.guests
    traffic.transfer_server(old)
    smcd.expect_smcd(other, old)
    new.kill()
    lab.brokers[0].kill()
    smcd.expect_smcd(other, old)
    lab.brokers[0].start()
    lab.brokers[0].expect_death = False
    new.start()
    new.wait_boot()
    lab.agents[2].start(addresses=2 * ADDRESSES)
    lab.agents[0].wait_state("active", 2 * ADDRESSES)
    expect_equal(old.check("cat /sys/class/misc/ivpci0/region_uuid"),
                 new.check("cat /sys/class/misc/ivpci0/region_uuid"), "UUID of the region")
    smcd.expect_smcd(other, old)
    smcd.expect_smcd(new, old)
    before = stats(new)
    traffic.transfer_server(new)
    smcd.expect_smcd(old, new)
    seconds = 30 if lab.long else 3
    for client, server in ((new, old), (old, new)):
        listener = server.spawn([str(paths.built(STRESS)), "serve", str(STRESS_PORT)])
        listener.wait_output("listening", 20)
        stress(client, server, seconds)
        listener.kill()
    after = stats(new)
    expect(after["signals_sent"] > before["signals_sent"] + 100, "nothing was told")
    expect_equal(after["doorbells_sent"], before["doorbells_sent"], "doorbells rung in vain")
