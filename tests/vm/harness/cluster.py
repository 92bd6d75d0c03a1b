# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes cluster: the control plane on this machine, the lab's guests as its nodes. And the desk of who
operates it: a directory with the repository's files in it, with kubectl and helm.
"""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import documented, paths
from .case import SLOW, expect, expect_equal, wait_until
from .control_plane import ControlPlane
from .node import Node

DESK_FILES = ("deploy", "build", "dev", "docs")


def prepare(log, long: bool) -> None:
    """The image, by docs/OPERATIONS.md; but the short form's has the programs that the other tests use, since compiling
    what is shipped takes minutes.
    """
    paths.cluster_dir()
    for block in documented.load():
        if block.tag == "cluster prepare":
            text = block.text if long else f"{block.text.rstrip()} --preset dev\n"
            subprocess.run(["bash", "-euxo", "pipefail", "-c", text], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           check=True, cwd=paths.REPO)


class Cluster:
    def __init__(self, lab):
        self.lab = lab
        self.directory = paths.RUN / "cluster"
        self.desk = self.directory / "desk"
        self.desk.mkdir(parents=True)
        for name in DESK_FILES:
            (self.desk / name).symlink_to(paths.REPO / name)
        self.plane = ControlPlane(self.directory / "plane", lab.logs)
        self.nodes = [Node(guest, lab.guests, self.plane) for guest in lab.guests]

    def start(self) -> "Cluster":
        """Until images can be brought to the nodes. wait_nodes() is for the rest, which takes a minute under TCG."""
        self.plane.make_certificates()
        with ThreadPoolExecutor(len(self.nodes) + 1) as pool:
            plane = pool.submit(self.plane.start)
            list(pool.map(Node.start, self.nodes))
            plane.result()
        self.lab.progress("the control plane is up")
        return self

    def wait_nodes(self, seconds: float = 300) -> None:
        self.wait("all nodes are ready", lambda: self.get("nodes"), self._all_ready, seconds)

    def _all_ready(self, nodes: list[dict]) -> bool:
        return len(nodes) == len(self.nodes) and all(condition(node, "Ready") for node in nodes)

    def wait(self, what: str, look, good, seconds: float, pause: float = 1.0):
        """wait_until(), which says how long it took, or what the cluster is at when it gives up."""
        def looked():
            self.plane.expect_alive()
            return look()
        began = time.monotonic()
        try:
            found = wait_until(looked, good, seconds, what, pause)
        except AssertionError as error:
            raise AssertionError(f"{what}: not after {seconds:g} s\n{self.troubles()}") from error
        self.lab.progress(f"{what}: after {time.monotonic() - began:.1f} s")
        return found

    # The desk

    def environment(self) -> dict[str, str]:
        tools = paths.npm_dir()
        return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(self.directory),
                "KUBECONFIG": str(self.plane.directory / "admin.kubeconfig")}

    def command(self, *words: str, timeout: float = 60, data: str = "") -> subprocess.CompletedProcess:
        """One that takes too long fails, with what it has said."""
        return subprocess.run(["timeout", f"{timeout * SLOW:g}", *words], input=data, capture_output=True, text=True,
                              check=False, cwd=self.desk, env=self.environment())

    def check(self, *words: str, timeout: float = 60, data: str = "") -> str:
        run = self.command(*words, timeout=timeout, data=data)
        expect(run.returncode == 0, f"exit {run.returncode}: {' '.join(words)}\n{run.stdout[-1500:]}{run.stderr[-1500:]}")
        return run.stdout

    def kubectl(self, *words: str, timeout: float = 60, data: str = "") -> str:
        return self.check("kubectl", *words, timeout=timeout, data=data)

    def type(self, text: str, timeout: float = 300, **variables: str) -> str:
        """Commands of a page, as somebody types them; each has to succeed. What they print."""
        run = subprocess.run(["bash", "-euxo", "pipefail", "-c", text], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, check=False, cwd=self.desk, env={**self.environment(), **variables},
                             timeout=timeout * SLOW)
        self.lab.progress(f"{run.stderr}{run.stdout}")
        expect_equal(run.returncode, 0, f"exit code of the page's commands:\n{run.stdout[-2000:]}{run.stderr[-2000:]}\n"
                                        f"{self.troubles() if run.returncode else ''}")
        return run.stdout

    def on_nodes(self, text: str, timeout: float = 120) -> None:
        """Commands of a page, on each node."""
        tools = f"{paths.containers_dir()}/usr/bin"

        def type_there(node: Node) -> None:
            documented.run_text(node.guest, f"PATH={tools}:$PATH\n{text}", f"on {node.name}", timeout, str(paths.REPO))
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(type_there, self.nodes))

    # What the API server says

    def get(self, kind: str, namespace: str = "", selector: str = "") -> list[dict]:
        words = ["get", kind, "--output", "json", *(["--namespace", namespace] if namespace else []),
                 *(["--selector", selector] if selector else [])]
        return json.loads(self.kubectl(*words))["items"]

    def apply(self, *objects: dict) -> None:
        self.kubectl("apply", "--filename", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def troubles(self) -> str:
        """What people look at first."""
        said = []
        for words in (("get", "nodes,pods,daemonsets", "--all-namespaces", "--output", "wide"),
                      ("get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp")):
            run = self.command("kubectl", *words)
            said.append("\n".join((run.stdout + run.stderr).splitlines()[-40:]))
        run = self.command("kubectl", "get", "pods", "--all-namespaces", "--output",
                           "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{'\\n'}{end}")
        for namespace, name in map(str.split, run.stdout.splitlines()):
            run = self.command("kubectl", "--namespace", namespace, "logs", name, "--all-containers", "--tail", "5")
            said.append(f"--- {namespace}/{name}\n{run.stdout}{run.stderr}")
        return "\n".join(said)


def condition(thing: dict, kind: str) -> bool:
    return any(each["type"] == kind and each["status"] == "True" for each in thing["status"].get("conditions", []))
