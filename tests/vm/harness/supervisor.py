# SPDX-License-Identifier: Apache-2.0
"""The background process behind `./dev vm`: holds a lab and answers on a UNIX socket.

A request is one JSON object in one line; answers are JSON lines:
  {"cmd": "status"}   {"accel", "kernel", "guests": [{"name", "ip4", "ip6", "alive"}...]}
  {"cmd": "down"}     {"ok": true}, then everything ends
  {"cmd": "exec", "guest", "argv", "cwd", "env", "pty", "stdin"}
                      frames of harness/channel.py, both ways, without "id"
Errors are {"error": text}.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import nullcontext

from . import namespaces, native, paths
from .lab import Lab, Plan

SOCKET = "vm.sock"
LOG = "vm.log"  # what QEMU, brokers and the supervisor say of guests that stay up


def address() -> str:
    """Path of the control socket that fits sun_path wherever its directory is."""
    paths.LAB.mkdir(parents=True, exist_ok=True)
    fd = os.open(paths.LAB, os.O_PATH | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{SOCKET}"


class Connection:
    """One client of the control socket, served by a thread of its own."""

    def __init__(self, lab: Lab, client: socket.socket):
        self.lab = lab
        self.stream = client.makefile("r")
        self.client = client

    def answer(self, frame: dict) -> None:
        self.client.sendall(json.dumps(frame).encode() + b"\n")

    def serve(self) -> None:
        try:
            request = json.loads(self.stream.readline())
            getattr(self, "cmd_" + request["cmd"])(request)
        except (OSError, BrokenPipeError):
            pass
        except KeyError as error:
            self.answer({"error": str(error.args[0])})
        except Exception as error:  # the client sees it, the lab lives on
            self.answer({"error": f"{type(error).__name__}: {error}"})
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        try:
            self.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.client.close()

    def cmd_status(self, _request: dict) -> None:
        guests = [{"name": guest.name, "ip4": guest.ip4, "ip6": guest.ip6,
                   "alive": guest.alive()} for guest in self.lab.guests]
        kernel = self.lab.guests[0].channel.hello["kernel"]
        self.answer({"accel": self.lab.accel, "kernel": kernel, "guests": guests})

    def cmd_down(self, _request: dict) -> None:
        self.answer({"ok": True})
        os.kill(os.getpid(), signal.SIGTERM)

    def cmd_console(self, request: dict) -> None:
        self.answer({"text": self.lab.guest(request["guest"]).console()})

    def cmd_exec(self, request: dict) -> None:
        guest = self.lab.guest(request["guest"])
        options = {key: request[key] for key in ("cwd", "env", "pty", "stdin") if key in request}
        process = guest.spawn(request["argv"], **options)
        threading.Thread(target=self.forward_input, args=(process,), daemon=True).start()
        while True:
            frame = process.frames.get()
            frame.pop("id", None)
            self.answer(frame)
            if frame.keys() & {"exit", "error", "died"}:
                return

    def forward_input(self, process) -> None:
        """What the client sends while its program runs; a client that leaves ends it."""
        try:
            for line in self.stream:
                process.channel.send({**json.loads(line), "id": process.number})
        except (OSError, ValueError):
            pass
        try:
            process.signal(signal.SIGHUP)
        except Exception:
            pass


def serve(lab: Lab, server: socket.socket) -> None:
    while True:
        client, _ = server.accept()
        connection = Connection(lab, client)
        threading.Thread(target=connection.serve, daemon=True).start()


def watch_starter() -> None:
    """Whoever started the lab holds a pipe to it: without the word to stay, the lab ends
    with its starter, also when that is killed.
    """
    if sys.stdin.readline() != "stay\n":
        os._exit(1)


def main() -> int:
    """Argument: {"plan": fields of Plan, "agent": bool, "keep": bool, "job": {"word", "kind",
    "pairs", "seconds"} or null}. On its standard output: lines of progress, at last one JSON object,
    {"report"?}, or {"error"}.
    """
    options = json.loads(sys.argv[1])
    path = address()

    def say(text: str) -> None:
        print(text, flush=True)

    def leave(_signal, _frame) -> None:
        # Process 1 of its namespace: all others go with it.
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch_starter, daemon=True).start()
    answer = {}
    try:
        lab = Lab(Plan(**options["plan"]), say).start()
        if options["agent"]:
            lab.start_agents()
            if len(lab.able()) == len(lab.guests):
                say("smc-agent is active in all of them")
            else:
                say("smc-agent is active where the kernel can do it: "
                    + (", ".join(agent.guest.name for agent in lab.able()) or "nowhere"))
            for guest in lab.stock():
                ueid = native.load(guest)
                say(f"{guest.name}: ivpci is loaded, nothing steers: programs ask for AF_SMC "
                    f"themselves (user EID {ueid})")
        if options["job"]:
            from . import demo
            answer["report"] = demo.run(lab, say=say, **options["job"])
        if options["keep"]:
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if os.path.exists(path):
                os.unlink(path)
            server.bind(path)
            server.listen()
    except Exception as error:
        if os.environ.get("SMC_STEER_TRACE"):
            traceback.print_exc(file=sys.stdout)
        say(json.dumps({"error": str(error)}))
        os._exit(1)
    say(json.dumps(answer))
    if not options["keep"]:
        os._exit(0)
    # The terminal it was started from may go away now.
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)
    serve(lab, server)
    return 0


# The starter's side

def is_up() -> bool:
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(address())
    except OSError:
        return False
    return True


def launch(options: dict) -> dict | None:
    """Starts a supervisor and shows its progress; its answer, or None if it has none (what
    went wrong was printed, nothing is left behind). Ctrl-C ends all of it.
    """
    interrupted = False
    argv = namespaces.command(namespaces.python("supervisor", json.dumps(options)),
                              die_with_parent=False)
    # Guests that stay up must not hold the terminal or the pipe they were started from.
    with open(paths.LAB / LOG, "w") if options["keep"] else nullcontext() as log:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=log, start_new_session=True, text=True)
    try:
        for line in process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    print(f"./dev: {answer['error']}", file=sys.stderr)
                    break
                if options["keep"]:
                    process.stdin.write("stay\n")
                    process.stdin.flush()
                else:
                    process.wait()
                return answer
            print("   " + line, end="", flush=True)
    except KeyboardInterrupt:
        interrupted = True
    process.kill()
    process.wait()
    if interrupted:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    return None
