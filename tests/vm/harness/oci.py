# SPDX-License-Identifier: Apache-2.0
"""Container images made of files of this machine: no registry is asked.

An image is one layer in an OCI layout, in a tar file as `ctr images import` takes it.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from . import paths

IMAGES = paths.BUILD / "images"


@dataclass
class Tree:
    """What is in an image: files by their path there."""

    files: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)  # with their modes

    def program(self, place: str, source: Path) -> None:
        """A program and the libraries it is linked with, where its loader looks for them."""
        self.files[place] = source
        for library in libraries(source):
            self.files[library] = Path(library).resolve()


def libraries(program: Path) -> list[str]:
    """None of a static program."""
    run = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    found = []
    for word in run.stdout.split():
        if word.startswith("/"):
            found.append(word.rstrip(":"))
    return found


def add_entry(tar: tarfile.TarFile, name: str, data: bytes | None = None, mode: int = 0o755,
              link: str = "") -> None:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.mode = mode
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif data is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(data)
    tar.addfile(info, io.BytesIO(data) if data is not None else None)


def layer_of(tree: Tree) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        parents = set()
        for path in [*tree.files, *tree.texts, *tree.links, *tree.directories]:
            parents.update(str(parent) for parent in Path(path).parents)
        for directory in sorted((parents | set(tree.directories)) - {"/", "."}):
            add_entry(tar, directory, mode=tree.directories.get(directory, 0o755))
        for path, source in tree.files.items():
            add_entry(tar, path, source.read_bytes())
        for path, text in tree.texts.items():
            add_entry(tar, path, text.encode(), 0o644)
        for path, target in tree.links.items():
            add_entry(tar, path, link=target)
    return out.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_image(path: Path, name: str, tree: Tree, command: list[str]) -> None:
    """An OCI layout with one image, which the runtime will call `name`."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, media: str) -> dict:
        blobs[digest(data)] = data
        return {"mediaType": f"application/vnd.oci.image.{media}",
                "digest": f"sha256:{digest(data)}", "size": len(data)}

    layer = layer_of(tree)
    config = {"architecture": "amd64", "os": "linux",
              "config": {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/bin"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}"]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "config.v1+json"),
                "layers": [blob(layer, "layer.v1.tar")]}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "manifests": [entry]}
    # Cases, and guests of one case, may make the same one at once.
    new = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    with tarfile.open(new, "w") as tar:
        add_entry(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644)
        add_entry(tar, "index.json", json.dumps(index).encode(), 0o644)
        for name_, data in blobs.items():
            add_entry(tar, f"blobs/sha256/{name_}", data, 0o644)
    new.rename(path)


BUSYBOX = Path("/usr/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "ls", "true", "false", "echo", "wget", "nc", "ip", "ps", "kill",
           "mkdir", "date", "head")

NGINX_CONF = """
user root;
daemon off;
master_process off;
error_log stderr;
pid /run/nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    server {
        listen 80 backlog=128;
        listen [::]:80 ipv6only=on backlog=128;
        location / { root /www; }
    }
}
"""


def page(size: int = 1 << 20) -> str:
    """What nginx has in /www/page: text in which every line is another."""
    line = "{:07d} steer\n"
    return "".join(line.format(number) for number in range(size // len(line.format(0))))


def pod_tree() -> Tree:
    tree = Tree(directories={"/tmp": 0o1777, "/run": 0o755, "/var/log/nginx": 0o755,
                             "/var/lib/nginx/body": 0o755, "/proc": 0o555, "/sys": 0o555,
                             "/dev": 0o755})
    tree.program("/bin/busybox", BUSYBOX)
    tree.links.update({f"/bin/{applet}": "busybox" for applet in APPLETS})
    # Debian's redis-tools has the server too, which goes by the name it is called.
    tree.program("/usr/bin/redis-server", Path("/usr/bin/redis-check-rdb"))
    for name in ("redis-cli", "redis-benchmark"):
        tree.program(f"/usr/bin/{name}", Path(f"/usr/bin/{name}"))
    tree.program("/usr/sbin/nginx", paths.containers_dir() / "usr/sbin/nginx")
    tree.program("/usr/bin/transfer", paths.built(paths.PROGRAMS / "transfer_static"))
    tree.texts.update({
        "/etc/passwd": "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
        "/etc/nginx/nginx.conf": NGINX_CONF,
        "/www/page": page(),
    })
    return tree


def sandbox_tree() -> Tree:
    tree = Tree()
    tree.program("/sandbox", paths.built(paths.PROGRAMS / "sandbox"))
    return tree


def state_of(tree: Tree) -> str:
    """Twelve digits that change when the image would."""
    parts = [f"{place} {source} {source.stat().st_size} {source.stat().st_mtime_ns}"
             for place, source in sorted(tree.files.items())]
    parts += [repr(sorted(each.items())) for each in (tree.texts, tree.links, tree.directories)]
    return digest(("\n".join(parts) + Path(__file__).read_text()).encode())[:12]


def image(name: str, tree: Tree, command: list[str]) -> Path:
    """The file of image `name` ("localhost/pod:1"), made anew only when something changed."""
    stem = name.split("/")[-1].split(":")[0]
    path = IMAGES / f"{stem}-{state_of(tree)}.tar"
    if not path.exists():
        IMAGES.mkdir(parents=True, exist_ok=True)
        for old in IMAGES.glob(f"{stem}-*.tar"):
            old.unlink(missing_ok=True)
        write_image(path, name, tree, command)
    return path
