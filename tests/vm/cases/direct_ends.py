# SPDX-License-Identifier: Apache-2.0
"""How moved connections end when nothing is in order: packets of the end are lost, the peer's machine stands still,
is killed or begins anew. Each is compared with a connection over plain TCP beside it.
"""

import time

from harness import driver, many, paths, stress
from harness.case import case, expect, expect_equal, wait_until
from harness.movers import Movers, offload, prepare
from harness.twins import MOVED, Twins, expect_no_rings, expect_nothing_left, sockets

SOON = 0.5  # seconds in which a byte of this lab comes, if it does


def close_with_unread(twins: Twins):
    """Whoever closes with unread bytes resets: in the ring there are some, in TCP none."""
    def steps(name: str):
        twins.one.do(f"send({name!r}, 10)")
        time.sleep(SOON)
        twins.other.do(f"close({name!r})")
        seen = [twins.one.do(f"receive({name!r}, 1, 3)")[:2], twins.one.do(f"send({name!r}, 1)")]
        twins.close(name)
        return seen
    return steps


def reset_over_unread(twins: Twins):
    """What had come before the reset is read, or not, as TCP has it."""
    def steps(name: str):
        twins.one.do(f"send({name!r}, 1000)")
        time.sleep(SOON)
        twins.one.do(f"reset({name!r})")
        time.sleep(SOON)
        seen = [twins.other.do(f"receive({name!r}, 2000, 3)")[:2] for _ in range(2)]
        twins.close(name)
        return seen
    return steps


def lost_fin(twins: Twins):
    """The end comes with the second or third FIN, and after all bytes."""
    def steps(name: str):
        twins.one.do(f"deaf({name!r})")
        twins.other.do(f"send({name!r}, 1000)")
        twins.other.do(f"close({name!r})")
        early, said, _ = twins.one.do(f"receive({name!r}, 2000, 0.7)")
        twins.one.do(f"deaf({name!r}, False)")
        late, finally_said, _ = twins.one.do(f"receive({name!r}, 2000, 10)")
        twins.close(name)
        return [said, early + late, finally_said]
    return steps


def lost_fin_answered(twins: Twins):
    """Who has not heard of the end sends, which resets; that is lost, too; and sends once more."""
    def steps(name: str):
        twins.one.do(f"deaf({name!r})")
        twins.other.do(f"close({name!r})")
        time.sleep(SOON)
        seen = [twins.one.do(f"send({name!r}, 100)")]
        time.sleep(SOON)
        twins.one.do(f"deaf({name!r}, False)")
        seen += [twins.one.do(f"receive({name!r}, 1, 5)")[:2], twins.one.do(f"send({name!r}, 100)")]
        twins.close(name)
        return seen
    return steps


def lost_reset(twins: Twins, unread: int):
    """Nobody says anything until the next bytes, which are answered with another reset. `unread`: by close()."""
    def steps(name: str):
        if unread:
            twins.one.do(f"send({name!r}, {unread})")
            time.sleep(SOON)
        twins.one.do(f"deaf({name!r})")
        twins.other.do(f"{'close' if unread else 'reset'}({name!r})")
        seen = [twins.one.do(f"receive({name!r}, 1, {SOON})")[:2]]
        twins.one.do(f"deaf({name!r}, False)")
        seen += [twins.one.do(f"receive({name!r}, 1, {SOON})")[:2], twins.one.do(f"send({name!r}, 100)"),
                 twins.one.do(f"receive({name!r}, 1, 5)")[:2], twins.one.do(f"send({name!r}, 100)")]
        twins.close(name)
        return seen
    return steps


