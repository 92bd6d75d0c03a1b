# SPDX-License-Identifier: Apache-2.0
"""Certificates of a cluster, made anew for each: an authority, and who is who before the API server."""

import base64
import json
import subprocess
from pathlib import Path

DAYS = "2"


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """Keys and certificates in `directory`, NAME.key and NAME.crt each; its own is called "ca"."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir(parents=True)
        self.key("ca")
        openssl("req", "-x509", "-new", "-key", self.file("ca.key"), "-out", self.file("ca.crt"), "-days", DAYS,
                "-subj", "/CN=cluster")

    def file(self, name: str) -> Path:
        return self.directory / name

    def text(self, name: str) -> str:
        return self.file(name).read_text()

    def key(self, name: str) -> None:
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.file(f"{name}.key"))

    def issue(self, name: str, user: str, group: str = "", hosts: tuple[str, ...] = ()) -> None:
        """A certificate of a server at `hosts` ("IP:10.0.0.1", "DNS:a") and of a client: Kubernetes takes its
        common name for the user and its organization for the group.
        """
        self.key(name)
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        openssl("req", "-new", "-key", self.file(f"{name}.key"), "-out", self.file(f"{name}.csr"), "-subj", subject)
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n"
        if hosts:
            extensions += f"subjectAltName={','.join(hosts)}\n"
        self.file(f"{name}.ext").write_text(extensions)
        openssl("x509", "-req", "-in", self.file(f"{name}.csr"), "-CA", self.file("ca.crt"), "-CAkey", self.file("ca.key"),
                "-CAcreateserial", "-days", DAYS, "-extfile", self.file(f"{name}.ext"), "-out", self.file(f"{name}.crt"))

    def kubeconfig(self, name: str, server: str) -> str:
        """What the holder of that certificate talks to the API server with."""
        def data(file: str) -> str:
            return base64.b64encode(self.file(file).read_bytes()).decode()
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}],
            "clusters": [{"name": "cluster", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
            "users": [{"name": name, "user": {"client-certificate-data": data(f"{name}.crt"),
                                              "client-key-data": data(f"{name}.key")}}]})
