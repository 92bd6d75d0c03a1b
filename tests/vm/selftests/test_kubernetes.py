# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: Helm takes the chart and refuses wrong values, Kubernetes' schemas take what
it renders, the agent takes its files, and the least is asked for. What an API server, a scheduler and
kubelet make of it is seen by tests/vm/cases/cluster*.py, which a plain run does not have
(tests/vm/cases/kubernetes.py runs the agent's container).
"""

import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import image, paths, pod

KUBERNETES = paths.REPO / "deploy" / "kubernetes"
CHART = KUBERNETES / "chart"
TOOLS = Path(os.environ.get("SMC_STEER_NPM_DIR") or "/nonexistent")
EVERYTHING = ("nodeLabel.enabled=true", "serviceMonitor.enabled=true", "metrics.address=0.0.0.0",
              "metrics.statusPage=true", "imagePullSecrets[0].name=secret",
              "podAnnotations.a=b", "podLabels.c=d", "serviceMonitor.labels.e=f")


def helm(*words: str) -> subprocess.CompletedProcess:
    if not (TOOLS / "helm").exists():
        raise AssertionError("Helm is not there: run ./dev setup, and the tests by ./dev test")
    return subprocess.run([TOOLS / "helm", *words], capture_output=True, text=True, check=False)


def render(*values: str) -> list[dict]:
    flags = [word for value in values for word in ("--set", value)]
    run = helm("template", "smc-steer", str(CHART), "--namespace", "smc-steer", *flags)
    if run.returncode:
        raise AssertionError(run.stderr)
    return pod.objects(run.stdout)


def validate(objects: list[dict]) -> list[str]:
    """Mistakes that Kubernetes' own schemas and types know of."""
    run = subprocess.run(["node", paths.REPO / "tests" / "kubernetes" / "validate.mjs", TOOLS],
                         input=json.dumps(objects), capture_output=True, text=True, check=False)
    if run.stderr:
        raise AssertionError(run.stderr)
    return run.stdout.splitlines()


class Chart(unittest.TestCase):
    def test_helm_lint(self):
        run = helm("lint", "--strict", str(CHART))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_what_it_renders_fits_kubernetes_schemas(self):
        objects = []
        for values in ((), EVERYTHING, ("device.access=runtime", "device.runtimeClassName=ivpci",
                                        "criSocket="), ("device.access=resource",)):
            objects += render(*values)
        self.assertEqual(validate(objects), [])

    def test_mistakes_are_noticed(self):
        daemonset = json.dumps(pod.find(render(), "DaemonSet", "smc-steer-agent"))
        objects = []
        for old, new in (('"hostNetwork": true', '"hostNetwork": "yes"'),
                         ('"hostNetwork"', '"hostNetwrk"'), ('"selector"', '"selectors"'),
                         ('"readOnlyRootFilesystem"', '"readonlyRootFilesystem"'),
                         ('"type": "RuntimeDefault"', '"type": 7')):
            self.assertIn(old, daemonset)
            objects.append(json.loads(daemonset.replace(old, new)))
            objects[-1]["metadata"]["name"] = f"mistake-{len(objects)}"
        found = "\n".join(validate(objects))
        for each in objects:
            self.assertIn(each["metadata"]["name"], found)

    def test_wrong_values_are_refused(self):
        for value, words in (
                ("metrics.port=99999", "maximum"), ("metrics.port=http", "/metrics/port"),
                ("metrics.address=localhost", "/metrics/address"),
                ("nodelabel.enabled=true", "nodelabel"), ("agent.workload=all", "workload"),
                ("agent.wmem=1GB", "/agent/wmem"), ("agent.eid=lower", "/agent/eid"),
                ("agent.trust=everybody", "/agent/trust"),
                ("agent.metrics.listen=off", "metrics"), ("policy.default=drop", "/policy/default"),
                ("policy.version=2", "/policy/version"),
                ("device.access=hostPath", "/device/access"),
                ("device.resource=ivpci", "/device/resource"), ("maxUnavailable=0", "minimum"),
                ("image.repository=", "/image/repository"), ("privileged=true", "privileged"),
                ("criSocket=containerd.sock", "/criSocket"),
                ("serviceMonitor.enabled=true", "set metrics.address")):
            with self.subTest(value):
                run = helm("template", "x", str(CHART), "--set", value)
                self.assertNotEqual(run.returncode, 0, "it was rendered")
                self.assertIn(words, run.stderr)

    def test_the_plain_manifests_are_the_charts(self):
        run = subprocess.run([KUBERNETES / "render.sh"], capture_output=True, text=True, check=True)
        self.assertEqual(run.stdout, (KUBERNETES / "smc-steer.yaml").read_text(),
                         "run deploy/kubernetes/render.sh >deploy/kubernetes/smc-steer.yaml")
        self.assertEqual(validate(pod.objects(run.stdout)), [])

    def test_versions_are_the_projects(self):
        version = image.version()
        chart = (CHART / "Chart.yaml").read_text()
        self.assertEqual(re.findall(r"^(?:version|appVersion): (.+)$", chart, re.M),
                         [version, version])

    def test_the_agent_takes_its_files(self):
        for values in ((), EVERYTHING, ("agent.wmem=2MiB", "agent.short_connections=off",
                                        "agent.link_port=7000", "agent.trust=region",
                                        "agent.path=direct", "agent.offload.share=50",
                                        "agent.offload.ring=64KiB", "agent.offload.on_exit=restore",
                                        "policy.default=deny",
                                        "metrics.address=[::1]")):
            objects = render(*values)
            with self.subTest(values), tempfile.TemporaryDirectory() as text:
                for name in ("agent", "policy"):
                    data = pod.find(objects, "ConfigMap", f"smc-steer-{name}")["data"]
                    (Path(text) / f"{name}.yaml").write_text(data[f"{name}.yaml"])
                run = subprocess.run([paths.built(paths.AGENT), "--check",
                                      "--config", f"{text}/agent.yaml",
                                      "--policy", f"{text}/policy.yaml"],
                                     capture_output=True, text=True, check=False)
                self.assertEqual(run.returncode, 0, run.stderr)

    def test_probes_ask_where_the_agent_listens(self):
        for address, host in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"),
                              ("[::]", "::1"), ("10.0.0.7", "10.0.0.7")):
            daemonset = pod.find(render(f"metrics.address={address}", "metrics.port=9999"),
                                 "DaemonSet", "smc-steer-agent")
            container = daemonset["spec"]["template"]["spec"]["containers"][0]
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container[name]["httpGet"]
                self.assertEqual((probe["host"], probe["port"]), (host, 9999), address)


