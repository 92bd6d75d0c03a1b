# SPDX-License-Identifier: Apache-2.0
"""./dev vm: guests for people. Starts the supervisor and talks to it."""

import argparse
import base64
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import threading
import tty
from dataclasses import asdict

from . import arguments, namespaces, paths, supervisor
from .lab import Plan

EPILOG = """examples:
  ./dev vm up --guests 2             two guests, broker and agents running
  ./dev vm up --no-agent             guests with the device, agents not started
  ./dev vm up --no-device            plain guests: no broker, no ivshmem device
  ./dev vm up --kernel 6.1           all of them run Debian 12's own kernel; builds none
  ./dev vm up --kernel guest --kernel stock    guest2 runs Debian 12's own kernel
  ./dev vm exec guest1 -- ip address
  ./dev vm shell guest2
  ./dev vm console guest1            the guest's console so far
  ./dev vm down

A guest sees this machine's root file system, read-only below, with everything writable in
a memory of its own: any program installed here runs there. guestN has the addresses
10.77.0.(10+N) and fd77::(10+N in hex); the lab itself is 10.77.0.1 and fd77::1. A second
set of guests beside the first: SMC_STEER_LAB_DIR=DIRECTORY ./dev vm ..."""


ALL_STOCK = "6.1"


class Down(Exception):
    """No guests are up."""


def connect() -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.connect(supervisor.address())
    except OSError:
        raise Down("no guests are up: start them with ./dev vm up") from None
    return client


def ask(request: dict) -> dict:
    with connect() as client:
        stream = client.makefile("rw")
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        line = stream.readline()
    answer = json.loads(line) if line else {"error": "the supervisor went away"}
    if "error" in answer:
        sys.exit(f"./dev vm: {answer['error']}")
    return answer


def kernels(wanted: list[str], guests: int) -> list[str]:
    """Of a plan: "6.1" is Debian 12's own in all guests."""
    return ["stock"] * guests if wanted == [ALL_STOCK] else wanted


def up(options) -> int:
    if ALL_STOCK in options.kernel and len(options.kernel) > 1:
        print(f"./dev vm up: --kernel {ALL_STOCK} is for all guests: name one guest's kernel stock",
              file=sys.stderr)
        return 2
    namespaces.require_root()
    if supervisor.is_up():
        sys.exit("./dev vm: guests are up already: ./dev vm down first")
    regions = 0 if options.no_device else options.regions
    plan = asdict(Plan(guests=options.guests, regions=regions, size=options.size, repo_cache="none",
                       slots=options.slots, memory_mb=options.memory, cpus=options.cpus,
                       kernels=kernels(options.kernel, options.guests)))
    with_agent = not (options.no_agent or options.no_device)
    answer = supervisor.launch({"plan": plan, "agent": with_agent, "keep": True, "job": None})
    if answer is None:
        return 1
    print("ready: ./dev vm shell guest1, ./dev vm exec guest1 -- COMMAND...")
    return 0


def status(_options) -> int:
    answer = ask({"cmd": "status"})
    print(f"kernel {answer['kernel']}, {answer['accel'].upper()}")
    for guest in answer["guests"]:
        state = "up" if guest["alive"] else "gone"
        print(f"{guest['name']}  {state}  {guest['ip4']}  {guest['ip6']}")
    return 0


def down(_options) -> int:
    try:
        with connect() as client:
            client.sendall(b'{"cmd": "down"}\n')
            while client.recv(4096):
                pass
    except Down as error:
        print(error)
    return 0


def console(options) -> int:
    print(ask({"cmd": "console", "guest": options.guest})["text"], end="")
    return 0


def terminal_size() -> list[int]:
    packed = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
    rows, columns = struct.unpack("HHHH", packed)[:2]
    return [rows or 24, columns or 80]


