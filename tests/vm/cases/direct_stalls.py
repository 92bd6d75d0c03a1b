# SPDX-License-Identifier: Apache-2.0
"""Moved connections stand still for no longer than TCP does, whatever their programs wait for."""

import time

from harness import driver
from harness.case import SLOW, case, expect, expect_equal, wait_until
from harness.movers import Movers, offload, prepare
from harness.twins import MOVED, Twins, expect_nothing_left

AT_ONCE = 1.0  # seconds, on a busy machine


def asleep_before(twins: Twins, name: str) -> None:
    """A thread that has been asleep in TCP's recv() since before the attach: it hears of the first bytes, by TCP, and
    its end joins with them.
    """
    one, other = twins.one, twins.other
    time.sleep(1)
    now = offload(one.guest, "look", MOVED)["now"]
    expect_equal((now["clean_sending"], now["clean_receiving"], now["moved"]), (1, 0, 0), "one that sleeps in TCP")
    expect_equal(other.do(f"send({name!r}, 100)"), "ok", "send")
    wait_until(lambda: one.log(name), lambda log: [what for _, what in log] == [100], AT_ONCE, "the first bytes")
    twins.wait_moved(1)
    for count in range(2, 20):
        expect_equal(other.do(f"send({name!r}, 100)"), "ok", "send")
        wait_until(lambda: one.do(f"got[{name!r}]"), lambda got, count=count: got == 100 * count, AT_ONCE,
                   "bytes of a moved connection")
    expect(offload(one.guest, "counters")["strangers"] == 0, "somebody in TCP who had not come through us")
    other.do(f"close({name!r})")
    wait_until(lambda: one.log(name)[-1][1], lambda what: what == "end", AT_ONCE, "the end")
    one.do(f"close({name!r})")


def asked_all_the_time(twins: Twins) -> None:
    """A thread asks for TCP_INFO in a loop, since before the attach."""
    one, other = twins.one, twins.other
    name = twins.connect("moved")
    child = one.do(f"asks({name!r})")
    twins.wait_moved(1)
    for end, peer in ((one, other), (other, one)):
        expect_equal(end.do(f"send({name!r}, 100000)"), "ok", "send")
        came, said, took = peer.do(f"receive({name!r}, 100000, 5)")
        expect_equal((came, said), (100000, "ok"), "beside a thread that asks")
        expect(took < 2 * AT_ONCE * SLOW, f"beside a thread that asks 100 kB took {took:.1f} s")
    one.do(f"os.kill({child}, 9) or os.waitpid({child}, 0)")
    twins.close(name)


def both_write_first(twins: Twins) -> None:
    """Both ends write, before either reads, as much as TCP takes."""
    ends = twins.one, twins.other
    took = {}
    for kind in Twins.KINDS:
        name = twins.connect(kind)
        if kind == "moved":
            twins.wait_moved(1)
        tokens = [end.tell(f"fill({name!r})") for end in ends]
        took[kind] = [end.answer(token, "fill", 30) for end, token in zip(ends, tokens)]
        for end, size in zip(ends, reversed(took[kind])):
            expect_equal(end.do(f"receive({name!r}, {size}, 10)")[:2], [size, "ok"], f"{kind}: all of it is read")
        twins.close(name)
    twins.lab.progress(f"taken while nobody reads: {took}")
    for plain, moved in zip(took["plain"], took["moved"]):
        expect(moved >= 0.8 * plain, f"a moved connection takes {moved} bytes, TCP {plain}")
    # the same with threads that sleep
    name, size = twins.connect("moved"), int(0.7 * min(took["plain"]))
    twins.wait_moved(1)
    for end in ends:
        end.do(f"beside(pushes, {name!r}, {size})")
    for end in ends:
        wait_until(lambda end=end: end.log(name), lambda log: bool(log), 5 * AT_ONCE, f"{size} bytes are taken")
        expect_equal(end.log(name)[0][1], "ok", "a blocking send")
    for end in ends:
        expect_equal(end.do(f"receive({name!r}, {size}, 10)")[:2], [size, "ok"], "all of it is read")
    twins.close(name)


