# SPDX-License-Identifier: Apache-2.0
"""Clusters of three guests, with a control plane, kubelets and a kube-proxy that nobody here wrote."""

from harness import release
from harness.case import case, expect, expect_equal
from harness.cluster import Cluster
from harness.documented import Page

HEADING = "Kubernetes"
LABEL = "smc-steer.io/smc-d"


def labels(cluster: Cluster) -> dict[str, str | None]:
    return {node["metadata"]["name"]: node["metadata"]["labels"].get(LABEL) for node in cluster.get("nodes")}


@case("cluster", "cluster-install", agent=False, alone=True, cluster=True, timeout=600, guests=3, kernels=["stock"] * 3,
      memory_mb=1024)
def cluster_install(lab):
    """The chart's life by the commands of docs/OPERATIONS.md, on nodes that have the driver and nothing else of ours: agents
    active on all of them, the device plugin's resource, the label by hand and kept by its container, removed.
    """
    page = Page("cluster")
    cluster = Cluster(lab).start()
    cluster.on_nodes(page.take(HEADING, "node"))
    cluster.wait_nodes()
    cluster.type(page.take(HEADING, "install"))
    said = cluster.type(page.take(HEADING, "verify"))
    expect("active" in said and "BAD" not in said, f"what status and doctor say in a pod: {said}")
    for node in cluster.get("nodes"):
        expect_equal(node["status"]["allocatable"].get("smc-steer.io/ivpci"), "1", "devices that kubelet knows of")
    for name in ("agent", "device-plugin"):
        expect_equal(release.ready(cluster, name), 3, f"pods of {name} that are ready")
    for node in cluster.nodes:
        release.expect_covered(cluster, node.name)

    cluster.type(page.take(HEADING, "label"), NODE="guest2")
    expect_equal(labels(cluster), {"guest1": None, "guest2": "ready", "guest3": None}, "the label, set by hand")
    cluster.kubectl("label", "node", "guest2", f"{LABEL}-")
    # All nodes at once: a case about one after the other is cluster-upgrade.
    release.values(cluster, maxUnavailable="100%", nodeLabel={"enabled": True, "admissionPolicy": False})
    cluster.type(page.take(HEADING, "upgrade"))
    cluster.wait("every node has the label", lambda: labels(cluster), lambda told: set(told.values()) == {"ready"}, 120)
    for node in cluster.nodes:
        release.expect_covered(cluster, node.name)

    cluster.type(page.take(HEADING, "uninstall"))
    release.wait_gone(cluster)
    expect_equal(set(labels(cluster).values()), {None}, "labels of nodes without an agent")
    for node in cluster.nodes:
        release.expect_nothing_left(node.guest)
    page.taken("prepare")
    page.taken("rollback")  # cluster-traffic
    page.finish()
