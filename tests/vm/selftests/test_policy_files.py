# SPDX-License-Identifier: Apache-2.0
"""Policy files: the schema that is shipped and the parser agree; docs/POLICY.md says what is."""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import jsonschema
import yaml

from harness import paths

SCHEMA = paths.REPO / "deploy" / "schema" / "policy.schema.json"
RULE = "version: 1\nrules:\n- "

GOOD = [
    "version: 1", "version: '1'\ndefault: deny", "version: 1\nrules:", "version: 1\nrules: []",
    *(RULE + rule for rule in (
        "{action: deny, ports: 1}", "{action: allow, ports: 65535}",
        "{action: deny, ports: '8000-8100'}", "{action: deny, ports: [1, 2-3, '4']}",
        "{action: deny, direction: out, ports: 80}", "{action: deny, direction: in, ports: 80}",
        "{action: deny, direction: both, ports: 80}", "{action: deny, peers: 10.0.0.0/8}",
        "{action: deny, peers: ['fd00::/8', 10.1.2.3, '::ffff:10.0.0.0/104', '::/0', '::']}",
        "{action: deny, workload: {uid: 0}}", "{action: deny, workload: {uid: '1000'}}",
        "{action: allow, ports: 80, workload: {cgroup: /kubepods/*}}",
        "{action: deny, workload: {cgroup: /}}", "{action: deny, workload: {unit: a-b@1.service}}",
        "{action: deny, workload: {container: 0123456789ab}}",
        "{action: deny, workload: {pod: shop/web-*}}", "{action: deny, workload: {pod: '*/[ab]?'}}",
        "{action: deny, workload: {namespace: shop}}", "{action: deny, workload: {label: app=web}}",
        "{action: deny, workload: {label: kubernetes.io/tier=}}",
        "{action: deny, workload: {netns: blue}}", "{action: deny, workload: {netns: 4026531840}}",
        "{action: deny, workload: {command: nginx}}",
        "{action: deny, direction: both, workload: {command: my server}}",
        "{action: allow, ports: 80, via: smc}", "{action: allow, workload: {uid: 0}, via: direct}",
        "{action: deny, ports: 80, comment: why}")),
]

BAD = [
    "", "[]", "version: 2", "default: allow", "version: 1\ndefault: maybe", "version: 1\nrule: []",
    "version: 1\nrules: {}", "version: 1\nrules: 7",
    *(RULE + rule for rule in (
        "7", "{}", "{action: deny}", "{ports: 80}", "{action: drop, ports: 80}",
        "{action: deny, ports: 0}", "{action: deny, ports: 65536}", "{action: deny, ports: '-1'}",
        "{action: deny, ports: http}", "{action: deny, ports: []}", "{action: deny, ports: {a: 1}}",
        "{action: deny, ports: '1-'}", "{action: deny, ports: [80, '1-70000']}",
        "{action: deny, port: 80}", "{action: deny, ports: 80, direction: up}",
        "{action: deny, peers: here}", "{action: deny, peers: []}",
        "{action: deny, peers: 10.0.0.0/33}", "{action: deny, peers: 'fd00::/129'}",
        "{action: deny, peers: 10.0.0/8}", "{action: deny, peers: 10.0.0.0/}",
        "{action: deny, workload: nginx}", "{action: deny, workload: {}}",
        "{action: deny, workload: {user: x}}", "{action: deny, workload: {uid: root}}",
        "{action: deny, workload: {uid: -1}}", "{action: deny, workload: {uid: 4294967295}}",
        "{action: deny, workload: {uid: 1, netns: a}}", "{action: deny, workload: {cgroup: a}}",
        "{action: deny, workload: {cgroup: /a/../b}}", "{action: deny, workload: {unit: nginx}}",
        "{action: deny, workload: {pod: web-0}}", "{action: deny, workload: {pod: a/b/c}}",
        "{action: deny, workload: {pod: /web}}", "{action: deny, workload: {namespace: 'a*'}}",
        "{action: deny, workload: {label: app}}", "{action: deny, workload: {label: =web}}",
        "{action: deny, workload: {container: 0123}}", "{action: deny, workload: {netns: a/b}}",
        "{action: deny, workload: {netns: ..}}",
        "{action: deny, workload: {command: a-name-that-is-long}}",
        "{action: deny, workload: {command: /bin/sh}}",
        "{action: allow, workload: {command: nginx}}",
        "{action: allow, ports: 80, via: tcp}", "{action: deny, ports: 80, via: smc}", "{action: allow, via: smc}",
        "{action: deny, ports: 80, workload: {command: nginx}}",
        "{action: deny, direction: out, workload: {command: nginx}}",
        "{action: deny, ports: 80, comment: [a]}")),
]

# What no schema can say.
BEYOND = [RULE + rule for rule in (
    "{action: deny, ports: 90-80}", "{action: deny, peers: 10.0.0.1/8}",
    "{action: deny, peers: 300.0.0.1}", "{action: deny, peers: 'fd00:::1'}")]


def check(text: str) -> subprocess.CompletedProcess:
    """`smc-policy check` of a file with that text."""
    with tempfile.TemporaryDirectory(prefix="smc-steer-policy.") as directory:
        file = Path(directory) / "policy.yaml"
        file.write_text(text + "\n")
        argv = [paths.built(paths.POLICY), "check", file, "--policy", file]
        run = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        run.stderr = run.stderr.replace(str(file), "policy.yaml")
        return run


class PolicyFiles(unittest.TestCase):
    def setUp(self):
        schema = json.loads(SCHEMA.read_text())
        jsonschema.Draft7Validator.check_schema(schema)
        self.validator = jsonschema.Draft7Validator(schema)

    def schema_takes(self, text: str) -> bool:
        return self.validator.is_valid(yaml.safe_load(text))

    def test_both_take_what_is_good(self):
        for text in GOOD:
            with self.subTest(text=text):
                self.assertTrue(self.schema_takes(text))
                self.assertEqual(check(text).stderr, "")

    def test_both_refuse_what_is_bad(self):
        for text in BAD:
            with self.subTest(text=text):
                self.assertFalse(self.schema_takes(text))
                run = check(text)
                self.assertEqual(run.returncode, 2)
                self.assertRegex(run.stderr, r"^smc-policy: policy\.yaml:[1-9]\d*: [^\n]+\n$")

    def test_the_parser_refuses_more(self):
        for text in BEYOND:
            with self.subTest(text=text):
                self.assertEqual(check(text).returncode, 2)


if __name__ == "__main__":
    unittest.main()
