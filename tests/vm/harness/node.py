# SPDX-License-Identifier: Apache-2.0
"""A node of a cluster: a guest with containerd, kubelet and kube-proxy, as plain processes."""

import json

from . import containers, net, paths
from .case import expect
from .channel import Process
from .control_plane import PODS, SERVER, ControlPlane
from .guest import Guest

KUBELET_LOG, PROXY_LOG = "/run/kubelet.log", "/run/kube-proxy.log"
CONFIG = "/etc/kubernetes"
MODULES = ("ivpci", "tcp_ivpci")


def routed_network(number: int) -> str:
    """Each pod at a link of its own: what goes from pod to pod of a node passes kube-proxy's rules, for which a bridge
    would need a module.
    """
    pods = {"type": "ptp", "ipMasq": False,
            "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses",
                     "ranges": [[{"subnet": containers.subnet4(number)}]], "routes": [{"dst": "0.0.0.0/0"}]}}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [pods]})


KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                       "x509": {"clientCAFile": f"{CONFIG}/ca.crt"}},
    "authorization": {"mode": "Webhook"},
    "tlsCertFile": f"{CONFIG}/kubelet.crt", "tlsPrivateKeyFile": f"{CONFIG}/kubelet.key",
    "cgroupDriver": "cgroupfs", "resolvConf": "", "failSwapOn": False,
    # The guests' disk is memory, and programs start slowly there.
    "evictionHard": {"memory.available": "10Mi"}, "imageGCHighThresholdPercent": 100,
    "runtimeRequestTimeout": "10m",
    # A ConfigMap's change reaches pods in seconds.
    "configMapAndSecretChangeDetectionStrategy": "Watch", "syncFrequency": "20s",
    # Nobody answers there. Pods that ask for it are not told of each time.
    "clusterDNS": ["10.96.0.10"], "clusterDomain": "cluster.local",
}


class Node:
    def __init__(self, guest: Guest, others: list[Guest], plane: ControlPlane):
        self.guest, self.plane = guest, plane
        self.name = guest.name
        self.modules = MODULES  # that are loaded at boot
        self.runtime = containers.Runtime(guest, others, routed_network)
        self.kubelet: Process | None = None
        self.proxy: Process | None = None

    def start(self) -> "Node":
        """Returns before the node is ready."""
        # Containers see what is mounted later, as where systemd is process 1. A Service's address is rewritten once there
        # is a route for it.
        self.guest.check(f"mount --make-rshared / && ip route add default via {net.HOST4}")
        if self.modules:
            self.guest.check(["modprobe", "-a", *self.modules])
        self.runtime.start()
        self._put_files()
        self.start_kubelet()
        self.start_proxy()
        return self

    def _put_files(self) -> None:
        authority = self.plane.authority
        authority.issue(self.name, f"system:node:{self.name}", "system:nodes", (f"IP:{self.guest.ip4}", f"DNS:{self.name}"))
        for place, text in {
                "ca.crt": authority.text("ca.crt"), "kubelet.crt": authority.text(f"{self.name}.crt"),
                "kubelet.key": authority.text(f"{self.name}.key"), "kubelet.yaml": json.dumps(KUBELET),
                "kubelet.kubeconfig": authority.kubeconfig(self.name, SERVER),
                "proxy.kubeconfig": authority.kubeconfig("proxy", SERVER)}.items():
            self.guest.put(f"{CONFIG}/{place}", text)

    def start_kubelet(self) -> None:
        flags = ["--config", f"{CONFIG}/kubelet.yaml", "--kubeconfig", f"{CONFIG}/kubelet.kubeconfig",
                 "--hostname-override", self.name, "--node-ip", self.guest.ip4, "--container-runtime", "remote",
                 "--container-runtime-endpoint", f"unix://{containers.SOCKET}",
                 # How often it looks at what containers use, which takes a CPU under TCG.
                 "--housekeeping-interval", "60s"]
        self.kubelet = self._spawn("kubelet", flags, KUBELET_LOG)

    def start_proxy(self) -> None:
        flags = ["--kubeconfig", f"{CONFIG}/proxy.kubeconfig", "--hostname-override", self.name,
                 "--proxy-mode", "iptables", "--cluster-cidr", PODS, "--conntrack-max-per-core", "0"]
        self.proxy = self._spawn("kube-proxy", flags, PROXY_LOG)

    def _spawn(self, program: str, flags: list[str], log: str) -> Process:
        # Collecting garbage costs more than memory does here.
        return self.guest.spawn(f"exec {paths.cluster_dir()}/{program} {' '.join(flags)} >>{log} 2>&1", env={"GOGC": "400"})

    def expect_alive(self) -> None:
        for process, log in ((self.runtime.process, containers.LOG), (self.kubelet, KUBELET_LOG), (self.proxy, PROXY_LOG)):
            expect(process.poll() is None, f"{self.name}: {process.what[:60]} ended: {self.tail(log)}")

    def tail(self, log: str, lines: int = 15) -> str:
        return self.guest.run(["tail", "-n", str(lines), log]).out
