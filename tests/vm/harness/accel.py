# SPDX-License-Identifier: Apache-2.0
"""KVM or TCG: KVM only where a guest was seen to run under it.

Neither the processor's flags nor a /dev/kvm that opens prove anything: it can open and the
guest never runs an instruction. The answer is kept until the next boot of this machine.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from . import paths, qemu

PROBE_SECONDS = 20


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def probe_kvm(kernel: Path) -> bool:
    """Boots `kernel` without a root file system under KVM: it has to get as far as missing
    it, panic, and reset the machine.
    """
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    with tempfile.NamedTemporaryFile(prefix="smc-steer-kvm.") as console:
        argv = [qemu.BINARY, "-machine", "pc", *qemu.ACCEL["kvm"], "-m", "256", "-smp", "2"]
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        argv += ["-serial", f"file:{console.name}", "-kernel", str(kernel)]
        argv += ["-append", "console=ttyS0 panic=-1"]
        try:
            subprocess.run(argv, timeout=PROBE_SECONDS, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return False
        return b"Kernel panic" in Path(console.name).read_bytes()


def choose(kernel: Path) -> str:
    """"kvm" or "tcg"."""
    paths.RUN.mkdir(parents=True, exist_ok=True)
    answer = paths.CACHE / f"accel.{boot_id()}"
    if not answer.exists():
        for old in paths.CACHE.glob("accel.*"):
            old.unlink(missing_ok=True)
        answer.write_text("kvm" if probe_kvm(kernel) else "tcg")
    return answer.read_text()
