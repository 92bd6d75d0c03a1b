# SPDX-License-Identifier: Apache-2.0
"""One guest: its QEMU process, its console, its exec channel."""

import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import net, paths, qemu, qmp
from .channel import Channel, GuestDied, Process

BOOT_SECONDS = {"kvm": 60, "tcg": 360 if paths.CHECKED else 120}


class BootError(Exception):
    """The guest did not come up."""


@dataclass
class Output:
    """What a program did. `code` is a shell's exit code."""

    code: int
    out: str
    err: str


class CommandFailed(Exception):
    pass


def as_argv(command: str | list[str]) -> list[str]:
    """A string is a shell's business, a list is a program with its arguments."""
    return ["bash", "-c", command] if isinstance(command, str) else command


class Guest:
    def __init__(self, machine: qemu.Machine, directory: Path, environment: dict[str, str]):
        self.machine = machine
        self.name = machine.name
        self.number = machine.number
        self.ip4 = net.guest4(machine.number)
        self.ip6 = net.guest6(machine.number)
        self.console_path = directory / f"{self.name}.console"
        self.commands = open(directory / f"{machine.name}.commands", "a", buffering=1, encoding="utf-8")
        self.environment = environment
        self.trust = ""  # what agent.yaml has to end with: trust.py
        self.channel: Channel | None = None
        self.process: subprocess.Popen | None = None
        self.expect_death = False
        self.panic_expected = False
        self._boots = 0
        self.made = time.monotonic()

    # Life

    def start(self) -> None:
        """Starts QEMU; `wait_boot` tells when the guest answers."""
        self.expect_death = False
        argv = qemu.command(self.machine)
        log = open(self.console_path.with_suffix(".qemu"), "ab")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self._boots = 0
        self._connect()

    def instructions(self) -> int:
        """That its CPU executed since QEMU began (Plan.count_instructions)."""
        return int.from_bytes(Path(f"{self.name}.instructions").read_bytes()[:8], "little")

    def _connect(self) -> None:
        path = f"{self.name}.exec"
        deadline = time.monotonic() + 15
        while True:
            if self.process.poll() is not None:
                text = self.console_path.with_suffix(".qemu").read_text(errors="replace")
                raise BootError(f"{self.name}: QEMU ended: {text.strip()[-500:]}")
            try:
                self.channel = Channel(self.name, path)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise BootError(f"{self.name}: QEMU does not open {path}") from None
                time.sleep(0.02)

    def wait_boot(self, timeout: float | None = None) -> None:
        """Until the guest's exec server says hello, once more than it did before."""
        self._boots += 1
        limit = timeout or BOOT_SECONDS[self.machine.accel]
        deadline = time.monotonic() + limit
        while not self.channel.wait_hello(self._boots, 0.5):
            if self.process.poll() is not None:
                raise BootError(f"{self.name}: QEMU ended during boot\n{self.console_tail()}")
            if "Kernel panic" in self.console_tail():
                raise BootError(f"{self.name}: panic during boot\n{self.console_tail()}")
            if time.monotonic() > deadline:
                raise BootError(f"{self.name}: no boot in {limit} s\n{self.console_tail()}")

    def restarted_unasked(self) -> bool:
        return self.channel is not None and self.channel.hellos > max(self._boots, 1)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def reset(self) -> None:
        """The machine's reset button: QEMU and its devices stay. Follow with wait_boot()."""
        self.qmp("system_reset")

    def kill(self) -> None:
        """SIGKILL to QEMU. start() brings the guest back with fresh memory."""
        self.expect_death = True
        if self.process is not None:
            # A stopped process dies of SIGKILL too.
            self.process.kill()
            self.process.wait()
        if self.channel is not None:
            self.channel.close()
        # What a dead QEMU leaves would be taken for the new one's.
        for suffix in ("exec", "qmp"):
            Path(f"{self.name}.{suffix}").unlink(missing_ok=True)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def qmp(self, command: str, **arguments):
        return qmp.execute(f"{self.name}.qmp", command, **arguments)

    # Programs

    def spawn(self, command: str | list[str], **options) -> Process:
        """Starts a program; options: cwd, env, stdin=True, pty=[rows, cols]."""
        what = command if isinstance(command, str) else shlex.join(command)
        options["env"] = {**self.environment, **options.get("env", {})}
        return self.channel.spawn(as_argv(command), what, **options)

    def run(self, command: str | list[str], timeout: float = 60, data: bytes = b"",
            **options) -> Output:
        """Runs a program to its end, with `data` on its standard input."""
        began = time.monotonic()
        process = self.spawn(command, stdin=bool(data), **options)
        if data:
            for start in range(0, len(data), 1 << 18):
                process.write(data[start:start + (1 << 18)])
            process.write(b"")
        code = process.wait(timeout)
        self.note(began, code, process.what)
        return Output(code, process.out.decode(errors="replace"),
                      process.err.decode(errors="replace"))

    def note(self, began: float, code: int, what: str) -> None:
        """For who wants to know where a case's time went: when, how long, exit code, what."""
        took = time.monotonic() - began
        self.commands.write(f"{began - self.made:7.1f} {took:6.2f} {code:3} {' '.join(what.split())[:160]}\n")

    def check(self, command: str | list[str], timeout: float = 60, **options) -> str:
        """Like run(), and the program has to succeed. Its standard output."""
        output = self.run(command, timeout, **options)
        if output.code:
            what = command if isinstance(command, str) else shlex.join(command)
            text = (output.out + output.err)[-2000:].strip()
            raise CommandFailed(f"{self.name}: exit {output.code}: {what}\n{text}")
        return output.out

    def put(self, path: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        quoted = shlex.quote(path)
        self.check(f"mkdir -p $(dirname {quoted}) && cat >{quoted}", data=data or b"\n")

    def configure_agent(self, text: str) -> None:
        """agent.yaml, as this guest's kernel wants it."""
        self.put("/etc/smc-steer/agent.yaml", text + self.trust)

    def get(self, path: str) -> bytes:
        process = self.spawn(["cat", path])
        if process.wait(60):
            raise CommandFailed(f"{self.name}: cat {path}: {process.err.decode()}")
        return process.out

    # Console

    def console(self) -> str:
        try:
            return self.console_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def console_tail(self, lines: int = 25) -> str:
        return "\n".join(self.console().splitlines()[-lines:])


__all__ = ["Guest", "GuestDied", "BootError", "CommandFailed", "Output"]