def kept(twins: Twins) -> None:
    """What is unread when rings are given back, or when the driver goes, is read, and in its order."""
    for how in ("detach", "unload"):
        name = twins.connect("moved")
        twins.wait_moved(1)
        for end in (twins.one, twins.other):
            expect_equal(end.do(f"send({name!r}, 5000)"), "ok", "send")
            expect_equal(end.do(f"by_tcp({name!r}, 3000)"), "ok", "send by TCP")
            expect_equal(end.do(f"send({name!r}, 5000)"), "ok", "send")
        guest = twins.one.guest
        if how == "detach":
            offload(guest, "detach", MOVED)
        else:
            offload(guest, "unload", "ivpci")
        for end in (twins.one, twins.other):
            expect_equal(end.do(f"receive({name!r}, 13000, 5)")[:2], [13000, "ok"], f"{how}: what was unread")
        if how == "unload":
            prepare(twins.lab)
        for end in (twins.one, twins.other):
            expect_equal(end.do(f"send({name!r}, 1000)"), "ok", "send")
        for end in (twins.one, twins.other):
            expect_equal(end.do(f"receive({name!r}, 1000, 5)")[:2], [1000, "ok"], f"{how}: what came later")
        twins.close(name)


def kept_and_tcp(twins: Twins) -> None:
    """One recv() has what was kept of a ring and what came by TCP behind it, also if the socket is TCP's own again
    in between: who is told of an edge takes less than it asked for to be all there was.
    """
    name = twins.connect("moved")
    twins.wait_moved(1)
    twins.other.do(f"send({name!r}, 300)")
    twins.other.do(f"by_tcp({name!r}, 700)")
    wait_until(lambda: twins.one.do(f"unread({name!r})"), lambda count: count == 1000, 5, "bytes to be read")
    offload(twins.one.guest, "detach", MOVED)
    expect_equal(twins.one.do(f"take({name!r}, 4096)"), 1000, "one recv() of 300 bytes that were kept and 700 of TCP")
    twins.close(name)


def urgent_behind_unread(twins: Twins) -> None:
    """Two urgent bytes behind a record that nobody has looked at: TCP passes over the first one by itself."""
    name = twins.connect("moved")
    twins.wait_moved(1)
    twins.other.do(f"send({name!r}, 1)")
    for _ in range(2):
        expect_equal(twins.other.do(f"ends[{name!r}].send(b'!', socket.MSG_OOB)"), 1, "an urgent byte")
        time.sleep(SOON)
    expect_equal(twins.one.do(f"receive({name!r}, 1, 3)")[:2], [1, "ok"], "a byte before two urgent ones")
    expect_equal(twins.one.do(f"ends[{name!r}].recv(1, socket.MSG_OOB).decode()"), "!", "the urgent byte")
    twins.close(name)


def urgent_ends_a_wait(twins: Twins):
    """What a recv() that waits for more has when an urgent byte comes, what the next one has, which begins there and
    goes over it, peeks that wait before it and at it, and a recv() that takes all that is behind.
    """
    def steps(name: str):
        one, other = twins.one, twins.other
        seen = []

        def asks(size: int, *sends: str, flags: str = "0") -> None:
            before = len(one.log(name))
            one.do(f"beside(whole, {name!r}, {size}, {flags})")
            for each in sends:
                time.sleep(SOON)
                expect(other.do(each) in ("ok", 1), each)
            log = wait_until(lambda: one.log(name), lambda log: len(log) > before, 5, f"{name}: a recv() ends")
            seen.append(log[-1][1])

        urgent = f"ends[{name!r}].send(b'!', socket.MSG_OOB)"
        asks(10, f"send({name!r}, 3)", urgent)
        asks(5, f"send({name!r}, 2)", f"send({name!r}, 3)")
        asks(5, f"send({name!r}, 2)", f"send({name!r}, 3)")
        for each in [f"send({name!r}, 1)"] * 300 + [urgent]:
            other.do(each)
        time.sleep(SOON)
        asks(400)
        asks(1, f"send({name!r}, 1)")
        asks(10, f"send({name!r}, 3)", urgent, flags="socket.MSG_PEEK")
        expect_equal(one.do(f"len(ends[{name!r}].recv(10))"), 3, "what the peek had seen")
        asks(2, f"send({name!r}, 1)", f"send({name!r}, 1)", flags="socket.MSG_PEEK")
        for _ in range(5):
            expect_equal(other.do(f"send({name!r}, 1)"), "ok", "send")
        time.sleep(SOON)
        seen.append(one.do(f"len(ends[{name!r}].recv(10))"))
        twins.close(name)
        return seen
    return steps


