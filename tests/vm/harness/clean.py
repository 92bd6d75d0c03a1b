# SPDX-License-Identifier: Apache-2.0
"""Guests that are a Debian installation of their own (Plan.root "clean"), not a view of this
machine: systemd is process 1, udev loads drivers, apt installs packages, and a reboot finds
what was written before it.

A guest's root is an overlay that the host makes in the lab's mount namespace and QEMU exports by
9p, writable: below, the root file system of cmake/setup/clean_root.sh; over it what a test guest
needs (exec server, network, the kernel's modules); on top, in the lab's tmpfs, what the guest
writes. Taking one guest's writings for another's is how a machine is cloned.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import net, paths

SETUP = paths.REPO / "cmake" / "setup" / "clean_root.sh"
GUEST = paths.REPO / "tests" / "vm" / "guest"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHARED = "ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose"

# Not `Type=notify`: a test guest is up when its exec server says hello.
UNIT = """[Unit]
Description=exec server of the tests
DefaultDependencies=no
Requires=local-fs.target
After=local-fs.target systemd-udevd.service
Conflicts=shutdown.target
Before=shutdown.target
[Service]
ExecStartPre=/usr/local/lib/steer/up
ExecStart=/usr/bin/python3 -E -S -B /usr/local/lib/steer/execd
Environment=HOME=/root LANG=C.UTF-8 TERM=linux
StandardOutput=tty
StandardError=tty
KillMode=process
"""

UP = """#!/bin/sh
set -e
ip link set lo up
ip link set eth0 up
ip address add {ip4}/24 dev eth0
ip address add {ip6}/64 dev eth0 nodad
mount -t 9p -o {shared} repo {repo}
mount -t 9p -o {shared} kernel {kernel}
"""

# They wait for what no test guest has, or work in the background when time is measured.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
          "e2scrub_reap.service", "fstrim.timer", "getty.target", "serial-getty@ttyS0.service",
          "systemd-networkd-wait-online.service")


def pristine(suite: str) -> Path:
    """The root file system nobody has written to."""
    return Path(subprocess.run([SETUP, suite], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.strip())


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


class Root:
    """Of one guest."""

    def __init__(self, number: int, kernel: Path, suite: str = "bookworm"):
        self.number = number
        self.kernel = kernel
        self.suite = suite
        self.base = paths.RUN / f"guest{number}"
        self.merged = self.base / "root"
        self.upper = self.base / "upper"

    def make(self, like: "Root | None" = None) -> None:
        """Before the guest starts. `like`: with what is on that one's disk, whose guest is off, or
        has written everything out and is idle.
        """
        if self.merged.exists():
            return
        for name in ("support", "work", "root"):
            (self.base / name).mkdir(parents=True)
        if like is None:
            self.upper.mkdir()
        else:
            subprocess.run(["cp", "-a", like.upper, self.upper], check=True)
        self._support(self.base / "support")
        layers = f"lowerdir={self.base / 'support'}:{pristine(self.suite)}"
        options = f"{layers},upperdir={self.upper},workdir={self.base / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", self.merged], check=True)

    def run(self, script: str, cwd: str = "/root") -> str:
        """A shell script in the installation, before its guest starts: how images of machines are
        made. The processor is this machine's, so a compiler is ten times as fast as in a guest. There
        is no network, as in the guest.
        """
        shown = [("proc", "proc", "/proc"), ("--bind", "/dev", "/dev"),
                 ("--bind", str(self.kernel), str(self.kernel))]
        for kind, source, target in shown:
            how = ["--bind"] if kind == "--bind" else ["-t", kind]
            subprocess.run(["mount", *how, source, f"{self.merged}{target}"], check=True)
        try:
            environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8",
                           "DEBIAN_FRONTEND": "noninteractive"}
            script = f"cd {cwd}\n{script}"
            done = subprocess.run(["chroot", self.merged, "bash", "-euxo", "pipefail", "-c", script],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.STDOUT, env=environment, check=False)
        finally:
            for _, _, target in shown:
                subprocess.run(["umount", f"{self.merged}{target}"], check=True)
        if done.returncode:
            raise RuntimeError(f"exit {done.returncode} of {script}\n{done.stdout}")
        return done.stdout

    def _support(self, top: Path) -> None:
        repo, kernel = paths.REPO, self.kernel
        units = top / "etc" / "systemd" / "system"
        write(units / "steer-execd.service", UNIT)
        for name in MASKED:
            (units / name).symlink_to("/dev/null")
        (units / "sysinit.target.wants").mkdir()
        (units / "sysinit.target.wants" / "steer-execd.service").symlink_to(
            "/etc/systemd/system/steer-execd.service")
        write(top / "etc" / "hostname", f"guest{self.number}\n")
        write(top / "usr" / "local" / "lib" / "steer" / "up", UP.format(
            ip4=net.guest4(self.number), ip6=net.guest6(self.number), shared=SHARED, repo=repo,
            kernel=kernel), 0o755)
        shutil.copy(GUEST / "execd", top / "usr" / "local" / "lib" / "steer" / "execd")
        for place in (repo, kernel):
            Path(f"{top}{place}").mkdir(parents=True)
        # As a kernel's package and that with its headers leave it.
        modules = top / "usr" / "lib" / "modules"
        shutil.copytree(kernel / "lib" / "modules", modules, symlinks=True)
        for release in os.listdir(modules):
            (modules / release / "build").symlink_to(kernel / "build")

    def files(self) -> set[str]:
        """All paths, as the host sees them: the guest has to have written them out (sync)."""
        found = set()
        top = str(self.merged)
        for directory, names, others in os.walk(top):
            below = directory[len(top):]
            found.update(f"{below}/{name}" for name in names + others)
        return found
