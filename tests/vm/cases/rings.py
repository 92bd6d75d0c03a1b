# SPDX-License-Identifier: Apache-2.0
"""Rings as other modules get them of the driver (kmod/ivpci_rings.h): memory shared with one peer, signals,
and an end that no peer, no broker and no unloading brings about past their user.
"""

import time

from harness import driver, native, rings, shm
from harness.case import SLOW, case, expect, expect_equal, wait_until

KIB = 1024
SIZE, SLOTS = 64 << 20, 4
NOTHING = {"rings": 0, "dmbs": 0, "dmbs_parked": 0, "dmb_bytes": 0, "attachments": 0}


def wait_nothing(client: rings.Client) -> None:
    wait_until(lambda: {name: client.stat(name) for name in NOTHING}, lambda got: got == NOTHING, 10,
               f"{client.guest.name}: what is left")


def expect_error(error: str, client: rings.Client, *commands: str) -> None:
    for command, (answer, got) in zip(commands, client.run(*commands)):
        expect_equal(got, error, f"{command} (answer {answer!r})")


def data_and_signals(one: rings.Client, other: rings.Client) -> None:
    """Each byte of both ways, the first and the last; each signal; round trips in softirq."""
    for size in (16 * KIB, 1024 * KIB):
        here, there = rings.pair(one, other, size)
        for end, peer, byte in ((here, there, "5a"), (there, here, "a5")):
            expect_equal(peer.ask("peek", str(size - 8)), "0", "memory that nobody wrote to")
            end.ask("put", f"0 {size} {byte}")
            expect_equal([peer.ask("peek", str(at)) for at in (0, size - 8)], [byte * 8] * 2,
                         "what the peer wrote")
            expect_equal(end.error("put", f"{size - 1} 2 0"), "EINVAL", "beyond the peer's memory")
            before = peer.signals()
            end.ask("signal")
            wait_until(peer.signals, lambda count: count == before + 1, 5, "signals")
        there.ask("echo")
        here.ask("ping", "500")
        # What is ended is withdrawn at once; its memory is kept aside as long as the other claims it.
        here.ask("end")
        wait_until(lambda: one.stat("dmbs_parked"), lambda count: count == 1, 5, "DMBs kept aside")
        expect_equal(there.error("connect", here.token), "EALREADY", "a second connect()")
        there.ask("put", f"0 {size} ff")
        there.ask("end")
        for client in (one, other):
            wait_nothing(client)
    expect_equal([client.ask("all") for client in (one, other)], ["2 0 2"] * 2,
                 "made, told that they are gone, released")


FABRIC_ID = 72  # in struct ivpci_header


def distrusted(one: rings.Client, other: rings.Client, third: rings.Client) -> None:
    """Somebody writes into the region's header: no rings, until it is right again for a while."""
    made = rings.make(other, one.where(), 16 * KIB)
    before = rings.make(one, other.where(), 16 * KIB)
    slot, generation = other.where()
    make = f"make 0 {slot} {generation} {16 * KIB}"

    def distrust() -> str:
        # the broker may have put it right before the driver has looked
        shm.run(third.guest, f"m[{FABRIC_ID}] ^= 1")
        return one.run(make)[0][1]

    wait_until(distrust, lambda error: error == "EACCES", 20, "rings while the header is wrong")
    expect_error("EACCES", one, f"connect {before.number} {made.token}")
    wait_until(lambda: one.run(make)[0][1], lambda error: not error, 20, "rings once the header is right")
    before.ask("connect", made.token)