def peeks_over_urgent(twins: Twins):
    """Where peeks go on from one to the next: one that waits for more ends at an urgent byte, one that begins there
    waits for what comes behind it.
    """
    def steps(name: str):
        one, other = twins.one, twins.other
        peek = f"take({name!r}, 1, socket.MSG_PEEK)"

        def waits(size: int, send: str, what: str) -> int:
            before = len(one.log(name))
            one.do(f"beside(whole, {name!r}, {size}, socket.MSG_PEEK)")
            time.sleep(SOON)
            expect(other.do(send) in ("ok", 1), send)
            log = wait_until(lambda: one.log(name), lambda log: len(log) > before, 5, f"{name}: a peek {what} ends")
            return log[-1][1]

        one.do(f"option({name!r}, SOL, 42, 0)")  # SO_PEEK_OFF
        expect_equal(other.do(f"send({name!r}, 4)"), "ok", "send")
        seen = [one.do(peek)]
        seen.append(waits(8, f"ends[{name!r}].send(b'!', socket.MSG_OOB)", "before an urgent byte"))
        seen.append(waits(1, f"send({name!r}, 2)", "behind an urgent byte"))
        # what it shows next counts the urgent byte: it is one that was seen before
        seen += one.do(f"list(ends[{name!r}].recv(1, socket.MSG_PEEK))")
        twins.close(name)
        return seen
    return steps


def peeks_behind_tcp(twins: Twins):
    """A peek that begins at an urgent byte, behind bytes of TCP's that SO_PEEK_OFF passes over: it shows the record there."""
    def steps(name: str):
        one, other = twins.one, twins.other
        one.do(f"option({name!r}, SOL, 42, 0)")  # SO_PEEK_OFF
        expect_equal(other.do(f"by_tcp({name!r}, 2)"), "ok", "send by TCP")
        time.sleep(SOON)
        seen = one.do(f"list(ends[{name!r}].recv(2, socket.MSG_PEEK))")
        expect_equal(other.do(f"ends[{name!r}].send(b'!', socket.MSG_OOB)"), 1, "an urgent byte")
        expect_equal(other.do(f"send({name!r}, 1)"), "ok", "send")
        time.sleep(SOON)
        one.do(f"beside(whole, {name!r}, 1, socket.MSG_PEEK)")
        log = wait_until(lambda: one.log(name), bool, 5, f"{name}: a peek at an urgent byte behind TCP's bytes ends")
        twins.close(name)
        return [*seen, len(log)]
    return steps


def over_urgent(twins: Twins):
    """What is there before an urgent byte, what recv() and peeks have behind it, and what stays of one that was gone over:
    nothing that splice(), SIOCATMARK or close() would meet.
    """
    def steps(name: str):
        one, other = twins.one, twins.other
        end = f"ends[{name!r}]"

        def comes(*sends: str) -> None:
            for each in sends:
                expect(other.do(each) in ("ok", 1), each)
            time.sleep(SOON)

        def received(size: int, flags: str = "0") -> int:
            return one.do(f"len({end}.recvmsg({size}, 0, {flags} | socket.MSG_DONTWAIT)[0])")

        def spliced() -> int:
            return one.do(f"(lambda pipe: os.splice({end}.fileno(), pipe[1], 100))(os.pipe())")

        urgent, ring, tcp = f"{end}.send(b'!', socket.MSG_OOB)", f"send({name!r}, 5)", f"by_tcp({name!r}, 3)"
        comes(tcp, ring, urgent, ring)
        seen = [one.do(f"unread({name!r})"), received(0, "socket.MSG_PEEK"), received(20), spliced(), received(20)]
        seen.append(one.do(f"struct.unpack('i', fcntl.ioctl({end}, 0x8905, bytes(4)))[0]"))  # SIOCATMARK
        comes(urgent, tcp, ring)
        seen += [received(8, "socket.MSG_PEEK"), received(20)]
        comes(urgent, ring)
        seen.append(received(20))
        comes(tcp)
        seen.append(spliced())
        other.do(f"later({name!r}, 5, {0.7 * paths.SLOW})")
        seen += one.do(f"alarmed({name!r}, 20)")
        comes(urgent, ring)
        seen.append(received(20))
        one.do(f"close({name!r})")
        seen.append(other.do(f"receive({name!r}, 1, 3)")[1])
        twins.close(name)
        return seen
    return steps