def more_and_silence(twins: Twins) -> None:
    """MSG_MORE and nothing behind it; by TCP, which keeps it back for a fifth of a second, and then a record."""
    one, other = twins.one, twins.other
    took = {}
    for kind in Twins.KINDS:
        name = twins.connect(kind)
        if kind == "moved":
            twins.wait_moved(1)
        took[kind] = []
        for send in ("send", "by_tcp"):
            expect_equal(one.do(f"{send}({name!r}, 100, socket.MSG_MORE)"), "ok", "send")
            took[kind].append(other.do(f"receive({name!r}, 100, 5)"))
        for _ in range(10):
            one.do(f"by_tcp({name!r}, 100, socket.MSG_MORE) == send({name!r}, 100) == 'ok'")
            took[kind].append(other.do(f"receive({name!r}, 200, 5)"))
        twins.close(name)
    twins.lab.progress("MSG_MORE: " + ", ".join(
        f"{kind}: {[round(each[2], 3) for each in all_]}" for kind, all_ in took.items()))
    for plain, moved in zip(took["plain"], took["moved"]):
        expect_equal(moved[:2], plain[:2], "MSG_MORE, and silence")
        expect(moved[2] < plain[2] + 0.3 * SLOW, f"kept back for {moved[2]:.2f} s, by TCP {plain[2]:.2f}")
    plain, moved = (sum(each[2] for each in took[kind][2:]) for kind in Twins.KINDS)
    expect(moved < plain + SLOW, f"ten times, with bytes behind it, kept back for {moved:.2f} s, by TCP {plain:.2f}")


def steady_reader(twins: Twins) -> None:
    """A ring that is full, and read all the time, though slowly, stays the way: TCP's answer to a slow reader is to
    wait for it, too. One that was kept from its CPU did not read all the time: hence more than one try.
    """
    size = 600_000
    shares = []
    while len(shares) < 4 and max(shares, default=0) <= 0.6:
        shares.append(by_ring(twins, size) / size)
    expect(max(shares) > 0.6, f"of {size} bytes hardly any went by the ring: {shares}")


def by_ring(twins: Twins, size: int) -> int:
    """Bytes of `size` that a slow reader has of the ring."""
    one, other = twins.one, twins.other
    name = twins.connect("moved")
    twins.wait_moved(1)
    before = offload(one.guest, "counters")
    one.do(f"beside(pushes, {name!r}, {size})")
    came, said, took = other.do(f"receive({name!r}, {size}, 30, 2048, 0.003)", 60)
    expect_equal((came, said), (size, "ok"), "what a slow reader gets")
    twins.close(name)
    counts = wait_until(lambda: offload(one.guest, "counters"),
                        lambda now: now["returned"] > before["returned"], 10, "rings that are given back")
    ring, tcp = (counts[way] - before[way] for way in ("ring_sent", "tcp_sent"))
    twins.lab.progress(f"a slow reader: {ring} bytes by the ring, {tcp} by TCP, in {took:.1f} s")
    expect_equal(ring + tcp, size, "bytes that were counted")
    return ring


def in_one_piece(twins: Twins):
    """What two threads send at once, each by one send(), is not mixed as long as there is room: several records, one
    piece.
    """
    size, rounds = 7000, 500

    def steps(name: str):
        sending = twins.one.tell(f"crowd({name!r}, {size}, {rounds})")
        torn = twins.other.do(f"torn({name!r}, {size}, {rounds})", 60)
        twins.one.answer(sending, "crowd", 30)
        twins.close(name)
        return torn
    return steps


def edges(twins: Twins):
    """What an edge-triggered epoll tells of bytes that come while others are unread, and of reading them in parts."""
    def steps(name: str):
        one, other = twins.one, twins.other
        one.do(f"watch({name!r})")
        seen = [one.do(f"edge({name!r}, 1)")]
        for _ in range(3):
            other.do(f"send({name!r}, 100)")
            seen.append(one.do(f"edge({name!r}, 1)"))
        for size in (100, 50, 150):
            one.do(f"take({name!r}, {size})")
            seen.append(one.do(f"edge({name!r}, 0.1)"))
        other.do(f"send({name!r}, 100)")
        seen.append(one.do(f"edge({name!r}, 1)"))
        one.do(f"take({name!r}, 1000)")
        twins.close(name)
        return seen
    return steps


