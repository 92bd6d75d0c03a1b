# SPDX-License-Identifier: Apache-2.0
"""Members that lie where it hurts, and drivers that come and go beside them."""

import os
import signal
import time
from contextlib import contextmanager

from harness import dibs, driver, native, paths, shm, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until

KIB = 1024
SIZE, SLOTS = 64 << 20, 4
LIAR = paths.PROGRAMS / "liar"
LEND = paths.REPO / "tests" / "vm" / "guest" / "lend"
LEND_PORT = 9300
LEFT = "a pipe holds pages of the region: they stay mapped"
DIBS_DEVICE = "/sys/class/dibs/ivpci0"
LOOK_UNRUNG = "/sys/module/ivpci/parameters/look_unrung"


def lie(guest, slots: int, *words) -> list[str]:
    """What liar.cc is to be called with."""
    return [str(paths.built(LIAR)), f"{driver.DEVICE}/device", str(slots), *map(str, words)]


def lie_for(guest, slots: int, *words) -> str:
    return guest.check(lie(guest, slots, *words), 60).strip()


def reachable(client: dibs.Client, gid: str) -> bool:
    return client.run(f"query {gid}")[0][1] == ""


def flood_of_events(victim: dibs.Client, liar, slots: tuple[int, int]) -> None:
    """An event ring that is filled again and again: what SMC is told of has a limit, and other peers'
    events come through meanwhile.
    """
    before = victim.stat("events_received")
    began = time.monotonic()
    lie_for(liar.guest, 4, "events", *slots, 2)
    took = time.monotonic() - began
    served = victim.stat("events_received") - before
    expect(0 < served < 32 * (took + 2), f"{served} events of one peer in {took:.1f} s")
    before = int(victim.ask("events").split()[0])
    wait_until(lambda: liar.run(f"event {victim.gid} 42 7")[0][1], lambda error: not error, 10,
               "an event after the flood")
    wait_until(lambda: victim.ask("events").split()[2:4], lambda last: last == ["42", "7"], 10,
               "the event that came last")
    # One more than a second has: it is looked at in the next, without another ring.
    time.sleep(1.1)
    liar.ask_all(*[f"event {victim.gid} 42 7"] * 16)
    wait_until(lambda: liar.run(f"event {victim.gid} 43 8")[0][1], lambda error: not error, 10,
               "room in the event ring")
    wait_until(lambda: victim.ask("events").split()[2:4], lambda last: last == ["43", "8"], 10,
               "an event that was left in the ring")


def flood_of_signals(victim: dibs.Client, liar: dibs.Client, other: dibs.Client,
                     slots: tuple[int, int]) -> None:
    """A peer that has everything served for ever: another one's signals are served, too."""
    many = [answer.split()[0] for answer in
            victim.ask_all(*[f"register {liar.gid} {16 * KIB}"] * 200)]
    token = victim.register(other, 16 * KIB)
    flood = liar.guest.spawn(lie(liar.guest, 4, "signals", *slots, 3))
    time.sleep(1)
    other.ask_all(*[f"move {token} 0 8 5a 1"] * 3)
    wait_until(lambda: int(victim.ask(f"signals {token}")), lambda count: count > 0, 10,
               "signals beside a flood")
    expect_equal(flood.wait(20), 0, "exit code of liar")
    victim.ask_all(*[f"unregister {one}" for one in (*many, token)])


def swapped_token(victim: dibs.Client, liar: dibs.Client, slots: tuple[int, int]) -> None:
    """A token that can be read both ways, and whose owner changes its mind about which is meant:
    what was attached is detached, and the claim goes.
    """
    own, victims = slots
    index, other_index = 0x0102, 0x0304
    # With the bytes reversed the serial is a slot and an index.
    serial = own << 8 | (other_index >> 8) << 16 | (other_index & 0xff) << 24
    token = serial << 32 | own << 16 | index
    reversed_token = int.from_bytes(token.to_bytes(8, "little"), "big")
    expect_equal((reversed_token >> 16 & 0xffff, reversed_token & 0xffff), (own, other_index),
                 "slot and index of the reversed token")
    lie_for(liar.guest, 4, "describe", own, index, f"{token:x}", victims)
    victim.ask(f"attach {reversed_token:x}")
    expect_equal(victim.stat("attachments"), 1, "attachments")
    expect(int(lie_for(liar.guest, 4, "claim", victims, own, index), 16) != 0, "no claim")
    lie_for(liar.guest, 4, "describe", own, other_index, f"{reversed_token:x}", victims)
    victim.ask(f"detach {reversed_token:x}")
    expect_equal(victim.stat("attachments"), 0, "attachments after the last was detached")
    wait_until(lambda: lie_for(liar.guest, 4, "claim", victims, own, index), lambda word: word == "0",
               10, "the claim after the last was detached")


