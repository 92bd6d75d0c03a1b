# SPDX-License-Identifier: Apache-2.0
"""Pods of a cluster talk: what is accelerated without anybody's asking, and what is left alone because somebody asked."""

import json

from harness import deployments, offload, release
from harness.case import case, expect, expect_equal
from harness.cluster import Cluster
from harness.documented import Page

SIZE = 96 << 20  # there, and back: the agents have to see it work first
REQUESTS = 6000  # of 16 KiB, to set and to get
LEAST = 8 << 20  # by rings
SERVER, CLIENT = "guest1", "guest2"


class Nodes:
    """The agents of both nodes, as they count what they moved."""

    def __init__(self, lab, cluster: Cluster):
        self.lab, self.cluster = lab, cluster
        self.agents = [agent for agent in lab.agents if agent.guest.name in (SERVER, CLIENT)]

    def wait_rules(self, count: int) -> None:
        """Until kubelet has brought a ConfigMap with that many."""
        for agent in self.agents:
            self.cluster.wait(f"{count} rules", lambda agent=agent: agent.ask("rules")["rules"],
                              lambda rules: len(rules) == count, 150, 2.0)

    def settled(self) -> list[int]:
        """Bytes that went by rings, of connections that have ended."""
        return [self.cluster.wait("no connection is moved", lambda agent=agent: offload.totals(agent),
                                  lambda totals: totals["connections"] == 0, 30)["ring_bytes"] for agent in self.agents]

    def moved_by(self, what: str, do) -> list[int]:
        """Bytes that went by rings at either node while do() ran."""
        before = self.settled()
        said = do()
        after = self.settled()
        by_rings = [now - was for now, was in zip(after, before)]
        self.lab.progress(f"{what}: {said!s:.300}; bytes by rings: {by_rings}")
        return by_rings

    def expect_accelerated(self, what: str, do) -> None:
        by_rings = self.moved_by(what, do)
        expect(all(count >= LEAST for count in by_rings), f"{what}: bytes by rings: {by_rings}, {LEAST} are the least")

    def expect_tcp(self, what: str, do) -> None:
        expect_equal(self.moved_by(what, do), [0, 0], f"{what}: bytes by rings")


# Each way to name pods, for the namespace whose server it leaves to TCP.
QUIET = {"one": {"pod": "one/bytes-*"}, "two": {"namespace": "two"}, "three": {"label": "tier=quiet"}}
RULES = [{"action": "deny", "ports": 22}, *({"action": "deny", "workload": workload} for workload in QUIET.values())]


def deploy(cluster: Cluster) -> None:
    cluster.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}} for space in QUIET))
    cluster.apply(*(deployments.deployment(name, SERVER) for name in ("redis", "bytes")),
                  *(deployments.service(name) for name in ("redis", "bytes")), deployments.deployment("client", CLIENT),
                  *(deployments.deployment("bytes", SERVER, space, {"tier": "quiet"} if space == "three" else {})
                    for space in QUIET))
    for name, space in (("redis", "default"), ("bytes", "default"), ("client", "default"), *(("bytes", each) for each in QUIET)):
        deployments.pod(cluster, name, space, 240)


@case("cluster", "cluster-traffic", agent=False, alone=True, cluster=True, timeout=840, guests=2, kernels=["stock"] * 2,
      memory_mb=1024)
def cluster_traffic(lab):
    """A redis and a program that checks its bytes on one node, their client on another: by the pod's address and by ClusterIP
    through kube-proxy they are accelerated, and nobody configured it. A Deployment's template opts out. Rules for a pod, a
    namespace and a label leave those to TCP and others not; a rollback takes them back.
    """
    cluster = Cluster(lab).start()
    release.load(cluster)
    release.install(cluster)
    nodes = Nodes(lab, cluster)
    deploy(cluster)
    redis, service = (deployments.cluster_ip(cluster, name) for name in ("redis", "bytes"))
    address = deployments.address(cluster, "bytes")
    nodes.expect_accelerated("bytes by the pod's address", lambda: deployments.send(cluster, address, SIZE))
    nodes.expect_accelerated("bytes by ClusterIP", lambda: deployments.send(cluster, service, SIZE))
    nodes.expect_accelerated("redis by ClusterIP", lambda: deployments.ask_redis(cluster, redis, REQUESTS))

    annotate = {"spec": {"template": {"metadata": {"annotations": {"smc-steer.io/accelerate": "false"}}}}}
    cluster.kubectl("patch", "deployment", "redis", "--patch", json.dumps(annotate))
    release.values(cluster, policy={"version": 1, "default": "allow", "rules": RULES})
    release.upgrade(cluster)
    cluster.kubectl("rollout", "status", "deployment/redis", timeout=180)
    nodes.expect_tcp("redis, whose template opts out", lambda: deployments.ask_redis(cluster, redis, REQUESTS))

    nodes.wait_rules(len(RULES))
    quiet = {space: deployments.address(cluster, "bytes", space) for space in QUIET}
    for space, to in quiet.items():
        nodes.expect_tcp(f"bytes, denied by {QUIET[space]}", lambda: deployments.send(cluster, to, SIZE))
    nodes.expect_accelerated("bytes, not denied", lambda: deployments.send(cluster, service, SIZE))

    # Agents are not restarted for rules: those of before are in force again once kubelet has brought them.
    cluster.type(Page("cluster").take("Kubernetes", "rollback"))
    nodes.wait_rules(1)
    nodes.expect_accelerated("bytes, no longer denied", lambda: deployments.send(cluster, quiet["two"], SIZE))