class LeastPrivilege(unittest.TestCase):
    def pods(self, objects: list[dict]) -> dict[str, dict]:
        return {each["metadata"]["name"]: each["spec"]["template"]["spec"]
                for each in objects if each["kind"] == "DaemonSet"}

    def test_the_agents_capabilities_are_the_units(self):
        unit = (paths.REPO / "deploy" / "systemd" / "smc-agent.service").read_text()
        named = re.search(r"^CapabilityBoundingSet=(.+)$", unit, re.M)[1].split()
        spec = self.pods(render())["smc-steer-agent"]
        (agent,) = spec["containers"]
        self.assertEqual(sorted(pod.capabilities(agent)), sorted(named))
        # Kubernetes calls them without CAP_.
        for name in agent["securityContext"]["capabilities"]["add"]:
            self.assertFalse(name.startswith("CAP_"))

    def test_no_container_has_more_than_it_needs(self):
        for name, spec in self.pods(render(*EVERYTHING)).items():
            self.assertFalse(spec["automountServiceAccountToken"], name)
            self.assertFalse(spec.get("hostPID", False), name)
            self.assertFalse(spec.get("hostIPC", False), name)
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            for container in spec["containers"]:
                context = container["securityContext"]
                self.assertEqual((context["privileged"], context["allowPrivilegeEscalation"],
                                  context["readOnlyRootFilesystem"]), (False, False, True))
                self.assertEqual(context["capabilities"]["drop"], ["ALL"])
                if container["name"] != "agent":
                    self.assertNotIn("add", context["capabilities"])
                    self.assertTrue(all(mount.get("readOnly") or mount["name"] == "kubelet"
                                        for mount in container["volumeMounts"]))

    def test_no_right_is_given_by_default_and_one_with_the_label(self):
        kinds = [each["kind"] for each in render()]
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
            self.assertNotIn(kind, kinds)
        objects = render(*EVERYTHING)
        roles = [each for each in objects if each["kind"] in ("Role", "ClusterRole")]
        self.assertEqual([role["rules"] for role in roles],
                         [[{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}]])
        self.assertIn("ValidatingAdmissionPolicy", [each["kind"] for each in objects])
        older = [each["kind"] for each in render(*EVERYTHING, "nodeLabel.admissionPolicy=false")]
        self.assertEqual([kind for kind in older if kind.startswith("Validating")], [])
        # Only the container that talks to the API server sees the token.
        spec = self.pods(objects)["smc-steer-agent"]
        holders = [container["name"] for container in spec["containers"]
                   if any(mount["name"] == "token" for mount in container["volumeMounts"])]
        self.assertEqual(holders, ["node-label"])

    def test_the_device_comes_by_the_resource(self):
        objects = render("device.resource=example.org/ivpci")
        agent = self.pods(objects)["smc-steer-agent"]["containers"][0]
        self.assertEqual(agent["resources"]["limits"]["example.org/ivpci"], "1")
        plugin = self.pods(objects)["smc-steer-device-plugin"]["containers"][0]
        self.assertIn("--resource=example.org/ivpci", plugin["args"])
        for values in (("device.access=resource",), ("device.access=runtime",)):
            self.assertEqual(list(self.pods(render(*values))), ["smc-steer-agent"])