def lying_lease(victim: dibs.Client, liar: dibs.Client, other: dibs.Client, victims: int) -> None:
    """It is said of another member's chunk that it is the victim's. What the victim does once that is
    put right does no harm to who has it, and it knows again what it has.
    """
    def surplus() -> int:
        """Chunks that the victim counts and the broker does not."""
        return victim.stat("chunks") - int(lie_for(liar.guest, 4, "leased", victims))

    token = other.register(victim, 1024 * KIB)
    slot, index = int(token, 16) >> 16 & 0xffff, int(token, 16) & 0xffff
    chunk = lie_for(liar.guest, 4, "where", slot, index)
    victim.ask(f"move {token} 0 8 5a 0")
    for _ in range(2):
        wait_until(surplus, lambda more: more == 0, 10, "chunks that are only lied about")
        before = victim.stat("chunks")
        lying = liar.guest.spawn(lie(liar.guest, 4, "lease", chunk, victims, 2.5))
        wait_until(lambda: victim.stat("chunks"), lambda now, had=before: now > had, 5,
                   "chunks with the one that was lied about")
        expect_equal(lying.wait(20), 0, "exit code of liar")
        taken = victim.ask_all(*[f"register {liar.gid} {1024 * KIB}"] * 2)
        expect_equal(other.ask(f"peek {token} 0"), "5a" * 8, "what was in another member's DMB")
        victim.ask_all(*[f"unregister {one.split()[0]}" for one in taken])
    wait_until(surplus, lambda more: more == 0, 10, "chunks that are only lied about, afterwards")
    other.ask(f"unregister {token}")


TRACING = "/sys/kernel/tracing"


@contextmanager
def calls(guest, function: str):
    """How often it was called in that guest, up to when it is asked."""
    guest.check(f"""echo p:calls {function} >{TRACING}/kprobe_events
        echo 1 >{TRACING}/events/kprobes/calls/enable""")
    yield lambda: int(guest.check(f"cat {TRACING}/kprobe_profile").split()[1])
    guest.check(f"echo 0 >{TRACING}/events/kprobes/calls/enable; echo >{TRACING}/kprobe_events")


def alias(victim: dibs.Client, liar: dibs.Client, other: dibs.Client, others: int, victims: int) -> None:
    """A peer's GID, era and vectors were lies at the moment when it was found: once the broker and that peer
    have put them right, it is reached again, and by its doorbell.
    """
    gid = lie_for(liar.guest, 4, "alias", others, victims)
    console = victim.guest.console()
    expect(f"slot {others} joined, GID {gid}" in console, f"it did not believe in GID {gid}")
    expect("looking instead of being rung" in console, "it did not believe in another era")
    wait_until(lambda: reachable(victim, other.gid), bool, 10, "reached, after a lie about its GID")
    # And of its era alone.
    with calls(victim.guest, "ivpci_era_look") as looks:
        lie_for(liar.guest, 4, "era", others, victims)
        expect(looks() > 0, "it did not believe in another era of whom it knew")

    def looks_in_a_second() -> int:
        with calls(victim.guest, "ivpci_era_look") as looks:
            time.sleep(1)
            return looks()
    wait_until(looks_in_a_second, lambda count: count == 0, 10, "looks at rings that doorbells reach")
    wait_until(lambda: other.guest.check(f"cat {driver.DEVICE}/header_trusted").strip(),
               lambda word: word == "1", 20, "the header, trusted by whom it was about")
    token = other.register(victim, 16 * KIB)
    # or what is rung at a wrong vector is found all the same, within a second
    other.guest.check(f"echo N >{LOOK_UNRUNG}")
    time.sleep(1.1)
    victim.ask(f"move {token} 0 8 5a 1")
    wait_until(lambda: int(other.ask(f"signals {token}")), lambda count: count > 0, 10,
               "a signal, after a lie about the peer's vectors")
    other.guest.check(f"echo Y >{LOOK_UNRUNG}")
    other.ask(f"unregister {token}")


