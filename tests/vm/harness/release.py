# SPDX-License-Identifier: Apache-2.0
"""The chart on a cluster (harness/cluster.py): its values, its pods, what its agents say, what they leave."""

import json
from pathlib import Path

import yaml

from .case import expect, expect_equal, wait_until
from .cluster import Cluster
from .documented import Page
from .guest import Guest

NAMESPACE = "smc-steer"
RELEASE = "smc-steer"
CHART = "deploy/kubernetes/chart"
# What an agent makes on a node and takes away again.
TRACES = ("ls -d /sys/fs/bpf/smc-steer", "ls -d /run/smc-steer/*.sock /run/smc-steer/*.state", "pidof smc-agent smc-device-plugin",
          "bpftool prog list | grep steer", "bpftool map list | grep steer", "bpftool link list | grep -w tcx",
          "sysctl -n net.smc.hs_ctrl | grep steer", "ss -Htin | grep tcp_ivpci", "ls /var/lib/kubelet/device-plugins/smc*")


def values(cluster: Cluster, **more) -> dict:
    """Adds to my-values.yaml, as whoever operates the cluster does with an editor."""
    path = Path(cluster.desk / "my-values.yaml")
    text = {**yaml.safe_load(path.read_text()), **more}
    path.write_text(yaml.safe_dump(text))
    return text


def load(cluster: Cluster) -> None:
    """The image, to all nodes, as docs/OPERATIONS.md says it."""
    cluster.on_nodes(Page("cluster").take("Kubernetes", "node"))


def install(cluster: Cluster, **more) -> None:
    """With these values; until all agents talk with each other."""
    cluster.wait_nodes()
    (cluster.desk / "my-values.yaml").write_text("{}")
    values(cluster, **{"maxUnavailable": "100%", **more})
    upgrade(cluster)
    wait_rolled(cluster)
    for node in cluster.nodes:
        expect_covered(cluster, node.name)


def upgrade(cluster: Cluster) -> None:
    cluster.check("helm", "upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE, "--create-namespace",
                  "--values", "my-values.yaml", timeout=120)


def daemonset(cluster: Cluster, name: str) -> dict:
    (found,) = [each for each in cluster.get("daemonsets", NAMESPACE)
                if each["metadata"]["name"] == f"{RELEASE}-{name}"]
    return found


def ready(cluster: Cluster, name: str = "agent") -> int:
    return daemonset(cluster, name)["status"].get("numberReady", 0)


def wait_rolled(cluster: Cluster, seconds: float = 300) -> None:
    """Until each node has a ready pod of the newest kind, and no other."""
    def look() -> list[dict]:
        return [daemonset(cluster, name) for name in ("agent", "device-plugin")]

    def good(sets: list[dict]) -> bool:
        return all(each["status"].get("observedGeneration") == each["metadata"]["generation"]
                   and each["status"].get("updatedNumberScheduled") == each["status"]["desiredNumberScheduled"] > 0
                   and each["status"].get("numberReady") == each["status"]["desiredNumberScheduled"] for each in sets)
    cluster.wait("the DaemonSets are rolled out", look, good, seconds, 2.0)


def wait_gone(cluster: Cluster, seconds: float = 240) -> None:
    cluster.wait("the release has no pods", lambda: cluster.get("pods", NAMESPACE), lambda pods: not pods, seconds)


def agent_pod(cluster: Cluster, node: str) -> str:
    """Of the newest agent there."""
    pods = [each for each in cluster.get("pods", NAMESPACE, "app.kubernetes.io/component=agent")
            if each["spec"].get("nodeName") == node and "deletionTimestamp" not in each["metadata"]]
    expect_equal(len(pods), 1, f"agents of {node}")
    return pods[0]["metadata"]["name"]


def ask(cluster: Cluster, node: str, *words: str) -> dict:
    """smc-policy in the agent's pod."""
    return json.loads(cluster.kubectl("--namespace", NAMESPACE, "exec", agent_pod(cluster, node), "--container", "agent",
                                      "--", "smc-policy", *words, "--json"))


def expect_covered(cluster: Cluster, node: str) -> None:
    """Its agent is active, on the direct path, and talks with those of all other nodes."""
    others = len(cluster.nodes) - 1
    status = cluster.wait(f"the agent of {node} talks with all others", lambda: ask(cluster, node, "status"),
                          lambda told: told["state"] == "active" and told["offload"]["up"] == others, 60)
    expect_equal(status["path"], "direct", f"path of {node}'s agent")
    expect(status["pods"]["known"] > 0, f"{node}'s agent knows of no pod: {status['pods']}")


def expect_nothing_left(guest: Guest) -> None:
    """The kernel frees maps and programs a grace period after their last user is gone."""
    looks = "\n".join(f"{look} 2>/dev/null | sed 's|^|{look.split()[0]}: |'" for look in TRACES)
    wait_until(lambda: guest.run(looks).out, lambda found: not found, 20, f"{guest.name}: what an agent has left")
