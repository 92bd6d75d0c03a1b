# SPDX-License-Identifier: Apache-2.0
"""A container of a Kubernetes manifest in a guest, by runc: what kubelet and a container runtime
make of the manifest's words is made here, as an OCI runtime configuration.

The device of the device plugin is put in as kubelet has it put in; seccomp is Debian's copy of the
default profile of podman and CRI-O (containerd's is its sibling and not a file).
"""

import json
import stat
from pathlib import Path

import yaml

from . import image
from .channel import Process
from .guest import Guest

SECCOMP = Path("/usr/share/containers/seccomp.json")
BUNDLE = "/run/bundle"
NAME = "agent"
# What containerd and CRI-O mount and hide for every container.
MOUNTS = [
    ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
    ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777"]),
    ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
]
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
             "/proc/sysrq-trigger"]
PROPAGATION = {None: "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}


def objects(text: str) -> list[dict]:
    return [each for each in yaml.safe_load_all(text) if each]


def find(manifest: list[dict], kind: str, name: str) -> dict:
    (found,) = [each for each in manifest
                if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def capabilities(container: dict) -> list[str]:
    context = container["securityContext"]
    if context["privileged"] or context["capabilities"]["drop"] != ["ALL"]:
        raise AssertionError(f"capabilities are not named: {context}")
    return ["CAP_" + name for name in context["capabilities"]["add"]]


def seccomp(held: list[str]) -> dict:
    """The default profile for a container with these capabilities."""
    profile = json.loads(SECCOMP.read_text())

    def applies(rule: dict) -> bool:
        wants, without = rule.get("includes") or {}, rule.get("excludes") or {}
        return (set(wants.get("caps", [])) <= set(held)
                and not set(without.get("caps", [])) & set(held)
                and "amd64" in wants.get("arches", ["amd64"])
                and "amd64" not in without.get("arches", []))
    calls = []
    for rule in filter(applies, profile["syscalls"]):
        call = {"names": rule["names"], "action": rule["action"]}
        if rule.get("args"):
            call["args"] = rule["args"]
        if rule["action"] == "SCMP_ACT_ERRNO" and "errnoRet" in rule:
            call["errnoRet"] = rule["errnoRet"]
        calls.append(call)
    return {"defaultAction": profile["defaultAction"],
            "defaultErrnoRet": profile["defaultErrnoRet"],
            "architectures": ["SCMP_ARCH_X86_64"], "syscalls": calls}


def write_volume(guest: Guest, name: str, files: dict[str, str]) -> str:
    """As kubelet does it: each file is a link through ..data, which is exchanged as a whole. The
    volume's directory.
    """
    directory = f"/run/volumes/{name}"
    old = guest.run(["readlink", f"{directory}/..data"]).out.strip()
    new = "..2" if old == "..1" else "..1"
    for file, text in files.items():
        guest.put(f"{directory}/{new}/{file}", text)
    links = "; ".join(f"ln -sf ..data/{file} {file}" for file in files)
    guest.check(f"cd {directory} && ln -s {new} ..data_tmp && mv -T ..data_tmp ..data && {links}; "
                f"rm -rf {old or '..none'}")
    return directory


def volume_mounts(guest: Guest, manifest: list[dict], pod: dict, container: dict) -> list[dict]:
    """Host paths are bound as they are; what is made of ConfigMaps is written into the guest."""
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounts = []
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "hostPath" in volume:
            source = volume["hostPath"]["path"]
            if volume["hostPath"]["type"] == "DirectoryOrCreate":
                guest.check(["mkdir", "-p", source])
        else:
            files = {}
            for each in volume["projected"]["sources"]:
                files |= find(manifest, "ConfigMap", each["configMap"]["name"])["data"]
            if "agent.yaml" in files:
                files["agent.yaml"] += guest.trust
            source = write_volume(guest, mount["name"], files)
        options = ["rbind", PROPAGATION[mount.get("mountPropagation")],
                   "ro" if mount.get("readOnly") else "rw"]
        mounts.append({"destination": mount["mountPath"], "type": "bind", "source": source,
                       "options": options})
    return mounts


def device_of(guest: Guest, name: str) -> dict:
    text = guest.check(["stat", "-c", "%F:%Hr:%Lr", f"/dev/{name}"])
    kind, major, minor = text.strip().split(":")
    if kind != "character special file":
        raise AssertionError(f"/dev/{name} is a {kind}")
    return {"path": f"/dev/{name}", "type": "c", "major": int(major), "minor": int(minor),
            "fileMode": stat.S_IFCHR | 0o600, "uid": 0, "gid": 0}


def configuration(guest: Guest, manifest: list[dict], granted: bool) -> dict:
    """config.json of the agent. `granted`: the device plugin's device is in it; else its file is
    only bound, as a hostPath would.
    """
    pod = find(manifest, "DaemonSet", "smc-steer-agent")["spec"]["template"]["spec"]
    (container,) = [each for each in pod["containers"] if each["name"] == "agent"]
    context = container["securityContext"]
    held = capabilities(container)
    config = json.loads((image.built() / "bundle" / "config.json").read_text())
    mounts = {each[0]: {"destination": each[0], "type": each[1], "source": each[2],
                        "options": each[3]} for each in MOUNTS}
    for mount in volume_mounts(guest, manifest, pod, container):
        mounts[mount["destination"]] = mount
    device = device_of(guest, "ivpci0")
    rules = [{"allow": False, "access": "rwm"}]
    if granted:
        rules.append({"allow": True, "type": "c", "major": device["major"],
                      "minor": device["minor"], "access": "rw"})
    else:
        mounts[device["path"]] = {"destination": device["path"], "type": "bind",
                                  "source": device["path"], "options": ["rbind", "rprivate"]}
    namespaces = ["pid", "ipc", "mount", "cgroup"]
    if not pod["hostNetwork"]:
        namespaces += ["network", "uts"]
    if pod["hostPID"]:
        namespaces.remove("pid")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": pod["securityContext"]["runAsUser"],
                     "gid": pod["securityContext"]["runAsGroup"]},
            "args": config["process"]["args"],
            "env": config["process"]["env"] + [f"{each['name']}={each['value']}"
                                               for each in container["env"]],
            "cwd": "/",
            "capabilities": {name: held for name in
                             ("bounding", "effective", "permitted")},
            "noNewPrivileges": not context["allowPrivilegeEscalation"],
        },
        "root": {"path": "rootfs", "readonly": context["readOnlyRootFilesystem"]},
        # A mount within another's directory comes after it.
        "mounts": sorted(mounts.values(), key=lambda mount: mount["destination"].count("/")),
        "linux": {
            "namespaces": [{"type": name} for name in namespaces],
            "cgroupsPath": "/kubepods/burstable/podsmc/agent",
            "resources": {"devices": rules},
            "devices": [device] if granted else [],
            "maskedPaths": MASKED, "readonlyPaths": READ_ONLY,
            "seccomp": seccomp(held),
        },
    }


def run(guest: Guest, manifest: list[dict], log: str, granted: bool = True) -> Process:
    """The agent's container; the process is runc, which ends when the agent does."""
    rootfs = image.built() / "bundle" / "rootfs"
    layers = f"lowerdir={rootfs},upperdir=/run/layers/upper,workdir=/run/layers/work"
    guest.check(f"mkdir -p {BUNDLE}/rootfs /run/layers/upper /run/layers/work; "
                f"mountpoint -q {BUNDLE}/rootfs || "
                f"mount -t overlay -o {layers} overlay {BUNDLE}/rootfs")
    guest.put(f"{BUNDLE}/config.json", json.dumps(configuration(guest, manifest, granted)))
    return guest.spawn(f"exec runc run --bundle {BUNDLE} {NAME} >>{log} 2>&1 </dev/null")


def execute(guest: Guest, *words: str):
    """As kubectl exec does."""
    return guest.run(["runc", "exec", NAME, *words])
