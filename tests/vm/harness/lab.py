# SPDX-License-Identifier: Apache-2.0
"""A lab: bridge, brokers, guests. Made inside namespaces of its own (namespaces.py)."""

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from . import accel, clean, modules, net, paths, qemu, trust
from .agent import Agent
from .broker import Broker
from .guest import BootError, Guest

ADDRESSES = 2  # that a guest publishes: one IPv4, one IPv6
COUNTER = paths.PROGRAMS / "instructions.so"
GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


FIRST_BOOT_SECONDS = 180 if paths.CHECKED else 60


@dataclass
class Plan:
    """What to build."""

    guests: int = 2
    # What they run, the first guest's first: names in paths.KERNELS. The rest run "guest".
    kernels: list[str] = field(default_factory=list)
    regions: int = 1  # ivshmem devices per guest, each with a broker of its own
    memory_mb: int = 640
    # Of each guest; None: one, and two in the long form and on the checked kernel. Under TCG the CPUs of guests
    # that share the host's few spin for each other: two in each cost twice the time.
    cpus: int | None = None
    size: str = "256M"
    slots: int = 16
    vectors: int = 4
    state_dir: bool = False  # brokers keep their memory in files
    systemd: bool = False  # is process 1 of the guests
    # "clean": a Debian installation of their own, see clean.py; "trixie": one of Debian 13 is there, with
    # packages made for it, for a case without guests.
    root: str = ""
    cluster: bool = False  # guests become nodes of a Kubernetes cluster (cluster.py), which wants the agent's image
    append: str = ""  # words of the guests' kernels' command line
    booted: int | None = None  # guests that start with the lab; the case starts the others
    # Of the repository's mount in the guests (9p): "none" shows programs built meanwhile, "loose"
    # reads each file once.
    repo_cache: str = "loose"
    count_instructions: bool = False  # that the guests execute; guests of one CPU, under TCG

    def kernel(self, number: int) -> str:
        """Of guest `number`, counted from 1."""
        return self.kernels[number - 1] if number <= len(self.kernels) else "guest"


def silent(_text: str) -> None:
    pass


class Lab:
    """`logs` is where consoles and logs go; by default they vanish with the lab."""

    def __init__(self, plan: Plan, progress: Callable[[str], None] = silent,
                 logs: Path | None = None, long: bool = False):
        self.plan = plan
        self.progress = progress
        self.long = long
        self.logs = logs or paths.RUN
        self._private_directory()
        self.accel = accel.choose(paths.kernel_dir(plan.kernel(1)) / "bzImage")
        # The lab's own directory is a tmpfs.
        flags = ("--state-dir", str(paths.RUN)) if plan.state_dir else ()
        self.brokers = [Broker(self.logs, index, plan.size, plan.slots, flags)
                        for index in range(plan.regions)]
        self.roots = [clean.Root(number + 1, paths.kernel_dir(plan.kernel(number + 1)))
                      for number in range(plan.guests)] if plan.root else []
        self.guests = [self._guest(number + 1) for number in range(plan.guests)]
        self.agents = [Agent(guest) for guest in self.guests]

    def _private_directory(self) -> None:
        """For sockets: a tmpfs that goes with the namespace. Sockets are named relative
        to it, since a UNIX socket's path holds 107 bytes at most.
        """
        paths.RUN.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(paths.RUN)]
        subprocess.run(mount, check=True)
        os.chdir(paths.RUN)

    def _environment(self, number: int) -> dict[str, str]:
        """What guest_init wants to know."""
        kernel = self.plan.kernel(number)
        environment = {
            "STEER_NUMBER": str(number),
            "STEER_REPO": str(paths.REPO),
            "STEER_REPO_CACHE": self.plan.repo_cache,
            "STEER_IPV4": f"{net.guest4(number)}/24",
            "STEER_IPV6": f"{net.guest6(number)}/64",
            "STEER_SYSTEMD": str(int(self.plan.systemd)),
            **({"STEER_TRUST": "region"} if trust.line(kernel) else {}),
        }
        if not self.roots:
            environment["STEER_MODULES"] = str(modules.prepare(kernel))
        return environment

    def _guest(self, number: int) -> Guest:
        regions = [qemu.Region(broker.socket, f"ivpci{index}", self.plan.vectors)
                   for index, broker in enumerate(self.brokers)]
        kernel = paths.kernel_dir(self.plan.kernel(number))
        initrd = kernel / "initrd"
        machine = qemu.Machine(
            number=number, accel=self.accel, kernel=kernel / "bzImage",
            init=paths.built(paths.GUEST_INIT), repo=paths.REPO, logs=self.logs, memory_mb=self.plan.memory_mb,
            root=self.roots[number - 1].merged if self.roots else None,
            kernel_tree=kernel if self.roots else None,
            cpus=self.plan.cpus or (2 if self.long or paths.CHECKED else 1), vhost=net.have_vhost(), regions=regions,
            initrd=initrd if initrd.exists() else None, environment=self._environment(number),
            extra_append=self.plan.append.split(),
            counter=paths.built(COUNTER) if self.plan.count_instructions else None)
        # Programs of a clean guest are those that were installed there.
        tools = GUEST_PATH if self.roots else f"{paths.AGENT.parent}:{GUEST_PATH}"
        guest = Guest(machine, self.logs, {"PATH": tools})
        guest.trust = trust.line(self.plan.kernel(number))
        return guest

    def start(self) -> "Lab":
        net.make_bridge()
        for broker in self.brokers:
            broker.start()
        self.boot(self.guests[:self.plan.booted])
        return self

    def boot(self, guests: list[Guest], like: "clean.Root | None" = None) -> None:
        """Starts guests that did not run yet. `like`: see clean.Root."""
        for guest in guests:
            if self.roots:
                self.roots[guest.number - 1].make(like)
            net.make_tap(guest.number)
            guest.start()
        began = time.monotonic()
        for guest in guests:
            self._wait_first_boot(guest)
            self.progress(f"{guest.name} is up after {time.monotonic() - began:.1f} s "
                          f"({self.accel.upper()}, kernel {guest.channel.hello['kernel']})")

    def able(self) -> list[Agent]:
        """The agents of guests whose kernel can do it."""
        return [agent for agent in self.agents
                if self.plan.kernel(agent.guest.number) == "guest"]

    def stock(self) -> list[Guest]:
        """Guests that run Debian 12's own kernel."""
        return [guest for guest in self.guests if self.plan.kernel(guest.number) == "stock"]

    def start_agents(self) -> None:
        """smc-agent in all guests that run and whose kernel can do it, until they know each other's
        addresses.
        """
        able = [agent for agent in self.able() if agent.guest.process]
        for agent in able:
            agent.launch_ready()
        for agent in able:
            agent.wait_state("active", ADDRESSES * (len(able) - 1))

    def _wait_first_boot(self, guest: Guest) -> None:
        """Under TCG on a busy machine a guest can stand still while it scans its PCI bus, long
        before anything of ours is loaded: such a guest is started once more.
        """
        try:
            guest.wait_boot(FIRST_BOOT_SECONDS * (2 if self.roots else 1))
        except BootError:
            self.progress(f"{guest.name} does not boot, starting it again")
            guest.kill()
            guest.start()
            guest.wait_boot()

    def guest(self, name: str) -> Guest:
        for guest in self.guests:
            if name in (guest.name, str(guest.number)):
                return guest
        names = ", ".join(guest.name for guest in self.guests)
        raise KeyError(f"no guest {name}: there are {names}")
