# SPDX-License-Identifier: Apache-2.0
"""The host's end of a guest's exec channel: programs run in the guest, results come back.

One JSON object per line, both ways, on a virtio-serial port; programs/guest is the other end.
  to the guest     {"id", "op": "spawn", "argv", "cwd"?, "env"?, "pty"?: [rows, cols], "stdin"?}
                   {"id", "op": "stdin", "data"} (empty data: end of file)
                   {"id", "op": "signal", "number"}   {"id", "op": "resize", "pty"}
  from the guest   {"hello", "kernel"}   at every start of the guest's system
                   {"id", "out"} {"id", "err"} {"id", "exit"} {"id", "error"}
Data is base64. Exit codes are a shell's: 128 + n for signal n.
"""

import base64
import json
import queue
import socket
import threading
import time

from . import paths


class GuestDied(Exception):
    """The guest went away or restarted under a program that ran in it."""


class GuestTimeout(Exception):
    """A program did not end in time; it was killed."""


class Process:
    """A program in a guest. Frames arrive in order; `wait` collects them."""

    def __init__(self, channel: "Channel", number: int, what: str):
        self.channel = channel
        self.number = number
        self.what = what
        self.frames: queue.Queue = queue.Queue()
        self.out = b""
        self.err = b""
        self.code: int | None = None

    def _take(self, frame: dict) -> None:
        if "out" in frame:
            self.out += base64.b64decode(frame["out"])
        elif "err" in frame:
            self.err += base64.b64decode(frame["err"])
        elif "exit" in frame:
            self.code = frame["exit"]
        elif "error" in frame:
            self.err += frame["error"].encode() + b"\n"
            self.code = 127
        elif "died" in frame:
            # Stays dead for everyone who asks later.
            self.frames.put(frame)
            raise GuestDied(f"{self.channel.name}: {frame['died']} during: {self.what}")

    def poll(self) -> int | None:
        """Takes what has arrived; the exit code, or None while the program runs."""
        while self.code is None:
            try:
                self._take(self.frames.get_nowait())
            except queue.Empty:
                break
        return self.code

    def wait(self, timeout: float) -> int:
        """The exit code. After `timeout` seconds (times SLOW) the program is killed: GuestTimeout."""
        timeout *= paths.SLOW
        deadline = time.monotonic() + timeout
        while self.code is None:
            try:
                self._take(self.frames.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                self.kill()
                tail = (self.out + self.err)[-2000:].decode(errors="replace")
                text = f"{self.channel.name}: no end after {timeout:g} s: {self.what}\n{tail}"
                raise GuestTimeout(text) from None
        return self.code

    def wait_output(self, text: str, timeout: float) -> None:
        """Returns once `text` was seen in its output (either stream)."""
        deadline = time.monotonic() + timeout * paths.SLOW
        while text.encode() not in self.out + self.err:
            left = deadline - time.monotonic()
            if self.code is not None or left <= 0:
                tail = (self.out + self.err)[-2000:].decode(errors="replace")
                raise GuestTimeout(f"{self.channel.name}: no {text!r} from {self.what}\n{tail}")
            try:
                self._take(self.frames.get(timeout=left))
            except queue.Empty:
                pass

    def write(self, data: bytes) -> None:
        """To its standard input; b"" closes it. The program was spawned with stdin=True."""
        encoded = base64.b64encode(data).decode()
        self.channel.send({"id": self.number, "op": "stdin", "data": encoded})

    def signal(self, number: int) -> None:
        """To the program and its children that stayed in its process group."""
        self.channel.send({"id": self.number, "op": "signal", "number": number})

    def kill(self) -> None:
        self.signal(9)


class Channel:
    def __init__(self, name: str, path: str):
        self.name = name
        self.hello: dict | None = None
        self.hellos = 0
        self._ready = threading.Condition()
        self._lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._next = 1
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        threading.Thread(target=self._read, name=f"{name}-channel", daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._socket.close()

    def send(self, frame: dict) -> None:
        data = json.dumps(frame).encode() + b"\n"
        with self._lock:
            try:
                self._socket.sendall(data)
            except OSError as error:
                raise GuestDied(f"{self.name}: exec channel: {error}") from None

    def spawn(self, argv: list[str], what: str = "", **options) -> Process:
        with self._ready:
            number = self._next
            self._next += 1
            process = Process(self, number, what or " ".join(argv))
            self._processes[number] = process
        self.send({"id": number, "op": "spawn", "argv": argv, **options})
        return process

    def wait_hello(self, count: int, timeout: float) -> bool:
        """Whether the guest's system has started `count` times since QEMU did."""
        with self._ready:
            return self._ready.wait_for(lambda: self.hellos >= count, timeout)

    def _died(self, why: str) -> None:
        with self._ready:
            running, self._processes = self._processes, {}
        for process in running.values():
            process.frames.put({"died": why})

    def _frame(self, line: bytes) -> None:
        try:
            frame = json.loads(line)
        except ValueError:
            return  # what a guest was writing when it was reset
        if "hello" in frame:
            self._died("the guest restarted")
            with self._ready:
                self.hello = frame
                self.hellos += 1
                self._ready.notify_all()
            return
        with self._ready:
            process = self._processes.get(frame.get("id"))
            if process and ("exit" in frame or "error" in frame):
                del self._processes[process.number]
        if process:
            process.frames.put(frame)

    def _read(self) -> None:
        pending = b""
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                self._died("the guest is gone")
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                if line:
                    self._frame(line)