def deaf(victim: dibs.Client, liar: dibs.Client, other: dibs.Client, victims: int) -> None:
    """Who is said to look at its rings is rung by nobody: a guest looks once a second, and puts the word right."""
    token = victim.register(other, 16 * KIB)
    lie_for(liar.guest, 4, "deaf", victims)
    other.ask(f"move {token} 0 8 5a 1")
    wait_until(lambda: int(victim.ask(f"signals {token}")), lambda count: count > 0, 5,
               "a signal to whom a member has made deaf")
    victim.ask(f"unregister {token}")


def muted(victim: dibs.Client, liar: dibs.Client, other: dibs.Client, victims: int, others: int) -> None:
    """A notification that a member takes out of a ring is lost: what it was about is served all the same, soon."""
    token = victim.register(other, 16 * KIB)
    lying = liar.guest.spawn(lie(liar.guest, 4, "mute", victims, others, 3))
    time.sleep(0.5)
    other.ask(f"move {token} 0 8 5a 1")
    expect_equal(lying.wait(30), 0, "exit code of liar")
    expect(int(lying.out) > 0, "nothing was taken out of the ring")
    wait_until(lambda: int(victim.ask(f"signals {token}")), lambda count: count > 0, 10,
               "a signal that a member has taken away")
    victim.ask(f"unregister {token}")


def doorbells(victim: dibs.Client, liar: dibs.Client, others: int, victims: int) -> None:
    """A slot that comes and goes some thousand times a second: the log has a limit, and so has how often
    the driver looks around.
    """
    count = "dmesg | grep -c 'joined, GID'"
    before = int(victim.guest.check(count))
    with calls(victim.guest, "ivpci_member_work") as called:
        began = time.monotonic()
        lie_for(liar.guest, 4, "flap", others, victims, 3)
        looks = called()
        took = time.monotonic() - began
    lines = int(victim.guest.check(count)) - before
    expect(lines < 40, f"{lines} lines about one slot")
    expect(0 < looks < 60 * (took + 1), f"{looks} looks around in {took:.1f} s")
    wait_until(lambda: reachable(victim, liar.gid), bool, 20, "the liar, reached again")


def told(victim: dibs.Client) -> int:
    """How many events came, from the device that is there still: one that was made anew has another GID."""
    answer, _ = victim.run("device")[0]
    expect_equal(answer.split()[1:2], [victim.gid], "GID of the DIBS device")
    return int(victim.ask("events").split()[0])


def taken_slot(victim: dibs.Client, liar: dibs.Client, victims: int) -> None:
    """The header says for long that the victim is no member: it ends what it has with its peers,
    makes nothing new, and its device stays. SMC has pointers to it.
    """
    token = victim.register(liar, 16 * KIB)
    before = told(victim)
    lying = liar.guest.spawn(lie(liar.guest, 4, "state", victims, 1, 14))
    wait_until(lambda: reachable(victim, liar.gid), lambda yes: not yes, 10, "peers, not reached")
    wait_until(lambda: told(victim), lambda now: now > before, 15,
               "told that peers are lost")
    for words in ("header (state of our slot)", "was taken away: its connections end"):
        expect(words in victim.guest.console(), f"it was not said: {words}")
    expect_equal(lying.wait(30), 0, "exit code of liar")
    times = told(victim) - before
    expect(times < 20, f"told {times} times that peers are gone")
    wait_until(lambda: reachable(victim, liar.gid), bool, 20, "peers, reached again")
    # The same device, with what it had.
    expect_equal(victim.ask(f"peek {token} 0"), "0", "a DMB from before")
    victim.ask(f"unregister {token}")


def taken_slot_of_sockets(client, server, liar) -> None:
    """The same with sockets: they fail, the next connections are TCP, and when the header is right
    again they are SMC-D. SMC never loses its device.
    """
    for guest in (client, server, liar):
        native.load(guest)
    native.server(server)
    held = traffic.hold(client, server.ip4, flags=native.SMC)
    before = traffic.counters(client).client
    device = client.check(f"stat -L -c %i {DIBS_DEVICE}")
    lying = liar.spawn(lie(liar, 4, "state", driver.slot(client), 1, 14))
    # A sleeping reader may see the end of the stream in place of the error (smc_rx_recvmsg()).
    code = held.wait(20)
    expect(code in (0, 3), f"exit code of a reader whose slot was taken: {code}")
    traffic.transfer(client, server.ip4, 1 << 16, flags=native.SMC)
    expect_equal(traffic.counters(client).client, before, "SMC-D connections without a slot")
    expect_equal(lying.wait(30), 0, "exit code of liar")
    wait_until(lambda: client.check(f"cat {driver.DEVICE}/header_trusted").strip(),
               lambda word: word == "1", 20, "the header is trusted")
    for guest in (client, server):
        native.wait_members(guest, 2)
    traffic.transfer(client, server.ip4, 1 << 20, flags=native.SMC)
    expect_equal(traffic.counters(client).client, before + 1, "SMC-D connections afterwards")
    expect_equal(client.check(f"stat -L -c %i {DIBS_DEVICE}"), device, "inode of the DIBS device")
    expect("removing smcd device" not in client.console(), "SMC lost its device")