def signalled(twins: Twins):
    """SIGIO that is switched on when all has been read: nobody asks for it again."""
    def steps(name: str):
        one, other = twins.one, twins.other
        other.do(f"send({name!r}, 100)")
        seen = [one.do(f"receive({name!r}, 100, 5)")[:2]]
        one.do(f"signals({name!r})")
        if name.startswith("moved"):
            wait_until(twins.moved, lambda now: now == [0, 0], 10, "SIGIO: rings that are given back")
        one.do("hears(0)")
        for _ in range(3):
            other.do(f"send({name!r}, 100)")
            seen.append(one.do("hears(5)"))
            one.do(f"take({name!r}, 1000)")
        twins.close(name)
        return seen
    return steps


def hears_of(twins: Twins, name: str, size: int, who: str) -> list:
    """A program waits for more bytes than are unread, and another thread sets SO_RCVLOWAT to `size`: does it wait until
    then, and hear of them.
    """
    one = twins.one
    one.do(f"beside(waits, {name!r})")
    time.sleep(0.2)
    waited = one.do(f"logs[{name!r}] == []")
    one.do(f"lowat({name!r}, {size})")
    wait_until(lambda: one.log(name), lambda log: bool(log), 5, who)
    return [waited, one.log(name)[0][1]]


def low_water(twins: Twins):
    """SO_RCVLOWAT set while bytes are unread, of a ring where it is moved: they count, and no byte counts twice."""
    def steps(name: str):
        one, other = twins.one, twins.other

        def comes(size: int) -> bool:
            other.do(f"send({name!r}, {size})")
            # by TCP, where the ring goes
            wait_until(lambda: one.do(f"fcntl.ioctl(ends[{name!r}], 0x541B, bytes(4))[0]"),
                       lambda now, size=size: now >= min(size + unread[-1], 255), 5, "bytes that come")
            unread.append(unread[-1] + size)
            return one.do(f"readable({name!r})")

        def goes(size: int) -> list:
            unread.append(unread[-1] - one.do(f"take({name!r}, {size})"))
            return [unread[-1], one.do(f"readable({name!r})")]

        def wanted() -> int:
            return one.do(f"ends[{name!r}].getsockopt(SOL, socket.SO_RCVLOWAT)")

        def asks_for(size: int) -> bool:
            one.do(f"lowat({name!r}, {size})")
            return one.do(f"readable({name!r})")

        unread = [0]
        seen = [comes(60), asks_for(100), *hears_of(twins, name, 50, "who waits for fewer than there are"), asks_for(50)]
        seen += [asks_for(100), comes(30), comes(20), goes(30), goes(20), comes(60)]
        # of the first sixty the last ten are unread
        seen += [asks_for(200), asks_for(50), goes(60), goes(1000), wanted()]
        twins.close(name)
        return seen
    return steps


def no_low_water(twins: Twins):
    """SO_RCVLOWAT of 100 beside fewer unread bytes of a ring, and then of 1: who waits hears of them."""
    def steps(name: str):
        one, other = twins.one, twins.other
        other.do(f"send({name!r}, 60)")
        time.sleep(0.5)
        one.do(f"lowat({name!r}, 100)")
        seen = [*hears_of(twins, name, 1, "who waits for any"), one.do(f"take({name!r}, 100)")]
        twins.close(name)
        return seen
    return steps


@case("direct", "direct-stalls", append=driver.UNAIDED, agent=False, timeout=120, long_timeout=300)
def direct_stalls(lab):
    """A thread asleep in TCP's recv() before the attach, one that asks for TCP_INFO in a loop, two ends that both write
    first, MSG_MORE and silence, a slow reader: nobody waits for longer than with TCP.
    """
    prepare(lab)
    twins = Twins(lab)
    name = twins.connect("moved")
    twins.one.do(f"beside(reads, {name!r})")
    time.sleep(0.3)
    moving = Movers(lab, "stay", 5, 16, MOVED)
    asleep_before(twins, name)
    asked_all_the_time(twins)
    expect_equal(twins.compare("edges", edges(twins))[-2:], [[], [5]], "edges: nothing new, and new bytes")
    expect_equal(twins.compare("SIGIO", signalled(twins))[1:], [True] * 3, "SIGIO for each")
    twins.compare("SO_RCVLOWAT", low_water(twins))
    twins.compare("SO_RCVLOWAT, 100 and 1", no_low_water(twins))
    expect_equal(twins.compare("two who send at once", in_one_piece(twins)), 0, "torn sends")
    steady_reader(twins)
    both_write_first(twins)
    more_and_silence(twins)
    moving.finish()
    expect_nothing_left(lab, lab.guests)