def relay(client: socket.socket, with_input: bool) -> int:
    """Copies between the terminal and a program in a guest; its exit code."""
    stop_read, stop_write = os.pipe()

    def send(frame: dict) -> None:
        client.sendall(json.dumps(frame).encode() + b"\n")

    def copy_input() -> None:
        while stop_read not in select.select([0, stop_read], [], [])[0]:
            data = os.read(0, 1 << 15)
            send({"op": "stdin", "data": base64.b64encode(data).decode()})
            if not data:
                return

    if with_input:
        threading.Thread(target=copy_input, daemon=True).start()
        if os.isatty(0):
            signal.signal(signal.SIGWINCH,
                          lambda *_: send({"op": "resize", "pty": terminal_size()}))
    for line in client.makefile("r"):
        frame = json.loads(line)
        if "out" in frame:
            sys.stdout.buffer.write(base64.b64decode(frame["out"]))
            sys.stdout.buffer.flush()
        elif "err" in frame:
            sys.stderr.buffer.write(base64.b64decode(frame["err"]))
            sys.stderr.buffer.flush()
        elif "exit" in frame:
            os.write(stop_write, b"x")
            return frame["exit"]
        else:
            print(f"./dev vm: {frame.get('error') or frame.get('died')}", file=sys.stderr)
            return 125
    print("./dev vm: the guests went down", file=sys.stderr)
    return 125


def execute(options) -> int:
    """Exit code and output of COMMAND."""
    argv = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not argv:
        sys.exit("./dev vm exec: what to run is missing: ./dev vm exec GUEST -- COMMAND...")
    with connect() as client:
        request = {"cmd": "exec", "guest": options.guest, "argv": argv, "stdin": options.input}
        client.sendall(json.dumps(request).encode() + b"\n")
        return relay(client, options.input)


def shell(options) -> int:
    if not os.isatty(0):
        sys.exit("./dev vm shell: standard input is not a terminal: use ./dev vm exec")
    before = termios.tcgetattr(0)
    with connect() as client:
        request = {"cmd": "exec", "guest": options.guest, "argv": ["bash", "-il"],
                   "pty": terminal_size(), "env": {"TERM": os.environ.get("TERM", "vt100")}}
        client.sendall(json.dumps(request).encode() + b"\n")
        try:
            tty.setraw(0)
            return relay(client, True)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def main() -> int:
    parser = arguments.Parser(prog="./dev vm", description="Guests to look around in.",
                              epilog=EPILOG)
    commands = parser.add_subparsers(dest="cmd", required=True, metavar="COMMAND",
                                     parser_class=arguments.Parser)
    make = commands.add_parser("up", help="boot guests", epilog=EPILOG)
    make.add_argument("--guests", type=arguments.number(1, 16), default=2, metavar="N")
    make.add_argument("--no-agent", action="store_true", help="do not start smc-agent")
    make.add_argument("--no-device", action="store_true", help="no broker, no ivshmem device")
    make.add_argument("--kernel", action="append", default=[], choices=[*paths.KERNELS, ALL_STOCK],
                      help="of guest1; once more for guest2, and so on (default guest); 6.1: "
                      "Debian 12's own in all of them")
    make.add_argument("--regions", type=arguments.number(1, 2), default=1, metavar="N",
                      help="ivshmem devices per guest, each with a broker of its own")
    make.add_argument("--size", default="256M", help="of a region (default 256M)")
    make.add_argument("--slots", type=arguments.number(1, 63), default=16, metavar="N",
                      help="guests a region can have (default 16)")
    make.add_argument("--cpus", type=arguments.number(1, 16), default=2, metavar="N",
                      help="of each guest (default 2)")
    make.add_argument("--memory", type=arguments.number(256, 65536), default=640, metavar="MB")
    make.set_defaults(run=up)
    run = commands.add_parser("exec", help="run a command in a guest", epilog=EPILOG)
    run.add_argument("-i", "--input", action="store_true", help="pass standard input on")
    run.add_argument("guest", metavar="GUEST")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND...")
    run.set_defaults(run=execute)
    for name, function, text in (("shell", shell, "an interactive shell in a guest"),
                                 ("console", console, "print a guest's console")):
        command = commands.add_parser(name, help=text, epilog=EPILOG)
        command.add_argument("guest", metavar="GUEST")
        command.set_defaults(run=function)
    for name, function, text in (("status", status, "what is up"),
                                 ("down", down, "end the guests")):
        commands.add_parser(name, help=text, epilog=EPILOG).set_defaults(run=function)
    options = parser.parse_args()
    arguments.end_if_only_asked()
    try:
        return options.run(options)
    except Down as error:
        sys.exit(f"./dev vm: {error}")
    except paths.MissingError as error:
        sys.exit(f"./dev vm: {error}")
    except BrokenPipeError:
        return 1
