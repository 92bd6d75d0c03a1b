# SPDX-License-Identifier: Apache-2.0
"""Connections under load: none stands still, in either copy mode, on one CPU and on two."""

from harness import driver, stress, traffic
from harness.case import case, expect, expect_equal


def stress_both_modes(lab, seconds: int) -> None:
    """Connections that never stand still for two seconds: mapped send buffers, then own ones."""
    server, client = lab.guests
    for nocopy in ("Y", "N"):
        driver.reload_all(lab, f"nocopy={nocopy}")
        listener = stress.serve(server)
        before = traffic.counters(client)
        report = stress.run(client, server, 12, seconds, listener=listener)
        made = traffic.counters(client) - before
        expect_equal(made.client, 12, f"SMC-D connections with nocopy={nocopy}")
        expect(made.tx_bytes > report["bytes"] // 4,
               f"{made.tx_bytes} bytes went over SMC-D with nocopy={nocopy}")
        counted = driver.stats(client)
        expect(counted["doorbells_sent"] + counted["doorbells_skipped"] > 0, "nobody was told")
        listener.kill()


@case("fabric", "no-lost-wakeup", append=driver.UNAIDED, agent=False, cpus=2, timeout=100, long_timeout=900)
def no_lost_wakeup(lab):
    """Small and large messages; blocking, select and epoll, writers and readers; buffers of 16 KiB
    to 1 MiB; both copy modes: no connection stands still for two seconds (in the long form ten minutes,
    with the next case).
    """
    stress_both_modes(lab, 150 if lab.long else 10)


@case("fabric", "no-lost-wakeup-one-cpu", append=driver.UNAIDED, agent=False, cpus=1, timeout=100, long_timeout=900)
def no_lost_wakeup_one_cpu(lab):
    """The same between guests of one CPU."""
    stress_both_modes(lab, 150 if lab.long else 8)


@case("fabric", "copy-modes", agent=False, timeout=90, long_timeout=400)
def copy_modes(lab):
    """Own send buffers (nocopy=N) on both sides instead of mapped ones; in the long form on
    either side, too.
    """
    server, client = lab.guests
    mixed = [("Y", "N"), ("N", "Y")] if lab.long else []
    for at_server, at_client in [("N", "N"), *mixed]:
        driver.reload_each(lab, [f"nocopy={at_server}", f"nocopy={at_client}"])
        listener = stress.serve(server)
        before = traffic.counters(client)
        stress.run(client, server, 4, 60 if lab.long else 4)
        expect_equal((traffic.counters(client) - before).client, 4, "SMC-D connections")
        attachments = driver.stats(client)["attachments"]
        expect(attachments == 0 or at_client == "Y", f"{attachments} attachments with nocopy=N")
        listener.kill()