@case("fabric", "lies", agent=False, guests=3, slots=4, size="64M", timeout=120)
def lies(lab):
    """A member that floods another's rings and doorbells, that changes its mind about tokens, and that
    says of a chunk that it is another's: what that costs the other has a limit.
    """
    victim, liar, other = (dibs.Client(guest) for guest in lab.guests)
    victims, own, others = (driver.slot(guest) for guest in lab.guests)
    for one in (liar, other):
        wait_until(lambda one=one: reachable(victim, one.gid), bool, 20, "reachable")
    flood_of_events(victim, liar, (own, victims))
    flood_of_signals(victim, liar, other, (own, victims))
    swapped_token(victim, liar, (own, victims))
    lying_lease(victim, liar, other, victims)
    alias(victim, liar, other, others, victims)
    deaf(victim, liar, other, victims)
    muted(victim, liar, other, victims, others)
    doorbells(victim, liar, others, victims)


@case("fabric", "taken-slot", agent=False, guests=3, slots=4, size="64M", timeout=120)
def slot_taken(lab):
    """A member says of another for long that it is no member: that one ends its connections and makes no
    new ones, and its device stays, for DIBS clients and for sockets.
    """
    first, second, third = lab.guests
    victim, liar = dibs.Client(first), dibs.Client(second)
    wait_until(lambda: reachable(victim, liar.gid), bool, 20, "reachable")
    taken_slot(victim, liar, driver.slot(first))
    for one in (victim, liar):
        one.unload()
    taken_slot_of_sockets(first, third, second)


