# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for a guest. Nothing here touches the machine."""

from dataclasses import dataclass, field
from pathlib import Path

from . import net

BINARY = "qemu-system-x86_64"
EXEC_PORT = "smc-steer.exec"

# TCG emulates `rep movs` byte by byte; without erms and fsrm the guest's copies use other
# instructions and both TCP and SMC move twice as much. la57: while Linux 7.3 finds out about its
# first CPU it forgets for a moment that it has five levels of page tables, and KASAN takes what an
# interrupt touches just then for wild.
ACCEL = {
    "tcg": ["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm,-la57"],
    "kvm": ["-accel", "kvm", "-cpu", "host"],
}


@dataclass
class Region:
    """An ivshmem-doorbell device: the broker's socket and the device's id in QEMU."""

    socket: str
    device: str = "ivpci0"
    vectors: int = 4


@dataclass
class Machine:
    """What a guest is made of. Paths without a leading slash are below the lab's directory."""

    number: int
    accel: str
    kernel: Path
    init: Path
    repo: Path
    logs: Path
    memory_mb: int = 640
    cpus: int = 2
    vhost: bool = False
    initrd: Path | None = None
    regions: list[Region] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    root: Path | None = None  # of an installation of its own (clean.py); else this machine's
    kernel_tree: Path | None = None  # shown to it, for modules that are compiled there
    extra_append: list[str] = field(default_factory=list)
    counter: Path | None = None  # QEMU's plugin that counts instructions (programs/instructions.c); TCG only

    @property
    def name(self) -> str:
        return f"guest{self.number}"


def append(machine: Machine) -> str:
    """The kernel's command line. Words it does not know become the environment of init."""
    # On a busy host the timer comes too late for the kernel's check of it, which then panics, the
    # CPUs' time stamps seem to differ, which costs an exit to the HPET each time a clock is read, and
    # a CPU can stand still for half a minute without anything wrong in it. rep_good: see ACCEL.
    # norandmaps: TCG translates code anew for each address it is seen at, so a program's start took
    # four times as long.
    words = ["console=ttyS0", "panic=-1", "net.ifnames=0", "no_timer_check", "tsc=reliable",
             "rcupdate.rcu_cpu_stall_timeout=60", "clearcpuid=rep_good", "norandmaps"]
    if machine.root is not None:
        # No other user of it, so caching is safe; a reboot writes out what is cached.
        words += [
            "root=host", "rootfstype=9p", "rw",
            "rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose",
            # A slow console holds up whoever writes to it.
            "init=/lib/systemd/systemd", "systemd.show_status=0", "systemd.log_target=journal",
        ]
    elif machine.initrd is None:
        words += [
            "root=host", "rootfstype=9p", "ro",
            "rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose",
            f"init={machine.init}",
        ]
    if machine.root is None:
        words += [f"STEER_INIT={machine.init}"]
    words += machine.extra_append
    words += [f"{key}={value}" for key, value in machine.environment.items()]
    return " ".join(words)


def share(tag: str, path: str, writable: bool = False) -> list[str]:
    """A directory of the host over 9p. What a guest writes has the owners it says."""
    access = "security_model=passthrough" if writable else "security_model=none,readonly=on"
    fsdev = f"local,id={tag},path={path},{access},multidevs=remap"
    return ["-fsdev", fsdev, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def ivshmem(region: Region) -> list[str]:
    chardev = f"chardev-{region.device}"
    device = f"ivshmem-doorbell,id={region.device},chardev={chardev},vectors={region.vectors}"
    return ["-chardev", f"socket,id={chardev},path={region.socket}", "-device", device]


def command(machine: Machine) -> list[str]:
    name = machine.name
    mac = net.guest_mac(machine.number)
    vhost = "on" if machine.vhost else "off"
    tap = f"tap,id=net0,ifname={net.tap(machine.number)},script=no,downscript=no,vhost={vhost}"
    argv = [BINARY, "-name", name, "-machine", "pc", *ACCEL[machine.accel]]
    # Never one possible CPU: TCG then drops the lock prefix, and atomics on memory shared
    # with another guest lose bits.
    argv += ["-smp", f"{machine.cpus},maxcpus={max(machine.cpus, 2)}"]
    argv += ["-m", str(machine.memory_mb)]
    argv += ["-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-chardev", f"file,id=console,path={machine.logs / name}.console,append=on"]
    argv += ["-serial", "chardev:console"]
    argv += ["-qmp", f"unix:{name}.qmp,server=on,wait=off"]
    argv += ["-kernel", str(machine.kernel), "-append", append(machine)]
    if machine.initrd is not None:
        argv += ["-initrd", str(machine.initrd)]
    argv += share("host", str(machine.root or "/"), machine.root is not None)
    argv += share("repo", str(machine.repo))
    if machine.kernel_tree is not None:
        argv += share("kernel", str(machine.kernel_tree))
    argv += ["-netdev", tap, "-device", f"virtio-net-pci,netdev=net0,mac={mac},romfile="]
    argv += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    argv += ["-chardev", f"socket,id=exec,path={name}.exec,server=on,wait=off"]
    argv += ["-device", f"virtserialport,chardev=exec,name={EXEC_PORT}"]
    for region in machine.regions:
        argv += ivshmem(region)
    if machine.counter is not None:
        argv += ["-plugin", f"file={machine.counter},out={name}.instructions"]
    return argv