def urgent_beside_a_signal(twins: Twins):
    """A recv() of io_uring at an urgent byte, with a record behind that, while a second signal is pending: it comes to an
    end, and has all with the next bytes.
    """
    def steps(name: str):
        one, other = twins.one, twins.other
        pid = one.do("os.getpid()")
        one.do(f"shoots({name!r})")
        one.guest.check(f"kill -STOP {pid}")
        expect_equal(other.do(f"ends[{name!r}].send(b'!', socket.MSG_OOB)"), 1, "an urgent byte")
        expect_equal(other.do(f"send({name!r}, 5)"), "ok", "send")
        time.sleep(SOON)
        one.guest.check(f"kill -USR1 {pid}; kill -CONT {pid}")
        expect_equal(other.do(f"send({name!r}, 3)"), "ok", "send")
        came = wait_until(lambda: one.do(f"shots[{name!r}].came()"), lambda count: count >= 8, 5, "bytes by io_uring")
        one.do(f"os.close(shots.pop({name!r}).fd)")
        twins.close(name)
        return came
    return steps


def lossy(lab, seconds: int) -> None:
    """One packet in thirty is lost: every byte is right, and nothing stays of connections that are over."""
    server, client = lab.guests
    for guest in lab.guests:
        guest.check("tc qdisc add dev eth0 root netem loss 3%")
    listener, lists = stress.serve(server), many.serve(server)
    moving = Movers(lab, "random", 3, 16, "9100-9699")
    running = stress.start(client, server, 6, seconds, 30000)
    short = many.each(client, server, 5 * seconds, 4096)
    report = stress.finish(running, seconds + 90, listener)
    expect_equal(short.wait(90), 0, f"exit code of many ({short.err})")
    counts = moving.finish()
    for guest in lab.guests:
        guest.check("tc qdisc del dev eth0 root")
    lab.progress(f"with loss: {report['bytes'] >> 10} KiB right")
    for guest, count in zip(lab.guests, counts):
        expect(count["made"] > 2 and count["ring_sent"] > 1 << 14, f"{guest.name}: hardly moved any")
        expect_equal(count["lies"], 0, f"{guest.name}: lies")
    for process in (listener, lists):
        process.kill()


