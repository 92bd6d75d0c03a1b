# SPDX-License-Identifier: Apache-2.0
"""Connections in pairs: one is moved onto rings, the other one is plain TCP. What is done to both is the same, and
so has to be what their programs see (docs/DIRECT.md).

Each guest has a program that holds its ends by name and does what a line of Python says. Byte N of a stream is
N % 251; a reader counts and looks at each.
"""

import itertools
import json
from typing import Callable

from . import driver
from .case import expect, expect_equal, wait_until
from .guest import Guest
from .movers import offload

PORTS = {"moved": 9810, "plain": 9910}
MOVED = f"{PORTS['moved']}-{PORTS['moved']}"

END = """
import ctypes, errno, fcntl, json, mmap, os, select, signal, socket, struct, sys, termios, threading, time
TCP, SOL = socket.IPPROTO_TCP, socket.SOL_SOCKET
ends, sent, got, logs, listeners, watches = {}, {}, {}, {}, {}, {}
began = 0
CYCLE = bytes(range(251)) * 1100

def bytes_at(start, size):
    return CYCLE[start % 251:start % 251 + size]

def called(error):
    return errno.errorcode.get(error.errno, str(error))

def listen(port):
    listeners[port] = socket.create_server(('0.0.0.0', port))

def keep(name, end):
    ends[name], sent[name], got[name], logs[name] = end, 0, 0, []

def connect(name, address, port):
    keep(name, socket.create_connection((address, port)))

def accept(name, port):
    keep(name, listeners[port].accept()[0])

def option(name, level, number, value):
    ends[name].setsockopt(level, number, value)

def deaf(name, on=True):
    # no packet comes with this much time to live over a wire
    option(name, socket.IPPROTO_IP, 21, 255 if on else 0)

def part(name, data, flags=0, control=()):
    done = ends[name].sendmsg([data], control, flags | socket.MSG_NOSIGNAL)
    sent[name] += done
    return done

def send(name, size, flags=0, control=()):
    goal = sent[name] + size
    try:
        while sent[name] < goal:
            part(name, bytes_at(sent[name], min(goal - sent[name], 65536)), flags, control)
    except OSError as error:
        return called(error)
    return 'ok'

def by_tcp(name, size, flags=0):
    # what has a control message does not go by a ring
    return send(name, size, flags, [(SOL, socket.SO_MARK, struct.pack('I', 1))])

def unread(name):
    # of a ring, and of TCP
    return struct.unpack('i', fcntl.ioctl(ends[name], termios.FIONREAD, bytes(4)))[0]

def take(name, most, flags=0):
    data = ends[name].recv(min(most, 65536), flags)
    if data != bytes_at(got[name], len(data)):
        return -1
    got[name] += len(data)
    return len(data)

def receive(name, size, seconds, piece=65536, pause=0):
    # how many came, and what then: ok (all), end, silence, wrong, an error; how long it took
    start, goal = time.monotonic(), got[name] + size
    before, said = got[name], 'ok'
    while got[name] < goal and said == 'ok':
        try:
            if not select.select([ends[name]], [], [], max(0, start + seconds - time.monotonic()))[0]:
                said = 'silence'
                break
            came = take(name, min(goal - got[name], piece), socket.MSG_DONTWAIT)
            said = 'end' if came == 0 else 'wrong' if came < 0 else 'ok'
            time.sleep(pause)
        except BlockingIOError:
            pass
        except OSError as error:
            said = called(error)
    return [got[name] - before, said, time.monotonic() - start]

def fill(name):
    # as many as go while nobody reads
    before, last = sent[name], time.monotonic()
    while time.monotonic() - last < 0.4:
        if select.select([], [ends[name]], [], 0.1)[1]:
            try:
                part(name, bytes_at(sent[name], 8192), socket.MSG_DONTWAIT)
                last = time.monotonic()
            except BlockingIOError:
                pass
    return sent[name] - before

def crowd(name, size, rounds):
    # two threads, each with one send() of its own letter; again when the other end has all of both
    gate = threading.Barrier(3)
    def sends(letter):
        for _ in range(rounds):
            gate.wait()
            ends[name].sendall(letter * size)
    for letter in (b'a', b'b'):
        threading.Thread(target=sends, args=(letter,), daemon=True).start()
    for _ in range(rounds):
        gate.wait()
        ends[name].recv(1)

def torn(name, size, rounds):
    # rounds in which one send() was among the other's bytes
    count = 0
    for _ in range(rounds):
        data = b''
        while len(data) < 2 * size and (more := ends[name].recv(65536)):
            data += more
        count += data not in (b'a' * size + b'b' * size, b'b' * size + b'a' * size)
        ends[name].send(b'!')
    return count

def mark():
    global began
    began = time.monotonic()

def log(name, what):
    logs[name].append([time.monotonic() - began, what])

def beside(work, name, *more):
    threading.Thread(target=work, args=(name, *more), daemon=True).start()

def reads(name):
    try:
        while came := take(name, 65536):
            log(name, came)
        log(name, 'end')
    except OSError as error:
        log(name, called(error))

def whole(name, size, flags=0):
    # one recv() that waits for all of it
    log(name, take(name, size, socket.MSG_WAITALL | flags))

def later(name, size, seconds):
    # an urgent byte, and then some
    def both():
        ends[name].send(b'!', socket.MSG_OOB)
        time.sleep(0.3)
        send(name, size)
    threading.Timer(seconds, both).start()

def alarmed(name, size):
    # one recv(), and what SIGURG's handler has of the urgent byte
    had = []
    def ask(*_):
        try:
            had.append(ends[name].recv(1, socket.MSG_OOB).decode())
        except OSError as error:
            had.append(called(error))
    signal.signal(signal.SIGURG, ask)
    fcntl.fcntl(ends[name], fcntl.F_SETOWN, os.getpid())
    count = len(ends[name].recv(size))
    signal.signal(signal.SIGURG, signal.SIG_DFL)
    return [count, *had]

class Shots:
    # io_uring's recv() that goes on until it is closed (multishot), into buffers of 64 bytes; linux/io_uring.h
    def __init__(self, end):
        self.call = ctypes.CDLL(None, use_errno=True).syscall
        params = ctypes.create_string_buffer(120)
        self.fd = self.call(425, 8, params)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), 'io_uring_setup')
        # tail, and the array or the completions
        self.sq, self.cq = struct.unpack_from('7I', params, 40)[1::5], struct.unpack_from('6I', params, 80)[1::4]
        self.ring = mmap.mmap(self.fd, self.cq[1] + 16 * 16 + 8 * 4)
        self.entries = mmap.mmap(self.fd, 64 * 8, offset=0x10000000)
        self.room = ctypes.create_string_buffer(64 * 32)
        self.submit(31, 32, len=64, address=ctypes.addressof(self.room))
        self.submit(27, end.fileno(), flags=32, ioprio=2)

    def word(self, at):
        return struct.unpack_from('I', self.ring, at)[0]

    def submit(self, code, fd, flags=0, ioprio=0, address=0, len=0):
        tail = self.word(self.sq[0])
        struct.pack_into('BBHiQQIIQ', self.entries, 64 * tail, code, flags, ioprio, fd, 0, address, len, 0, code)
        struct.pack_into('I', self.ring, self.sq[1] + 4 * tail, tail)
        struct.pack_into('I', self.ring, self.sq[0], tail + 1)
        self.call(426, self.fd, 1, 0, 0, None, 0)

    def came(self):
        done = [struct.unpack_from('Qi', self.ring, self.cq[1] + 16 * each) for each in range(self.word(self.cq[0]))]
        return sum(count for code, count in done if code == 27 and count > 0)

shots = {}

def shoots(name):
    shots[name] = Shots(ends[name])
    for number in (signal.SIGURG, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    fcntl.fcntl(ends[name], fcntl.F_SETOWN, os.getpid())

def writes(name, size, pause):
    while (said := send(name, size)) == 'ok':
        time.sleep(pause)
    log(name, said)

def pushes(name, size):
    log(name, send(name, size))

def watch(name):
    watches[name] = select.epoll()
    watches[name].register(ends[name], select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

def edge(name, seconds):
    return [kind for _, kind in watches[name].poll(seconds)]

heard = [0]
signal.signal(signal.SIGIO, lambda *_: heard.append(heard.pop() + 1))

def signals(name):
    end = ends[name].fileno()
    fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)

def hears(seconds):
    # a SIGIO, since the last time
    until = time.monotonic() + seconds
    while not heard[0] and time.monotonic() < until:
        time.sleep(0.01)
    return heard.append(0) or heard.pop(0) > 0

def readable(name, seconds=0):
    waiter = select.poll()
    waiter.register(ends[name], select.POLLIN)
    return bool(waiter.poll(seconds * 1000))

def lowat(name, size):
    option(name, SOL, socket.SO_RCVLOWAT, size)

def waits(name):
    log(name, readable(name, 20))

def asks(name):
    child = os.fork()
    while not child:
        ends[name].getsockopt(TCP, socket.TCP_INFO, 200)
    return child

def close(name):
    ends.pop(name).close()

def reset(name):
    option(name, SOL, socket.SO_LINGER, struct.pack('ii', 1, 0))
    close(name)

print('ready', flush=True)
for line in sys.stdin:
    try:
        said = eval(line)
    except OSError as error:
        said = called(error)
    print(json.dumps(said), flush=True)
"""


