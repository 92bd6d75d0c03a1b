# SPDX-License-Identifier: Apache-2.0
"""A container runtime in guests: Debian's containerd and runc, CNI's bridge, and pods through CRI.

Each guest has a network of its own for pods, and a route to those of the others, as a cluster
without tunnels has.
"""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from . import oci, paths
from .case import expect
from .channel import Process
from .guest import Guest

POD_IMAGE = "localhost/pod:1"
SANDBOX_IMAGE = "localhost/sandbox:1"
PODS = paths.PROGRAMS / "pods"
SOCKET = "/run/containerd/containerd.sock"
LOG = "/run/containerd.log"
ANNOTATION = "smc-steer.io/accelerate"

CONFIG = """
version = 2
root = "/run/containerd/root"
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.native", "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "SANDBOX"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "CNI"
    conf_dir = "/run/cni"
"""


def subnet4(number: int) -> str:
    return f"10.244.{number}.0/24"


def subnet6(number: int) -> str:
    return f"fd44:0:0:{number:x}::/64"


def bridged_network(number: int) -> str:
    bridge = {
        "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses",
                 "ranges": [[{"subnet": subnet4(number)}], [{"subnet": subnet6(number)}]],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]},
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]})


@dataclass
class Pod:
    name: str
    command: list[str]
    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "default"
    host_network: bool = False
    # Once it runs:
    uid: str = ""
    sandbox: str = ""
    container: str = ""
    ip4: str = ""
    ip6: str = ""
    netns: str = ""  # as `ip netns` names it; the guest's own: ""

    def description(self) -> dict:
        return {"name": self.name, "namespace": self.namespace, "uid": self.uid,
                "image": POD_IMAGE, "command": self.command, "annotations": self.annotations,
                "labels": self.labels, "host_network": self.host_network}


def accelerated(wanted: bool) -> dict[str, str]:
    return {ANNOTATION: "true" if wanted else "false"}


SLEEP = ["sleep", "100000"]


class Runtime:
    """containerd in one guest. `network` makes CNI's configuration for a guest's number."""

    def __init__(self, guest: Guest, others: list[Guest], network: Callable[[int], str] = bridged_network):
        self.guest = guest
        self.network = network
        self.others = [other for other in others if other is not guest]
        self.process: Process | None = None
        self.uids = itertools.count(1)

    def start(self) -> "Runtime":
        images = [oci.image(SANDBOX_IMAGE, oci.sandbox_tree(), ["/sandbox"]),
                  oci.image(POD_IMAGE, oci.pod_tree(), SLEEP)]
        root = paths.containers_dir()
        config = CONFIG.replace("SANDBOX", SANDBOX_IMAGE).replace("CNI", f"{root}/usr/lib/cni")
        self.guest.put("/run/containerd/config.toml", config)
        self.guest.put("/run/cni/10-pods.conflist", self.network(self.guest.number))
        routes = [f"ip route add {subnet4(other.number)} via {other.ip4}; "
                  f"ip -6 route add {subnet6(other.number)} via {other.ip6}"
                  for other in self.others]
        # An address that has to be checked for duplicates first is no address for a second.
        self.guest.check(f"""set -e
            sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            sysctl -q net.core.devconf_inherit_init_net=1 net.ipv6.conf.default.accept_dad=0
            {"; ".join(routes)}""")
        self.launch()
        self.take(*images)
        return self

    def launch(self) -> None:
        """The daemon, with what start() configured."""
        programs = paths.containers_dir() / "usr" / "bin"
        self.process = self.guest.spawn(
            f"exec {programs}/containerd --config /run/containerd/config.toml >>{LOG} 2>&1",
            env={"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"})

    def take(self, *images: Path) -> None:
        """Images, as harness.oci makes them, once it runs."""
        ctr = f"{paths.containers_dir()}/usr/bin/ctr --address {SOCKET} -n k8s.io images import --no-unpack"
        script = f"""
            for ((i = 0; i < 600; i++)); do [ -S {SOCKET} ] && break; sleep 0.1; done
            {" && ".join(f"{ctr} {image}" for image in images)}"""
        run = self.guest.run(script, 120)
        expect(run.code == 0, f"{self.guest.name}: no images: {run.out}{run.err}\n{self.log()}")

    def log(self, lines: int = 20) -> str:
        return self.guest.run(f"tail -n {lines} {LOG}").out

    def run(self, *pods: Pod, timeout: float = 180) -> list[Pod]:
        """Starts them, one after the other."""
        for pod in pods:
            # Sixteen digits, as much as a uid needs here.
            pod.uid = f"{self.guest.number:04x}{next(self.uids):012x}"
        lines = "".join(json.dumps(pod.description()) + "\n" for pod in pods)
        run = self.guest.run([str(paths.built(PODS)), "run"], timeout, lines.encode())
        expect(run.code == 0, f"{self.guest.name}: {run.err}\n{self.log()}")
        for pod, line in zip(pods, run.out.splitlines(), strict=True):
            answer = json.loads(line)
            pod.sandbox, pod.container = answer["pod"], answer["container"]
            pod.netns = answer["netns"]
            addresses = answer["addresses"]
            pod.ip4 = next((each for each in addresses if "." in each), self.guest.ip4)
            pod.ip6 = next((each for each in addresses if ":" in each), self.guest.ip6)
        return list(pods)

    def stop(self, *pods: Pod, timeout: float = 180) -> None:
        self.guest.check([str(paths.built(PODS)), "stop", *(pod.sandbox for pod in pods)], timeout)

    def list(self) -> list[dict]:
        return json.loads(self.guest.check([str(paths.built(PODS)), "list"]))

    def exec(self, pod: Pod, *words: str, timeout: float = 90):
        """Runs a program in the pod's container: harness.guest.Output."""
        return self.guest.run([str(paths.built(PODS)), "exec", pod.container, *words], timeout)

    def check(self, pod: Pod, *words: str, timeout: float = 90) -> str:
        run = self.exec(pod, *words, timeout=timeout)
        expect(run.code == 0, f"{pod.name}: exit {run.code}: {' '.join(words)}\n"
                              f"{run.out[-1000:]}{run.err[-1000:]}")
        return run.out


def start_runtimes(lab) -> list[Runtime]:
    """In all guests, at once."""
    runtimes = [Runtime(guest, lab.guests) for guest in lab.guests]
    for runtime in runtimes:
        runtime.start()
    return runtimes