@case("direct", "direct-loss", append=driver.UNAIDED, agent=False, timeout=150, long_timeout=900)
def direct_loss(lab):
    """FIN and RST are lost, connections are closed and reset over unread bytes, rings go over unread bytes, packets
    are lost at random: as plain TCP, and no socket stays.
    """
    prepare(lab)
    twins = Twins(lab)
    moving = Movers(lab, "stay", 5, 16, MOVED)
    expect_equal(twins.compare("closed over unread bytes", close_with_unread(twins))[0], [0, "ECONNRESET"],
                 "the other end reads")
    twins.compare("reset over unread bytes", reset_over_unread(twins))
    expect_equal(twins.compare("FIN lost", lost_fin(twins)), ["silence", 1000, "end"], "a FIN that is lost")
    twins.compare("FIN lost, and its answer", lost_fin_answered(twins))
    for unread in (0, 10):
        seen = twins.compare(f"RST lost, {unread} bytes unread", lost_reset(twins, unread))
        expect_equal(seen[3][1], "ECONNRESET", "after the next bytes")
    kept(twins)
    kept_and_tcp(twins)
    urgent_behind_unread(twins)
    expect_equal(twins.compare("urgent bytes and MSG_WAITALL", urgent_ends_a_wait(twins)), [3, 5, 5, 300, 1, 3, 2, 7],
                 "urgent bytes and MSG_WAITALL")
    expect_equal(twins.compare("urgent bytes and SO_PEEK_OFF", peeks_over_urgent(twins)), [1, 3, 1, 4],
                 "urgent bytes and SO_PEEK_OFF")
    expect_equal(twins.compare("urgent bytes behind TCP's and SO_PEEK_OFF", peeks_behind_tcp(twins)), [0, 1, 1],
                 "urgent bytes behind TCP's and SO_PEEK_OFF")
    expect_equal(twins.compare("behind urgent bytes", over_urgent(twins)), [8, 0, 8, 0, 5, 0, 8, 8, 5, 3, 5, "!", 5, "end"],
                 "behind urgent bytes")
    expect_equal(twins.compare("urgent bytes, signals and io_uring", urgent_beside_a_signal(twins)), 8,
                 "urgent bytes, signals and io_uring")
    moving.finish()
    expect_nothing_left(lab, lab.guests)
    lossy(lab, 300 if lab.long else 4)
    expect_nothing_left(lab, lab.guests)


# What each connection's program in guest1 does, by its options. A reader is asleep in recv().
KEEPALIVE = [("SOL", "socket.SO_KEEPALIVE", 1), ("TCP", "socket.TCP_KEEPIDLE", 1), ("TCP", "socket.TCP_KEEPINTVL", 1)]
PROGRAMS = {
    "reader": [],
    "writer": [],
    "keepalive": [*KEEPALIVE, ("TCP", "socket.TCP_KEEPCNT", 3)],
    "patient": [*KEEPALIVE, ("TCP", "socket.TCP_KEEPCNT", 100)],
    "in time": [("TCP", "socket.TCP_USER_TIMEOUT", 3000)],
}
WRITERS = ("writer", "in time")


# Seconds: TCP counts from when the peer's heart was seen to stand still
LATE = 3.5


class Peer:
    """Connections of both kinds at work, and something happens to guest2."""

    def __init__(self, lab, *programs: str) -> None:
        prepare(lab)
        self.lab, self.twins, self.programs = lab, Twins(lab), programs
        self.names = {(kind, program): self.twins.connect(kind, program)
                      for kind in Twins.KINDS for program in programs}
        self.moving = Movers(lab, "stay", 5, 16, MOVED)
        one, other = self.twins.one, self.twins.other
        for (_, program), name in self.names.items():
            for level, number, value in PROGRAMS[program]:
                one.do(f"option({name!r}, {level}, {number}, {value})")
        self.twins.wait_moved(len(programs))
        for (_, program), name in self.names.items():
            other.do(f"beside(reads, {name!r})")
            if program in WRITERS:
                one.do(f"beside(writes, {name!r}, 100, 0.3)")
            else:
                one.do(f"beside(reads, {name!r})")
                expect_equal(other.do(f"send({name!r}, 100)"), "ok", "send")
        time.sleep(1)
        for (_, program), name in self.names.items():
            expect_equal([what for _, what in one.log(name)], [] if program in WRITERS else [100],
                         f"{name} before anything happens")
        one.do("mark()")

    def ends(self) -> dict[str, dict[str, tuple[float, str]]]:
        """Program -> kind -> when its connection ended, and how; of those that did."""
        found: dict = {program: {} for program in self.programs}
        for (kind, program), name in self.names.items():
            found[program] |= {kind: (when, what) for when, what in self.twins.one.log(name) if what != 100}
        return found

    def expect_ends(self, wanted: dict[str, str], late: dict[str, float]) -> None:
        """Programs that see an end, and which; the others see none. Of the moved connection not a second sooner than
        of the plain one, nor later, or as `late` says.
        """
        ends = wait_until(self.ends, lambda ends: all(len(ends[program]) == 2 for program in wanted), 60,
                          f"ends of {', '.join(wanted)}")
        self.lab.progress(f"ends: {ends}")
        for program, both in ends.items():
            expect_equal({kind: what for kind, (_, what) in both.items()},
                         dict.fromkeys(Twins.KINDS, wanted[program]) if program in wanted else {},
                         f"what {program} saw")
            if both:
                later = both["moved"][0] - both["plain"][0]
                expect(-max(1.2, late.get(program, 0)) <= later <= late.get(program, 1.2),
                       f"{program}: the moved connection ended {later:.1f} s later than the plain one")

    def over(self) -> None:
        """guest2 lives: nothing is left at either end."""
        self.twins.kill()
        self.moving.finish()
        expect_nothing_left(self.lab, self.lab.guests)