def refused(one: rings.Client, other: rings.Client, third: rings.Client) -> None:
    """Members that are not there, lengths that there are not, tokens that are another's."""
    slot, generation = other.where()
    own, _ = one.where()
    expect_error("EINVAL", one, *(f"make 0 {each} {generation} {16 * KIB}" for each in (0, own, SLOTS + 1)),
                 f"make 0 {slot} 0 {16 * KIB}",
                 *(f"make 0 {slot} {generation} {length}" for length in (0, 8 * KIB, 24 * KIB, 2048 * KIB)))
    expect_error("ENODEV", one, f"make 1 {slot} {generation} {16 * KIB}")
    empty = next(each for each in range(1, SLOTS + 1)
                 if each not in [client.where()[0] for client in (one, other, third)])
    expect_error("ENETUNREACH", one, f"make 0 {empty} 1 {16 * KIB}",
                 # the guest that was in this slot before, or will be
                 f"make 0 {slot} {generation + 1} {16 * KIB}")
    end = rings.make(one, (slot, generation), 16 * KIB)
    for_third = rings.make(other, third.where(), 16 * KIB)
    of_third = rings.make(third, one.where(), 16 * KIB)
    expect_equal(end.error("connect", for_third.token), "EACCES", "a token that is for another member")
    expect_equal(end.error("connect", of_third.token), "EINVAL", "a token for us, of another member")
    expect_equal(end.error("connect", end.token), "EINVAL", "a token of our own")
    wrong = int(for_third.token, 16) + (1 << 32)
    expect_equal(end.error("connect", f"{wrong:x}"), "ENOENT", "a token of nothing")
    mine = rings.make(other, one.where(), 16 * KIB)
    reversed_token = int.from_bytes(int(mine.token, 16).to_bytes(8, "big"), "little")
    expect_equal(end.error("connect", f"{reversed_token:x}"), "EINVAL", "a token the wrong way round")
    end.ask("connect", mine.token)
    # A member that points at memory which another one writes to.
    layout = shm.Layout(SIZE, SLOTS)
    producer, index = third.where()[0], int(end.token, 16) & 0xffff
    shm.run(third.guest, f"""
import struct
pair = {layout.pair(producer, own)}
head = struct.unpack_from("I", m, pair)[0]
struct.pack_into("I", m, pair + 64 + head % {shm.RING} * 4, {index})
struct.pack_into("I", m, pair, head + 1)
""")
    distrusted(one, other, third)
    of_third.client.ask(f"connect {of_third.number} {rings.make(one, third.where(), 16 * KIB).token}")
    of_third.ask("signal")
    time.sleep(0.2)
    expect_equal(end.signals(), 0, "signals of somebody who is not its writer")
    for client in (one, other, third):
        for number in range(int(client.ask("all").split()[0])):
            client.run(f"end {number}")
    for client in (one, other, third):
        wait_nothing(client)


@case("fabric", "ring-client", agent=False, guests=3, slots=SLOTS, size=f"{SIZE >> 20}M", timeout=120)
def ring_client(lab):
    """Rings carry every byte and every signal, both ways; who is not their peer has no part in them."""
    one, other, third = rings.start(lab)
    data_and_signals(one, other)
    refused(one, other, third)


def busy_pairs(one: rings.Client, other: rings.Client, count: int) -> list[tuple[rings.End, rings.End]]:
    pairs = [rings.pair(one, other) for _ in range(count)]
    for end in (end for each in pairs for end in each):
        end.ask("busy")
    for end in pairs[0]:
        wait_until(end.signals, lambda signals: signals > 100, 10, "signals of a busy pair")
    return pairs


def unloaded(lab, one: rings.Client, other: rings.Client) -> None:
    """The driver goes under rings in use: it asks each user once, waits, and nobody touches the memory after."""
    pairs = busy_pairs(one, other, 4)
    began = time.monotonic()
    one.guest.check("rmmod ivpci")
    lab.progress(f"unloaded in {time.monotonic() - began:.2f} s")
    expect(time.monotonic() - began < 10 * SLOW, "unloading took long")
    for here, there in pairs:
        expect_equal(here.ended(), (rings.UNBIND, True), "the end here")
        there.wait_ended(rings.PEER_LEFT)
    wait_nothing(other)
    expect_error("ENXIO", one, f"make 0 2 1 {16 * KIB}")
    one.guest.check("modprobe ivpci")
    native.wait_members(one.guest, 1)


def waited_for(one: rings.Client, other: rings.Client) -> None:
    """A user that is asked and does not end at once keeps the memory, and the driver."""
    here, there = rings.pair(one, other)
    here.ask("keep")
    # its own program: one for a command that takes long
    going = one.guest.spawn(["rmmod", "ivpci"])
    wait_until(here.ended, lambda ended: ended == (rings.UNBIND, False), 10, "asked for the end")
    time.sleep(3)  # longer than the driver waits for anything else
    expect_equal(going.poll(), None, "exit code of rmmod while rings are used")
    here.ask("put", f"0 {64 * KIB} 77")
    expect_equal(here.ask("peek", "0"), "0", "memory of our own after the driver has asked for its end")
    here.ask("end")
    expect_equal(going.wait(10), 0, "exit code of rmmod")
    expect_equal(here.ended(), (rings.UNBIND, True), "the end")
    there.wait_ended(rings.PEER_LEFT)
    one.guest.check("modprobe ivpci")
    native.wait_members(one.guest, 1)


def released_last(one: rings.Client, other: rings.Client) -> None:
    """A user that ends its rings while it is told of a signal is released when that is over: its module says
    in the log if it was before.
    """
    for _ in range(4):
        here, there = rings.pair(one, other)
        here.ask("slow", "300")
        there.ask("signal")
        wait_until(here.ended, lambda ended: ended == (0, True), 5, "released")
        there.ask("end")