@case("fabric", "kept-socket", agent=False, slots=4, size="64M", timeout=90)
def kept_socket(lab):
    """A member joins in the name of another, where a stopped program has a socket. SMC keeps all buffers of that
    link group until it is closed, and where they lie may be others' memory: the guest does not join anew, and its
    connections are TCP. It does when the program has ended.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    kept = native.link(client, server)
    kept.signal(signal.SIGSTOP)
    was = client.check(f"cat {driver.DEVICE}/generation")
    lie_for(server, 4, "join", driver.slot(client))
    wait_until(client.console, lambda text: "was taken away: its connections end" in text, 20,
               "a slot that is believed to be taken")
    time.sleep(2)
    expect_equal(client.check(f"cat {driver.DEVICE}/generation"), was, "the generation beside a socket that is kept")
    expect(driver.stats(client)["dmbs"] > 0, "SMC keeps no buffer of a socket that is kept")
    smcd.expect_connections(client, server, 0,
                            lambda: traffic.transfer(client, server.ip4, 1 << 16, flags=native.SMC))
    kept.kill()
    wait_until(lambda: client.check(f"cd {driver.DEVICE}; cat generation header_trusted").split(),
               lambda seen: seen[0] not in ("0", was.strip()) and seen[1] == "1", 30, "generation, and trust")
    for guest in lab.guests:
        native.wait_members(guest, 1)
    smcd.expect_native(client, server, size=1 << 20)


def inject(guest, *parameters: str) -> None:
    guest.check(f"modprobe dibs; insmod {paths.built(paths.INJECT_KO)} {' '.join(parameters)}")


def failed_vector(victim, ringing, broker, slots: tuple[int, int]) -> None:
    """A vector that cannot be had while somebody rings the first: nothing has begun by then."""
    joined = f"slot={slots[0]} event=joined"
    before = broker.log.read_text().count(joined)
    ring = ringing.spawn(lie(ringing, 4, "ring", slots[0], 30))
    inject(victim, "symbol=request_threaded_irq", "skip=2", "delay_ms=300")
    victim.check("modprobe ivpci")
    expect(victim.run(f"test -e {driver.DEVICE}").code != 0, "the device is there without a vector")
    expect_equal(broker.log.read_text().count(joined) - before, 0, "times that it joined without a vector")
    victim.check("rmmod inject; modprobe -r ivpci")
    # And rung all the time while it comes and goes.
    for _ in range(2):
        victim.check("modprobe ivpci && modprobe -r ivpci")
    ring.kill()


def strange_mapping(victim) -> None:
    """The region is mapped already, with pages of another size or by somebody else: the driver has nothing
    to do with that.
    """
    for what in ("owner=0x30444d5343505649 shift=0", "owner=0 shift=8"):
        victim.check(f"insmod {paths.built(paths.SQUAT_KO)} {what}; modprobe ivpci")
        expect(victim.run(f"test -e {driver.DEVICE}").code != 0, f"it uses a mapping with {what}")
        victim.check("modprobe -r ivpci; rmmod squat")


def another_generation(victim, owner: dibs.Client, slots: tuple[int, int]) -> None:
    """The slot's generation is another one than the driver believes, and stays so: as after a lie at the
    moment when it joined, or where a member joined in its name. It takes no chunks that it cannot see, and
    joins anew.
    """
    stranger = dibs.Client(victim)
    lie_for(owner.guest, 4, "join", slots[0])
    wait_until(lambda: victim.check(f"cat {driver.DEVICE}/header_trusted").strip(),
               lambda word: word == "0", 10, "the header is not trusted")
    before = lie_for(owner.guest, 4, "leased", slots[0])
    time.sleep(2)
    expect_equal(lie_for(owner.guest, 4, "leased", slots[0]), before,
                 "chunks leased to a generation that the driver does not know")
    wait_until(lambda: reachable(stranger, owner.gid), bool, 40, "reachable in another generation")
    stranger.unload()


def generation_when_leaving(victim, broker) -> str:
    """The driver's while it is unloaded and a broker that stands still has not answered LEAVE; empty if it asked for
    something else before, and so not for that.
    """
    request = shm.Layout(SIZE, SLOTS).area(driver.slot(victim)) + shm.REQUEST
    os.kill(broker.process.pid, signal.SIGSTOP)
    try:
        then = shm.run(victim, f"""
leaving = os.spawnvp(os.P_NOWAIT, "modprobe", ["modprobe", "-r", "ivpci"])
gone = 0
while m[{request}:{request + 4}] != ({shm.LEAVE}).to_bytes(4, "little") and not gone:
    gone = os.waitpid(leaving, os.WNOHANG)[0]
if not gone:
    print(open("{driver.DEVICE}/generation").read())
m.close()
os.close(fd)
if not gone:
    os.waitpid(leaving, 0)