def frozen(lab, seconds: int) -> None:
    """guest2 stands still, and goes on."""
    peer = Peer(lab, "reader", "writer", "keepalive", "in time")
    one, other = peer.twins.one, peer.twins.other
    lab.guests[1].freeze()
    time.sleep(seconds)
    # who has a timer, should one not end
    lab.progress(lab.guests[0].check("ss -Htno '( sport = :9810 or sport = :9910 )'"))
    peer.expect_ends({"keepalive": "ETIMEDOUT", "in time": "ETIMEDOUT"}, {"in time": LATE})
    lab.guests[1].thaw()
    for kind in Twins.KINDS:
        name = peer.names[kind, "writer"]
        sent = one.do(f"sent[{name!r}]")
        expect(sent >= 100 * seconds, f"{name}: hardly wrote any: {sent}")
        wait_until(lambda name=name: other.do(f"got[{name!r}]"), lambda got, sent=sent: got > sent,
                   20 + seconds, f"{name}: bytes that have come, of {sent} and more")
        expect(all(isinstance(what, int) and what > 0 for _, what in other.log(name)),
               f"{name}: {other.log(name)}")
        expect_equal(one.log(name), [], f"{name}: how it ended")
    peer.over()


def began_anew(lab) -> None:
    """guest2's reset button: its TCP knows nothing of these connections, and says so when it is asked."""
    peer = Peer(lab, "reader", "writer", "patient")
    client = lab.guests[1]
    client.reset()
    client.wait_boot()
    # a writer's TCP asks at intervals that grow: both kinds are somewhere in one of them
    peer.expect_ends({"writer": "ECONNRESET", "patient": "ECONNRESET"}, {"writer": 10})
    prepare(lab)
    peer.twins.one.process.kill()
    peer.moving.serving.kill()
    expect_nothing_left(lab, lab.guests[:1], 30)


def killed(lab) -> None:
    """guest2 is gone for good."""
    peer = Peer(lab, "reader", "writer", "keepalive", "in time")
    server, client = lab.guests
    client.kill()
    began = time.monotonic()
    counts = wait_until(lambda: offload(server, "counters"), lambda now: now["made"] == now["returned"], 5,
                        "rings that were given back")
    lab.progress(f"{counts['made']} pairs of rings, all given back {time.monotonic() - began:.1f} s after the end")
    time.sleep(6)
    peer.expect_ends({"keepalive": "ETIMEDOUT", "in time": "ETIMEDOUT"}, {"in time": LATE})
    peer.twins.one.process.kill()
    peer.moving.serving.kill()
    expect_no_rings(server)
    # of the two that have heard of nothing TCP waits for an answer to its FIN, for minutes
    states = {kind: sorted(line.split()[0] for line in sockets(server, kind)) for kind in Twins.KINDS}
    expect_equal(states["moved"], states["plain"], "sockets that are left, moved and plain")


@case("direct", "direct-peer", agent=False, long_only=True, timeout=200, long_timeout=600)
def direct_peer(lab):
    """The peer's machine stands still for ten seconds (a minute), begins anew, is killed, under moved connections: their
    programs hear what those of plain TCP hear, and nothing stays.
    """
    frozen(lab, 60 if lab.long else 10)
    began_anew(lab)
    killed(lab)