def unbound(one: rings.Client, other: rings.Client) -> None:
    """The device is taken away in an orderly way."""
    pairs = busy_pairs(one, other, 2)
    one.guest.check("""device=$(basename $(readlink -f /sys/class/misc/ivpci0/device))
        echo $device >/sys/bus/pci/drivers/ivpci/unbind && echo $device >/sys/bus/pci/drivers/ivpci/bind""")
    for here, there in pairs:
        expect_equal(here.ended(), (rings.UNBIND, True), "the end here")
        there.wait_ended(rings.PEER_LEFT)
    native.wait_members(one.guest, 1)


def restarted(one: rings.Client, other: rings.Client) -> tuple[rings.Client, rings.End]:
    """The peer dies under rings in use; who comes after it, in its slot or, if the broker has not heard of the end
    yet, in another, gets nothing of them. With an end that its user keeps.
    """
    former = other.where()
    pairs = busy_pairs(one, other, 2)
    kept = rings.make(one, former, 16 * KIB)
    kept.ask("keep")
    other.guest.kill()
    for here, _ in pairs:
        here.wait_ended(rings.PEER_LEFT)
    wait_until(kept.ended, lambda ended: ended == (rings.PEER_LEFT, False), 10, "told, and not released")
    wait_until(lambda: one.stat("rings"), lambda count: count == 1, 10, "rings that are left")
    other.guest.start()
    other.guest.wait_boot()
    other = rings.Client(other.guest)
    native.wait_members(one.guest, 1)
    expect(other.where() != former, f"the guest that came again is the former one: {former}")
    expect_error("ENETUNREACH", one, f"make 0 {former[0]} {former[1]} {16 * KIB}")
    rings.pair(one, other)[0].ask("end")
    return other, kept


def stood_still(one: rings.Client, other: rings.Client, kept: rings.End) -> None:
    """The peer stands still for longer than silent_s: here it is silent, there it hears that we parted. Who
    has been told of another end is not told again, or its module says so in the log.
    """
    here, there = rings.pair(one, other)
    there.ask("keep")
    expect(int(here.ask("quiet")) <= 2000, "the peer's heart beats")
    one.guest.check("echo 3 >/sys/module/ivpci/parameters/silent_s")
    other.guest.freeze()
    wait_until(lambda: int(here.ask("quiet")), lambda quiet: quiet >= 1000, 10, "the peer's heart stands still")
    here.wait_ended(rings.PEER_SILENT, 15)
    slot, generation = one.guest.get("/sys/class/misc/ivpci0/members").decode().split()[:2]
    expect_error("ENETUNREACH", one, f"make 0 {slot} {generation} {16 * KIB}")
    other.guest.thaw()
    wait_until(there.ended, lambda ended: ended == (rings.PEER_PARTED, False), 15, "told that we parted")
    there.ask("end")
    expect_equal(kept.ended(), (rings.PEER_LEFT, False), "the end that is kept")
    kept.ask("end")
    for client in (one, other):
        wait_nothing(client)


@case("fabric", "rings-go", append=driver.UNAIDED, agent=False, cpus=2, slots=SLOTS, size=f"{SIZE >> 20}M", timeout=180)
def rings_go(lab):
    """Rings in use end in order: the driver is unloaded, the device unbound, the peer killed, restarted, frozen."""
    one, other = rings.start(lab)
    unloaded(lab, one, other)
    waited_for(one, other)
    released_last(one, other)
    unbound(one, other)
    other, kept = restarted(one, other)
    stood_still(one, other, kept)


# What the driver finds there for SMC.
SMC = {"guest": "dibs", "stock": "smcd", "6.12": "none", "trixie": "none"}


def carried(lab) -> None:
    """Two guests are members, carry bytes and signals both ways, and either's driver can go under it."""
    clients = rings.start(lab)
    for client in clients:
        kernel = lab.plan.kernel(client.guest.number)
        expect_equal(client.guest.get(f"{native.DEVICE}/smc").decode().strip(), SMC[kernel],
                     f"SMC's interface that the driver found on {kernel}")
    data_and_signals(*clients)
    for one, other in (clients, clients[::-1]):
        unloaded(lab, one, other)


@case("fabric", "rings-6.12", agent=False, slots=SLOTS, size=f"{SIZE >> 20}M", timeout=150,
      kernels=["6.12", "guest"])
def rings_612(lab):
    """Debian's own 6.12, where SMC takes no device of ours: a member as any other, with rings."""
    carried(lab)


@case("fabric", "rings-trixie", agent=False, slots=SLOTS, size=f"{SIZE >> 20}M", timeout=150, long_only=True,
      kernels=["trixie", "stock"])
def rings_trixie(lab):
    """The newest of Debian 13's backports, without SMC, and Debian 12's own 6.1: rings between them."""
    carried(lab)
