# SPDX-License-Identifier: Apache-2.0
"""The agent as the container that deploy/kubernetes describes."""

import re
import signal

from harness import pod, paths, traffic
from harness.agent import LOG
from harness.case import case, expect, expect_equal, wait_until

MANIFEST = paths.REPO / "deploy" / "kubernetes" / "smc-steer.yaml"
WEB = "/sys/fs/cgroup/kubepods/burstable/podweb"


def in_web(guest, words: list[str], netns: str = ""):
    """A program of a pod's control group."""
    enter = f"ip netns exec {netns} " if netns else ""
    return guest.spawn(f"mkdir -p {WEB} && echo $$ >{WEB}/cgroup.procs && "
                       f"exec {enter}{' '.join(words)}")


def expect_accelerated(client, server, netns: str = "") -> None:
    before = traffic.counters(client, netns)
    address = server.ip4
    process = in_web(client, traffic.transfer_argv(address, 4 << 20), netns)
    code = process.wait(60)
    report = traffic.transfer_result(code, process.out + process.err, f"{client.name}: transfer")
    made = traffic.counters(client, netns) - before
    expect_equal((report["protocol"], made.client), (256, 1), "SO_PROTOCOL and SMC-D connections")


@case("deploy", "agent-as-a-pod", agent=False, timeout=150, memory_mb=768)
def agent_as_a_pod(lab):
    """The image runs by runc with the manifest's capabilities, mounts, seccomp and no privileges,
    in two guests: pods are accelerated, namespaces found, counters kept over a restart, settings
    put back; a device that is only mounted cannot be opened.
    """
    server, client = lab.guests
    manifest = pod.objects(MANIFEST.read_text())
    for guest in lab.guests:
        # The node's part: modules, which the agent does not load, and a container runtime's place.
        # systemd has mounts propagate; containers see what is mounted later.
        guest.check("modprobe -a smc ivpci && mkdir -p /run/containerd && mount --make-rshared /")
    wmem = client.check("sysctl -n net.smc.wmem").strip()

    # What a hostPath for the device comes to: idle, alive, not ready.
    lab.agents[1].process = pod.run(client, manifest, LOG, granted=False)
    lab.agents[1].wait_state("idle")
    reason = lab.agents[1].status()["reason"]
    expect("device control group" in reason, f"the device was not refused: {reason}")
    expect_equal(pod.execute(client, "/usr/sbin/smc-policy", "status", "--brief").code, 3,
                 "exit code of status --brief in the idle container")
    client.check(["runc", "kill", pod.NAME, "TERM"])
    expect_equal(lab.agents[1].process.wait(20), 0, "exit code after SIGTERM")

    for agent in lab.agents:
        agent.process = pod.run(agent.guest, manifest, LOG)
    for agent in lab.agents:
        agent.wait_state("active", 2)
    status = client.check("cat /proc/$(pidof smc-agent)/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    expect_equal((int(fields["CapEff"], 16).bit_count(), fields["NoNewPrivs"], fields["Seccomp"]),
                 (6, "1", "2"), "capabilities, no new privileges, seccomp filter")

    # It is process 1 in there; BPF programs know it by another number, and leave its sockets alone.
    known = client.check(["bpftool", "--json", "map", "dump", "name", "control"])
    pids = re.findall(r'"agent_tgid": ?(\d+)', known)
    expect_equal(pids, [client.check("pidof smc-agent").strip()], f"process id of the agent ({known})")

    traffic_server = in_web(server, [str(paths.built(traffic.TRANSFER)), "serve", "0.0.0.0",
                                     str(traffic.TRANSFER_PORT)])
    traffic_server.wait_output("listening", 20)
    expect_accelerated(client, server)

    # A pod's network namespace, as CNI makes it, and one that only a process has.
    before = lab.agents[1].status()["netns"]
    client.check("ip netns add cni-1 && ip link add pod0 type veth peer name eth0 netns cni-1 && "
                 "ip -n cni-1 addr add 10.99.0.2/24 dev eth0 && ip -n cni-1 link set eth0 up && "
                 "ip addr add 10.99.0.1/24 dev pod0 && ip link set pod0 up")
    client.spawn(["unshare", "--net", "sleep", "600"])
    wait_until(lambda: lab.agents[1].status()["netns"], lambda count: count == before + 2, 10,
               "namespaces covered")
    in_pod = client.check(["ip", "netns", "exec", "cni-1", "sysctl", "-n", "net.smc.wmem"]).strip()
    expect_equal(in_pod, str(1 << 20), "net.smc.wmem in a pod's namespace")

    # In the container, as kubectl exec does; there is no shell to be had.
    run = pod.execute(client, "/usr/sbin/smc-policy", "status")
    expect(run.code == 0 and "active" in run.out, f"status in the container: {run.out}{run.err}")
    doctor = pod.execute(client, "/usr/sbin/smc-policy", "doctor")
    expect("BAD" not in doctor.out and doctor.code == 0, f"doctor in the container: {doctor.out}")
    expect(pod.execute(client, "/bin/sh", "-c", "true").code != 0, "there is a shell in the image")

    # A changed ConfigMap, as kubelet brings it, is in force without a restart.
    files = {name: text for each in ("agent", "policy") for name, text in
             pod.find(manifest, "ConfigMap", f"smc-steer-{each}")["data"].items()}
    rules = len(lab.agents[1].ask("rules")["rules"])
    changed = files["policy.yaml"].replace("rules:\n", "rules:\n- {action: deny, ports: 7777}\n")
    pod.write_volume(client, "config", {**files, "policy.yaml": changed})
    wait_until(lambda: lab.agents[1].ask("rules"),
               lambda answer: len(answer["rules"]) == rules + 1 and not answer["last_error"], 10,
               "rules of the changed ConfigMap")

    # Rolled: TERM, then the next. What was changed is put back in between.
    steered = lab.agents[1].status()["counters"]["sockets_steered"]
    expect(steered >= 1, f"{steered} sockets steered")
    client.check(["runc", "kill", pod.NAME, "TERM"])
    expect_equal(lab.agents[1].process.wait(20), 0, "exit code after SIGTERM")
    expect_equal(client.check("sysctl -n net.smc.wmem").strip(), wmem, "wmem after the end")
    lab.agents[1].process = pod.run(client, manifest, LOG)
    lab.agents[1].wait_state("active", 2)
    expect_accelerated(client, server)

    # Killed: the next one takes over, with the maps it pinned on the node.
    lab.agents[1].process.signal(signal.SIGKILL)
    client.check(["runc", "delete", "--force", pod.NAME])
    pinned = client.check("ls /sys/fs/bpf/smc-steer/*").split()
    expect(pinned, "nothing is pinned on the node")
    lab.agents[1].process = pod.run(client, manifest, LOG)
    lab.agents[1].wait_state("active", 2)
    expect(lab.agents[1].status()["counters"]["sockets_steered"] >= 1,
           "the counters of the killed agent are lost")
    expect_accelerated(client, server)
    log = client.check(["cat", LOG])
    bad = [line for line in log.splitlines() if ": error:" in line]
    expect(not bad, f"the agents complained: {bad}")
