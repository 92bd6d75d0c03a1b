# SPDX-License-Identifier: Apache-2.0
"""Members that write where they must not."""

import time

from harness import driver, native, paths, smcd, stress, traffic
from harness.case import case, expect, expect_equal, wait_until

SCRIBBLE = paths.PROGRAMS / "scribble"


def scribble_argv(targets: str, seconds: int) -> list[str]:
    """Garbage over what the letters say (scribble.cc), for so long."""
    resource = f"{driver.DEVICE}/device/resource2"
    return [str(paths.built(SCRIBBLE)), resource, "16", str(seconds), targets]


def scribble(guest, targets: str, seconds: int) -> None:
    run = guest.run(scribble_argv(targets, seconds), seconds + 30)
    expect_equal(run.code, 0, f"exit code of scribble ({run.out + run.err})")
    expect("0 writes" != run.out.strip(), "nothing was written")


@case("fabric", "hostile-member", guests=3, cpus=2, timeout=120, long_timeout=400)
def hostile_member(lab):
    """A member that writes garbage over all it can reach of the other areas' words, under load:
    no kernel complains, and TCP and loopback go on. Then over everything.
    """
    server, client, hostile = lab.guests
    traffic.transfer_server(server)
    stress.serve(server)
    load = stress.start(client, server, 4, 1000, 1000000)
    seconds = 30 if lab.long else 4
    for targets in ("o", "r", "b", "c", "d", "a", "h", "hax"):
        scribble(hostile, targets, seconds)
    load.kill()
    for guest in (server, client):
        expect_equal(guest.run("true").code, 0, f"{guest.name} answers")
    # The memory is spoilt; TCP has nothing to do with it.
    for agent in lab.agents[:2]:
        agent.stop()
    plain_server = traffic.transfer_server(server, port=9500)
    report = traffic.transfer(client, server.ip4, 4 << 20, port=9500)
    expect_equal(report["protocol"], smcd.TCP, "SO_PROTOCOL without agents")
    traffic.transfer(server, "127.0.0.1", 4 << 20, port=9500)
    plain_server.kill()


def wait_trusted(guest, trusted: int) -> None:
    """Until the driver believes the region's header, or does not."""
    guest.check(f"""for ((i = 0; i < 150; i++)); do
                        [ "$(<{driver.DEVICE}/header_trusted)" = {trusted} ] && exit 0
                        sleep 0.2
                    done
                    exit 1""")


@case("fabric", "header-tampered", guests=3, timeout=120)
def header_tampered(lab):
    """A member writes into the header, which is the broker's: the others notice, say which word,
    count it and make new connections TCP; the broker puts it right; what was under way goes on.
    """
    server, client, hostile = lab.guests
    stress.serve(server)
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server, size=1 << 20)
    before = traffic.counters(client).client
    held = stress.start(client, server, 4, 15, 20000)
    while traffic.counters(client).client < before + 4:
        time.sleep(0.2)
    scribbling = hostile.spawn(scribble_argv("i", 600))
    for guest in (server, client):
        wait_trusted(guest, 0)
    smcd.expect_tcp(client, server)
    scribbling.kill()
    for guest in (server, client):
        counted = driver.stats(guest)
        expect(counted["header_tampered"] > 0, f"{guest.name} did not notice")
        expect("wrote into the region's header (" in guest.console(), f"{guest.name} is silent")
    refused = sum(driver.stats(guest)["refused_header"] for guest in (server, client))
    expect(refused > 0, "nothing was refused for the header")
    expect("event=header-repaired" in lab.brokers[0].log.read_text(), "the broker is silent")
    for guest in (server, client):
        wait_trusted(guest, 1)
    smcd.expect_smcd(client, server, size=1 << 20)
    stress.finish(held, 60)


FORGER = paths.PROGRAMS / "forger"
# What is lied about, one after the other: what keeps new connections from being SMC-D comes last.
LIES = ("h", "r", "q", "e", "c", "d", "sl", "sldcreqh")


def membership(guest) -> dict:
    """What the driver says of it, and what of the region it still uses: that keeps a guest whose slot was taken
    from joining anew.
    """
    names = "header_trusted generation members stats/dmbs stats/attachments stats/dmbs_parked stats/rings"
    said = guest.check(f"cd {driver.DEVICE} && for each in {names}; do echo $(cat $each); done")
    trusted, generation, *used = said.splitlines()
    return {"member": trusted == "1" and generation != "0", "members, DMBs, attachments, parked, rings": used}


def wait_member(guest) -> None:
    """Five seconds until a slot that was taken is believed to be, five until a header that is right again is."""
    wait_until(lambda: membership(guest), lambda seen: seen["member"], 60, f"{guest.name}, a member", pause=0.5)


def forge(lab, kinds: str, seconds: int) -> tuple[int, int]:
    """Lies of these kinds, told beside SMC-D connections: how many of those were made, and how often one broke."""
    server, client, hostile = lab.guests
    began = time.monotonic()
    for guest in lab.guests:
        wait_member(guest)
    for guest in lab.guests:
        native.wait_members(guest, 2)
    took = time.monotonic() - began
    listener = stress.serve(server, native.SMC)
    before = traffic.counters(client).client
    load = stress.start(client, server, 4, seconds, 5000, native.SMC)
    wait_until(lambda: traffic.counters(client).client, lambda now: now > before, 20, "SMC-D connections")
    forging = hostile.spawn([str(paths.built(FORGER)), f"{driver.DEVICE}/device", "4", str(seconds),
                             str(int(time.time())), kinds])
    broken, until = 0, time.monotonic() + 4 * seconds
    while forging.poll() is None:
        expect(time.monotonic() < until, "the forger does not end")
        if load.poll() is not None:
            broken += 1
            load = stress.start(client, server, 4, seconds, 5000, native.SMC)
        time.sleep(0.5)
    for process in (load, listener):  # a guest joins anew when its programs have closed what is dead
        process.kill()
        process.wait(10)
    expect_equal(forging.wait(5), 0, f"exit code of forger ({forging.err.decode()})")
    made = traffic.counters(client).client - before
    lab.progress(f"{kinds}: members after {took:.0f} s, {made} SMC-D connections, {broken} runs broke; "
                 f"{forging.out.decode().split()}")
    return made, broken


@case("fabric", "forging-member", agent=False, guests=3, slots=4, size="64M", long_only=True, timeout=600)
def forging_member(lab):
    """A member that tells likely lies for two minutes about every word that others read: connections over
    the region end and are made again, TCP and the kernels go on as if nothing were. Then everything works.
    """
    server, client, hostile = lab.guests
    native.load_all(lab)
    stress.serve(client)
    plain = stress.start(server, client, 2, 1000, 30000)
    bounded = hostile.run("grep -q Y /sys/module/smc/parameters/bounded").code == 0
    for kinds in LIES:
        if not bounded:
            kinds = kinds.replace("h", "")
        if not kinds:
            continue
        _, broken = forge(lab, kinds, 120 // len(LIES))
        expect(broken or kinds != "h", "no connection ended for what was written into its header")
    expect(plain.poll() is None, f"TCP: {plain.out!r} {plain.err!r}")
    plain.kill()
    for guest in lab.guests:
        driver.load(guest)
    for guest in lab.guests:
        native.wait_members(guest, 2)
    native.server(server)
    smcd.expect_native(client, server, size=1 << 20)