""")
    finally:
        os.kill(broker.process.pid, signal.SIGCONT)
    return then.strip()


def left_before_told(victim, broker) -> None:
    """A broker that takes its time to answer LEAVE: the driver is no member any more from the moment it
    has asked.
    """
    tries = 0
    while not (then := generation_when_leaving(victim, broker)) and tries < 3:
        victim.check("modprobe ivpci")
        wait_until(lambda: victim.check(f"cat {driver.DEVICE}/generation").strip(), lambda word: word != "0", 20,
                   "the generation of a member")
        tries += 1
    expect_equal(then, "0", "the generation while LEAVE is not answered")


def failed_join(victim, owner: dibs.Client, writer: dibs.Client) -> None:
    """No DIBS device can be had: the driver asks again until there is one, and in a region that is full by
    then it has no memory. (It would have had others' only if a JOIN had taken a quarter of a second.)
    """
    inject(victim, "symbol=dibs_dev_alloc", "value=0", "count=-1")
    victim.check("modprobe ivpci")
    wait_until(lambda: victim.console().count("cannot register the SMC-D device"),
               lambda count: count > 1, 10, "joins that failed")
    held = []
    for _ in range(4):
        while not (answer := owner.run(f"register {writer.gid} {1024 * KIB}")[0])[1]:
            held.append(answer[0].split()[0])
        time.sleep(0.3)
    victim.check("rmmod inject")
    stranger = dibs.Client(victim)
    wait_until(lambda: reachable(stranger, owner.gid), bool, 10, "reachable")
    expect_equal(stranger.run(f"register {owner.gid} {16 * KIB}")[0], ["", "ENOSPC"],
                 "a DMB in a region that is full")
    stranger.unload()
    victim.check("modprobe -r ivpci")
    for token in held:
        owner.ask(f"unregister {token}")


@case("fabric", "driver-comes-and-goes", agent=False, guests=3, slots=SLOTS, size=f"{SIZE >> 20}M",
      timeout=120)
def driver_comes_and_goes(lab):
    """Loading that fails half-way while somebody rings, joining that fails and what it was leased, joining
    while somebody lies, and unloading while the broker does not answer.
    """
    victim, owner, writer = lab.guests
    owning, writing = dibs.Client(owner), dibs.Client(writer)
    victim.check("modprobe ivpci")
    slots = driver.slot(victim), driver.slot(owner)
    victim.check("modprobe -r ivpci")
    strange_mapping(victim)
    failed_vector(victim, owner, lab.brokers[0], slots)
    wait_until(lambda: reachable(owning, writing.gid), bool, 20, "reachable")
    failed_join(victim, owning, writing)
    another_generation(victim, owning, slots)
    left_before_told(victim, lab.brokers[0])


@case("fabric", "lent-pages", agent=False, timeout=90)
def lent_pages(lab):
    """A program keeps what it spliced from a connection. The driver goes all the same, the program can
    still read it, and until it has the guest joins no more: its memory would be given to others.
    """
    server, client = lab.guests
    for guest in (server, client):
        native.load(guest)
    for guest in (server, client):
        native.wait_members(guest, 1)
    serving = server.spawn([str(LEND), "serve", str(LEND_PORT), str(32 * KIB)])
    serving.wait_output("listening", 20)
    keeping = client.spawn([str(LEND), "keep", server.ip4, str(LEND_PORT), str(32 * KIB)],
                           stdin=True)
    keeping.wait_output("lent", 20)
    expect_equal(traffic.counters(client).client, 1, "SMC-D connections")
    leaving = f"slot={driver.slot(client)} event=left"
    log = lab.brokers[0].log
    before = log.read_text().count(leaving)
    client.check("timeout 20 modprobe -r ivpci", 30)
    expect_equal(client.console().count(LEFT), 1, "times that pages were left behind")
    expect_equal(log.read_text().count(leaving) - before, 0, "times that it left with lent pages")
    client.check("modprobe ivpci")
    time.sleep(2)
    expect_equal(native.members(client), -1, "members that a guest with lent pages sees")
    keeping.write(b"\n")
    expect_equal(keeping.wait(10), 0, "exit code of who kept the pages")
    expect(f"read {32 * KIB}" in keeping.out.decode(), f"it said {keeping.out!r}")
    native.wait_members(client, 1)
    traffic.transfer_server(server, flags=native.SMC)
    traffic.transfer(client, server.ip4, 1 << 20, flags=native.SMC)
    expect_equal(traffic.counters(client).client, 2, "SMC-D connections afterwards")
    client.check("modprobe -r ivpci", 30)
    expect_equal(client.console().count(LEFT), 1, "times that pages were left behind, afterwards")


RESTART = "import ctypes; ctypes.CDLL(None).reboot(0x01234567)"  # as reboot -f, whatever runs


@case("fabric", "sudden-restart", agent=False, timeout=180)
def sudden_restart(lab):
    """A guest that restarts under a DIBS client that lets go of nothing (SMC ends its link groups before, and
    waits for programs that keep a socket). Its peer is told at once. While something may still be written to,
    the guest does not leave: its memory stays what it is until it joins anew. Where nothing may, it leaves.
    """
    peer, guest = dibs.Client(lab.guests[0]), dibs.Client(lab.guests[1])
    restarted = guest.guest

    def left() -> int:
        return lab.brokers[0].log.read_text().count("event=left")

    for one, other in ((peer, guest), (guest, peer)):
        wait_until(lambda one=one, other=other: reachable(one, other.gid), bool, 20, "reachable")
    guest.register(peer, 16 * KIB)
    before = int(peer.ask("events").split()[0])
    restarted.spawn(["python3", "-Sc", RESTART])
    restarted.wait_boot()
    wait_until(lambda: int(peer.ask("events").split()[0]), lambda now: now > before, 10,
               "events that a peer is gone")
    expect_equal(left(), 0, "times that it left with a DMB that is used")

    restarted.check("modprobe ivpci")
    native.wait_members(restarted, 1)
    restarted.spawn(["python3", "-Sc", RESTART])
    restarted.wait_boot()
    expect_equal(left(), 1, "times that it left without one")
