# SPDX-License-Identifier: Apache-2.0
"""A member writes into the header of another's buffer what its peer never said."""

import errno
from dataclasses import dataclass
from typing import Callable

from harness import driver, native, smcd, stress, traffic
from harness.case import case, expect, expect_equal, wait_until
from harness.liar import Cursor, Ends, Liar, looks

BOUNDED = "/sys/module/smc/parameters/bounded"
HEADER = 32  # bytes of a DMB that are no data
FIRST_PORT = 9600
URGENT = 0x20  # urg_data_present
EVERYTHING = 4 << 20  # more than any buffer holds
ENDED = (errno.ECONNRESET, errno.EPIPE)


@dataclass
class State:
    """Of a connection, before the lie."""

    size: int  # bytes of data the victim's buffer holds
    heard: Cursor  # what the victim has received
    given: Cursor  # what the header says it has got rid of
    sent: Cursor  # what it has sent


@dataclass
class Lie:
    name: str
    sends: bool  # the victim does, else it reads
    asleep: bool  # it is in that call when it is lied to
    cursors: Callable[[State], tuple[Cursor, Cursor]]  # producer, consumer
    flags: int = 0


def ahead(state: State, by: int) -> Cursor:
    wrap, count = state.sent
    return wrap, count + by


LIES = [
    Lie("urgent byte 1.75 GiB away", False, True, lambda s: ((0, 0x70000000), s.given), URGENT),
    Lie("producer behind the end", False, False, lambda s: ((0, s.size + 4000), s.given)),
    Lie("producer one byte too far", False, True, lambda s: ((1, s.heard[1] + 1), s.given)),
    Lie("producer 256 MiB too far", False, False, lambda s: ((1, 0x10000000), s.given)),
    Lie("producer that goes back", False, False, lambda s: ((0xffff, 1000), s.given)),
    Lie("consumer ahead of what was sent", True, False, lambda s: (s.heard, ahead(s, 1000))),
    Lie("consumer one byte ahead", True, True, lambda s: (s.heard, ahead(s, 1))),
    Lie("consumer 256 MiB ahead", True, False, lambda s: (s.heard, (1, 0x10000000))),
    Lie("consumer that goes back", True, False, lambda s: (s.heard, (0xffff, s.given[1] + 500))),
]


def connect(victim: Ends, peer: Ends, address: str, port: int, heard: int, sent: int) -> None:
    """Connection "c", idle, with so many bytes received and sent by the victim."""
    victim.ask("listen", "l", port)
    peer.ask("connect", "c", address, port)
    victim.ask("accept", "c", "l")
    peer.ask("send", "c", heard)
    expect_equal(victim.ask("read", "c", heard), heard, "bytes read before the lie")
    victim.ask("send", "c", sent)
    expect_equal(peer.ask("read", "c", sent), sent, "bytes read by the peer before the lie")


def tell(lie: Lie, number: int, guest, victim: Ends, peer: Ends, liar: Liar) -> None:
    """One connection, lied about while it is idle or its program asleep: that program gets an
    error and no byte, and the peer's sees the end.
    """
    heard, sent = 8000 + number, 5000
    connect(victim, peer, guest.ip4, FIRST_PORT + number, heard, sent)
    found = [each for each in liar.buffers() if each["prod"][:2] == [0, heard]]
    expect_equal(len(found), 1, f"{lie.name}: buffers of the connection")
    size = found[0]["len"] - HEADER
    call = ("send" if lie.sends else "take", "c", EVERYTHING)
    if lie.sends and lie.asleep:
        sent += victim.ask("fill", "c")
    state = State(size, (0, heard), tuple(found[0]["cons"][:2]), divmod(sent, size))
    before = looks(guest)
    if lie.asleep:
        victim.say(*call)
    liar.lie(found[0]["index"], *lie.cursors(state), lie.flags)
    if not lie.asleep:
        wait_until(lambda: looks(guest), lambda now: now > before, 10,
                   "looks at all buffers of the peer")
        victim.say(*call)
    got = victim.answer()
    expect_equal(got["bytes"], 0, f"bytes that went, {lie.name}")
    expect(got["errno"] in ENDED, f"{lie.name}: errno {got['errno']}")
    victim.ask("close", "c")
    if not (lie.sends and lie.asleep):  # what it was sent it may read
        peer.say("take", "c", EVERYTHING)
        expect_equal(peer.answer()["bytes"], 0, f"{lie.name}: bytes the peer reads at the end")
    peer.ask("close", "c")


def liar_in(lab) -> Liar:
    """In the peer's guest; in the long form in a third one, which has to do with neither."""
    server, client, third = lab.guests
    if not lab.long:
        return Liar(client, server, client)
    lab.boot([third])
    third.check("modprobe ivpci")
    native.wait_members(third, 2)
    return Liar(third, server, client)


def others(lab):
    """A process that ends when connections do that nobody lies about."""
    server, client, _ = lab.guests
    if not lab.long:
        return traffic.hold(client, server.ip4)
    stress.serve(server)
    return stress.start(client, server, 4, 1000, 20000)


@case("fabric", "forged-cursors", guests=3, booted=2, timeout=120, long_timeout=180)
def forged_cursors(lab):
    """A member forges the cursors in the headers of another's buffers, each beyond one bound of
    what the peer could have done: that connection ends with an error, and nothing else does.
    """
    server, client, _ = lab.guests
    known = server.run(f"cat {BOUNDED}").out.strip()
    expect_equal(known, "Y", f"{BOUNDED} (deploy/kernel/patches are not in this net/smc)")
    traffic.transfer_server(server)
    bystanders = others(lab)
    victim, peer = Ends(server), Ends(client)
    liar = liar_in(lab)
    for number, lie in enumerate(LIES):
        print(lie.name, flush=True)
        tell(lie, number, server, victim, peer, liar)
    expect("impossible cursors" in server.console(), "the victim's kernel is silent")
    expect(bystanders.poll() is None, f"other connections ended: {bystanders.out!r} {bystanders.err!r}")
    bystanders.kill()
    smcd.expect_smcd(client, server, size=1 << 20)


@case("fabric", "forged-length", guests=3, booted=2, timeout=60, long_timeout=120)
def forged_length(lab):
    """A member has other members' descriptors say that buffers are half as long as their owner
    says in the handshake: those connections are TCP and carry every byte. Once nobody says so any
    more, they are SMC-D again.
    """
    server, client, _ = lab.guests
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server)
    liar = liar_in(lab)
    # SMC gives the buffers of closed connections to the next ones.
    with liar.claimed_lengths(liar.buffers(), 2):
        # First one that does not come to where the two ends would disagree: such a connection ends never.
        smcd.expect_tcp(client, server, size=1 << 10)
        smcd.expect_tcp(client, server, size=4 << 20)
    smcd.expect_smcd(client, server)