class AdmissionPolicy(unittest.TestCase):
    """What the policy leaves of the right to patch nodes, by another implementation of CEL than
    Kubernetes' own.
    """

    ACCOUNT = "system:serviceaccount:smc-steer:smc-steer-agent"
    NODE = {"metadata": {"name": "node-1", "labels": {"a": "b"}, "annotations": {"n": "1"}},
            "spec": {"podCIDR": "10.1.0.0/24", "taints": [{"key": "k", "effect": "NoSchedule"}]}}

    def decide(self, *requests) -> list[str]:
        policy = pod.find(render(*EVERYTHING), "ValidatingAdmissionPolicy", "smc-steer-node-label")
        run = subprocess.run(["node", paths.REPO / "tests" / "kubernetes" / "admission.mjs", TOOLS],
                             input=json.dumps({"policy": policy, "requests": requests}),
                             capture_output=True, text=True, check=True)
        return run.stdout.splitlines()

    def request(self, change, node=None, account=ACCOUNT, on="node-1") -> dict:
        old = json.loads(json.dumps(node or self.NODE))
        new = json.loads(json.dumps(old))
        change(new)
        extra = {"authentication.kubernetes.io/node-name": [on]} if on else {}
        return {"object": new, "oldObject": old,
                "request": {"userInfo": {"username": account, "extra": extra}}}

    @staticmethod
    def label(name, value):
        return lambda node: node["metadata"].setdefault("labels", {}).update({name: value})

    def test_its_own_label_of_its_own_node(self):
        ready = self.label("smc-steer.io/smc-d", "ready")
        labelled = json.loads(json.dumps(self.NODE))
        ready(labelled)
        bare = {"metadata": {"name": "node-1"}, "spec": {}}
        self.assertEqual(self.decide(
            self.request(ready), self.request(ready, bare), self.request(lambda node: None),
            self.request(lambda node: node["metadata"]["labels"].pop("smc-steer.io/smc-d"),
                         labelled)), ["allow"] * 4)

    def test_nothing_else(self):
        ready = self.label("smc-steer.io/smc-d", "ready")

        def cordon(node):
            node["spec"]["unschedulable"] = True

        def untaint(node):
            node["spec"]["taints"] = []

        def annotate(node):
            node["metadata"]["annotations"]["n"] = "2"

        def unlabel(node):
            node["metadata"]["labels"].pop("a")
        answers = self.decide(
            self.request(ready, on="node-2"), self.request(ready, on=None),
            self.request(self.label("smc-steer.io/smc-d", "yes")),
            self.request(self.label("node-role.kubernetes.io/control-plane", "")),
            self.request(self.label("a", "c")), self.request(unlabel),
            self.request(cordon), self.request(untaint), self.request(annotate))
        own, label, rest = ("deny: only the node that the pod runs on",
                            "deny: only the label smc-steer.io/smc-d, and only as ready",
                            "deny: nothing but labels")
        self.assertEqual(answers, [own] * 2 + [label] * 4 + [rest] * 3)

    def test_other_accounts_are_none_of_its_business(self):
        self.assertEqual(self.decide(self.request(self.label("a", "c"), account="kubelet")),
                         ["other"])