class End:
    """The program in one guest."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.process = guest.spawn(["python3", "-Sc", END], stdin=True)
        self.process.wait_output("ready", 30)

    def lines(self) -> list[str]:
        expect(self.process.poll() is None, f"{self.guest.name}: {self.process.err.decode()}")
        return self.process.out.decode().splitlines()

    def tell(self, what: str) -> int:
        """A token for answer()."""
        number = len(self.lines())
        self.process.write(what.encode() + b"\n")
        return number

    def answer(self, number: int, what: str, seconds: float):
        lines = wait_until(self.lines, lambda lines: len(lines) > number, seconds, f"{self.guest.name}: {what}", 0.02)
        return json.loads(lines[number])

    def do(self, what: str, seconds: float = 30):
        return self.answer(self.tell(what), what, seconds)

    def log(self, name: str) -> list:
        return self.do(f"logs[{name!r}]")


class Twins:
    """`one` is the first guest's program, which listens, `other` the second one's."""

    KINDS = ("plain", "moved")

    def __init__(self, lab) -> None:
        self.lab = lab
        self.one, self.other = map(End, lab.guests[:2])
        self.numbers = itertools.count(1)
        for port in PORTS.values():
            self.one.do(f"listen({port})")

    def connect(self, kind: str, name: str = "") -> str:
        """Its name."""
        name = f"{kind}.{name or next(self.numbers)}"
        self.other.do(f"connect({name!r}, {self.one.guest.ip4!r}, {PORTS[kind]})")
        self.one.do(f"accept({name!r}, {PORTS[kind]})")
        return name

    def moved(self) -> list[int]:
        return [offload(end.guest, "look", MOVED)["now"]["moved"] for end in (self.one, self.other)]

    def wait_moved(self, count: int, seconds: float = 10) -> None:
        wait_until(self.moved, lambda now: now == [count, count], seconds, "connections that are moved")

    def compare(self, what: str, steps: Callable[[str], object]) -> object:
        """What `steps` sees of a connection of either kind, which it closes."""
        seen = {}
        for kind in self.KINDS:
            name = self.connect(kind)
            if kind == "moved":
                self.wait_moved(1)
            seen[kind] = steps(name)
            if kind == "moved":
                wait_until(lambda: offload(self.one.guest, "look", MOVED)["now"]["moved"],
                           lambda now: now == 0, 10, f"{what}: moved ones that stay")
        self.lab.progress(f"{what}: {seen['plain']}")
        expect_equal(seen["moved"], seen["plain"], f"{what}, moved and over plain TCP")
        return seen["plain"]

    def close(self, name: str) -> None:
        for end in (self.one, self.other):
            end.do(f"{name!r} in ends and close({name!r})")

    def kill(self) -> None:
        for end in (self.one, self.other):
            end.process.kill()


def sockets(guest: Guest, *kinds: str) -> list[str]:
    """Of the pairs, but for listeners and those that only wait for their time to be over."""
    filters = " or ".join(f"sport = :{PORTS[kind]} or dport = :{PORTS[kind]}" for kind in kinds or PORTS)
    lines = guest.check(f"ss -Htan '( {filters} )'").splitlines()
    return [line for line in lines if line.split()[0] not in ("LISTEN", "TIME-WAIT")]


def expect_no_rings(guest: Guest) -> None:
    """Of the driver's."""
    stats = f"{driver.DEVICE}/stats"
    wait_until(lambda: guest.check(f"cat {stats}/rings {stats}/dmbs").split(), lambda now: now == ["0", "0"], 10,
               f"{guest.name}: the driver's rings and DMBs that stay")


def expect_nothing_left(lab, guests: list[Guest], seconds: float = 20) -> None:
    """No socket, and no rings."""
    for guest in guests:
        wait_until(lambda guest=guest: sockets(guest), lambda left: not left, seconds,
                   f"{guest.name}: sockets that stay")
        counts = wait_until(lambda guest=guest: offload(guest, "counters"),
                            lambda now: now["made"] == now["returned"], 10, f"{guest.name}: rings that stay")
        expect_no_rings(guest)
        lab.progress(f"{guest.name}: {counts['made']} pairs of rings, all given back")
