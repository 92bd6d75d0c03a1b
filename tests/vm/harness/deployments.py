# SPDX-License-Identifier: Apache-2.0
"""Workloads of a cluster's users: Deployments and Services of the tests' own image, and traffic between their pods."""

import json

from .cluster import Cluster, condition
from .containers import POD_IMAGE
from .case import expect

REDIS, TRANSFER = 6379, 9000
SERVE = {"redis": ["redis-server", "--protected-mode", "no", "--save", ""],
         "bytes": ["transfer", "serve", "0.0.0.0", str(TRANSFER)],
         "client": ["sleep", "100000"]}
PORTS = {"redis": REDIS, "bytes": TRANSFER}


def deployment(name: str, node: str, namespace: str = "default", labels: dict | None = None) -> dict:
    """One of SERVE's, on that node."""
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}},
                 "template": {"metadata": {"labels": {"app": name, **(labels or {})}},
                              "spec": {"nodeSelector": {"kubernetes.io/hostname": node},
                                       "terminationGracePeriodSeconds": 1, "enableServiceLinks": False,
                                       "containers": [{"name": name, "image": POD_IMAGE, "command": SERVE[name]}]}}}}


def service(name: str, namespace: str = "default") -> dict:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": name}, "ports": [{"port": PORTS[name]}]}}


def pod(cluster: Cluster, name: str, namespace: str = "default", seconds: float = 120) -> dict:
    """The Deployment's only pod, once it runs."""
    def look() -> list[dict]:
        return cluster.get("pods", namespace, f"app={name}")

    def good(pods: list[dict]) -> bool:
        return len(pods) == 1 and condition(pods[0], "Ready") and "deletionTimestamp" not in pods[0]["metadata"]
    return cluster.wait(f"{namespace}/{name} runs", look, good, seconds)[0]


def address(cluster: Cluster, name: str, namespace: str = "default") -> str:
    """Of its pod."""
    return pod(cluster, name, namespace)["status"]["podIP"]


def cluster_ip(cluster: Cluster, name: str, namespace: str = "default") -> str:
    return json.loads(cluster.kubectl("get", "service", name, "--namespace", namespace, "--output", "json"))["spec"]["clusterIP"]


def execute(cluster: Cluster, name: str, *words: str, namespace: str = "default", timeout: float = 120) -> str:
    return cluster.kubectl("--namespace", namespace, "exec", f"deployment/{name}", "--", *words, timeout=timeout)


def send(cluster: Cluster, to: str, size: int, namespace: str = "default") -> dict:
    """Bytes that are checked, there and back, from the client's pod."""
    told = json.loads(execute(cluster, "client", "transfer", "send", to, str(TRANSFER), str(size), namespace=namespace))
    expect(told["bytes"] >= size, f"transfer to {to}: {told}")
    return told


def ask_redis(cluster: Cluster, to: str, requests: int, namespace: str = "default") -> str:
    """Requests to set and to get 16 KiB, over two connections. Sixteen at once: where guests share CPUs under TCG, an
    answer takes a tenth of a second.
    """
    return execute(cluster, "client", "redis-benchmark", "-h", to, "-c", "2", "-n", str(requests), "-P", "16", "-q", "-t", "set,get",
                   "-d", "16384", namespace=namespace)[-100:]