class FakeApiServer:
    """Nodes of an API server, by what it is told over TLS; and an agent's /readyz."""

    def __init__(self, directory: Path):
        self.requests: list[tuple[str, str, dict, str]] = []
        self.ready = True
        self.answer = 200
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-keyout", directory / "key.pem", "-out", directory / "ca.crt",
                        "-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        owner = self

        class Api(http.server.BaseHTTPRequestHandler):
            def do_PATCH(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                owner.requests.append((self.path, self.headers["Content-Type"],
                                       dict(self.headers), body))
                self.send_response(owner.answer)
                self.end_headers()
                self.wfile.write(b'{"kind": "Status"}')

            def do_GET(self):
                self.send_response(200 if owner.ready else 503)
                self.end_headers()

            def log_message(self, *_words):
                pass
        self.agent = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "ca.crt", directory / "key.pem")
        self.api.socket = context.wrap_socket(self.api.socket, server_side=True)
        for server in (self.agent, self.api):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self):
        for server in (self.agent, self.api):
            server.shutdown()
            server.server_close()


class NodeLabel(unittest.TestCase):
    """smc-node-label against a stand-in for the API server: the shape of what it sends. A real one, and
    its RBAC: case cluster-install.
    """

    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.fake = FakeApiServer(self.directory)
        self.addCleanup(self.fake.close)
        (self.directory / "token").write_text("secret-1\n")

    def start(self, **changes: str) -> subprocess.Popen:
        environment = {"NODE_NAME": "node-1.example", "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                       "KUBERNETES_SERVICE_PORT": str(self.fake.api.server_port), **changes}
        process = subprocess.Popen(
            [paths.built(paths.AGENT.parent / "smc-node-label"), "--interval=1",
             f"--agent=http://127.0.0.1:{self.fake.agent.server_port}",
             f"--secrets={self.directory}"], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        return process

    def wait_line(self, process: subprocess.Popen, words: str) -> None:
        for line in process.stdout:
            if words in line:
                return
        self.fail(f"it ended without '{words}'")

    def labels(self) -> list:
        return [json.loads(body) for _, _, _, body in self.fake.requests]

    @staticmethod
    def patch(value) -> dict:
        return {"metadata": {"labels": {"smc-steer.io/smc-d": value}}}

    def test_the_label_follows_the_agent(self):
        process = self.start()
        self.wait_line(process, "labelled ready")
        path, kind, headers, _ = self.fake.requests[0]
        self.assertEqual((path, kind), ("/api/v1/nodes/node-1.example",
                                        "application/merge-patch+json"))
        self.assertEqual(headers["Authorization"], "Bearer secret-1")
        (self.directory / "token").write_text("secret-2\n")  # kubelet renews it
        self.fake.ready = False
        self.wait_line(process, "without the label")
        self.fake.ready = True
        self.wait_line(process, "labelled ready")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        # What it says when nothing changed is nothing.
        self.assertEqual(self.labels(), [self.patch("ready"), self.patch(None),
                                         self.patch("ready"), self.patch(None)])
        self.assertEqual(self.fake.requests[1][2]["Authorization"], "Bearer secret-2")

    def test_a_refusal_is_said_and_tried_again(self):
        self.fake.answer = 403
        process = self.start()
        self.wait_line(process, "403")
        self.fake.answer = 200
        self.wait_line(process, "labelled ready")

    def test_another_certificate_is_not_believed(self):
        own = self.directory / "other"
        own.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-keyout", own / "key.pem", "-out", self.directory / "ca.crt",
                        "-subj", "/CN=other", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        process = self.start()
        self.wait_line(process, "error")
        self.assertEqual(self.fake.requests, [])

    def test_outside_of_a_pod_it_says_so(self):
        for changes in ({"KUBERNETES_SERVICE_HOST": ""}, {"NODE_NAME": "../pods"},
                        {"NODE_NAME": ""}):
            process = self.start(**changes)
            self.assertEqual(process.wait(20), 2, changes)
            self.assertEqual(len(process.stdout.read().splitlines()), 1)
