# SPDX-License-Identifier: Apache-2.0
"""docs/KUBERNETES.md, as somebody new does it."""

import json

from harness import oci, paths, release
from harness.case import case, expect
from harness.cluster import Cluster
from harness.documented import Page

PAGE = paths.REPO / "docs" / "KUBERNETES.md"
REDIS = "docker.io/library/redis:7"  # what the page's redis:7 is for a runtime


def offload(cluster: Cluster, page: Page) -> dict:
    """What the page's look at the agent tells."""
    said = cluster.type(page.take("Was it shared memory?", "look"))
    return json.JSONDecoder().raw_decode(said[said.index("{"):])[0]["offload"]


@case("cluster", "cluster-ten-minutes", agent=False, alone=True, long_only=True, cluster=True, timeout=700,
      guests=2, kernels=["stock"] * 2, memory_mb=1024)
def cluster_ten_minutes(lab):
    """docs/KUBERNETES.md, command by command: agents on all nodes, a redis and a client that know nothing of it, bytes that
    went by rings, a template that opts out, and all of it taken away.
    """
    page = Page("cluster", PAGE)
    cluster = Cluster(lab).start()
    # The public image is not to be had here: the tests' own has the same programs, and goes by its name.
    image = oci.image(REDIS, oci.pod_tree(), ["redis-server", "--protected-mode", "no", "--save", ""])
    for node in cluster.nodes:
        node.runtime.take(image)
    cluster.on_nodes(page.take("The image", "node"))
    cluster.wait_nodes()
    said = cluster.type(page.take("The agents", "install"))
    expect("active" in said and "BAD" not in said, f"what status and doctor say in a pod: {said}")
    for node in cluster.nodes:
        release.expect_covered(cluster, node.name)
    cluster.type(page.take("Two pods", "pods"))
    cluster.type(page.take("Two pods", "traffic"))
    told = offload(cluster, page)
    expect(told["moved"] >= 2 and told["ring_bytes"] > 2 << 20, f"hardly anything went by rings: {told}")
    cluster.type(page.take("A workload that is to stay TCP", "refuse"))
    cluster.type(page.take("Away with it", "remove"))
    for node in cluster.nodes:
        release.expect_nothing_left(node.guest)
    page.taken("prepare")
    page.finish()
