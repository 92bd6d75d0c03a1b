# SPDX-License-Identifier: Apache-2.0
"""Real containers: Debian's containerd and runc, pods with network namespaces of their own."""

import json
import re

from harness import containers, oci, paths, traffic
from harness.case import case, expect, expect_equal, wait_until
from harness.containers import Pod, Runtime, accelerated, start_runtimes

PORT = traffic.TRANSFER_PORT
SERVE = ["/usr/bin/transfer", "serve", "::", str(PORT)]
# Steered are containers, as by default; pods say for themselves what they want.
CONFIG = "cri: unix://{socket}\npods: {{default: {default}}}\nshort_connections: off\n"


def start_agents(lab, default: str = "on") -> None:
    config = CONFIG.format(socket=containers.SOCKET, default=default)
    for guest, agent in zip(lab.guests, lab.agents, strict=True):
        guest.configure_agent(config)
        agent.launch_ready()
    for agent in lab.agents:
        agent.wait_state("active", 2)


def wait_published(agent, *pods: Pod) -> None:
    """Until this agent knows the addresses of the other guest's pods, and may connect to them."""
    wanted = {pod.ip4 for pod in pods}

    def known() -> set[str]:
        peers = agent.ask("peers")["peers"]
        return {address for peer in peers if peer["link"] == "up" for address in peer["addresses"]}
    wait_until(known, wanted.issubset, 15, f"{agent.guest.name} does not know {wanted}")


def wait_listening(runtime: Runtime, pod: Pod, port: int) -> None:
    look = f"ip netns exec {pod.netns} ss -Hltn sport = :{port}" if pod.netns else (
        f"ss -Hltn sport = :{port}")
    wait_until(lambda: runtime.guest.check(look).strip(), bool, 60,
               f"{pod.name} does not listen on {port}")


def smcd_during(client: tuple[Runtime, Pod], server: tuple[Runtime, Pod], action) -> tuple[int, int]:
    """SMC-D connections that the client's and the server's namespace counted meanwhile."""
    ends = (client, server)
    before = [traffic.counters(runtime.guest, pod.netns) for runtime, pod in ends]
    action()
    made, accepted = [traffic.counters(runtime.guest, pod.netns) - old
                      for (runtime, pod), old in zip(ends, before, strict=True)]
    return made.client, accepted.server


def expect_transfer(client: tuple[Runtime, Pod], server: tuple[Runtime, Pod], smc: bool,
                    address: str = "") -> None:
    """A mebibyte there and back, every byte checked."""
    runtime, pod = client
    to = address or server[1].ip4
    found = smcd_during(client, server, lambda: runtime.check(
        pod, "/usr/bin/transfer", "send", to, str(PORT), str(1 << 20)))
    expect_equal(found, (int(smc), int(smc)), f"SMC-D connections from {pod.name} to "
                                              f"{server[1].name} ({to})")


def redis_works(client: tuple[Runtime, Pod], server: Pod) -> None:
    """What was stored is what comes back, and a benchmark of both ways."""
    runtime, pod = client
    value = "".join(f"{number:06d}" for number in range(2000))
    redis = ["/usr/bin/redis-cli", "-h", server.ip4]
    expect_equal(runtime.check(pod, *redis, "set", "steer", value).strip(), "OK", "redis' answer")
    expect_equal(runtime.check(pod, *redis, "get", "steer").strip(), value, "what redis kept")
    told = runtime.check(pod, "/usr/bin/redis-benchmark", "-h", server.ip4, "-q", "-c", "4",
                         "-n", "400", "-d", "4096", "-t", "set,get", "--csv")
    expect_equal(len(re.findall(r'^"[SG]ET"', told, re.M)), 2, f"results of {told!r}")


def nginx_works(client: tuple[Runtime, Pod], server: Pod) -> None:
    runtime, pod = client
    got = runtime.check(pod, "/bin/wget", "-q", "-O", "-", f"http://{server.ip4}/page")
    expect(got == oci.page(), f"nginx sent {len(got)} bytes, and not the page")


REDIS = ["/usr/bin/redis-server", "--protected-mode", "no", "--save", "", "--bind", "0.0.0.0"]
NGINX = ["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"]


@case("containers", "pods", agent=False, timeout=420, memory_mb=1024)
def pods(lab):
    """redis and nginx between pods of two guests: SMC-D for pods that are selected, TCP for those
    that opted out, checked by contents; IPv6; a pod that is made again with the other annotation; a
    pod in the guest's own network namespace; the node's default off.
    """
    a, b = start_runtimes(lab)
    start_agents(lab)
    redis, nginx, plain, client, refuser = servers_and_clients(a, b)
    for agent, theirs in ((lab.agents[1], (redis, nginx, plain)), (lab.agents[0], (client,))):
        wait_published(agent, *theirs)
    used = smcd_during((b, client), (a, redis), lambda: redis_works((b, client), redis))
    expect(used[0] == used[1] > 4, f"redis over SMC-D: {used} connections")
    used = smcd_during((b, client), (a, nginx), lambda: nginx_works((b, client), nginx))
    expect_equal(used, (1, 1), "nginx' connections over SMC-D")
    used = smcd_during((b, refuser), (a, redis), lambda: redis_works((b, refuser), redis))
    expect_equal(used, (0, 0), "SMC-D connections of a pod that opted out")
    expect_transfer((b, client), (a, plain), False)

    # Made again, with the other word, under the same name.
    b.stop(refuser)
    refuser.annotations = accelerated(True)
    b.run(refuser)
    a.stop(plain)
    plain.annotations = {}
    a.run(plain)
    wait_listening(a, plain, PORT)
    wait_published(lab.agents[1], plain)
    wait_published(lab.agents[0], refuser)
    expect_transfer((b, refuser), (a, plain), True)
    expect_transfer((b, refuser), (a, plain), True, plain.ip6)
    flows_of_pods(lab, b, client, plain)
    host_network(a, b, lab)
    default_off(lab, a, b, client, plain)


def servers_and_clients(a: Runtime, b: Runtime) -> list[Pod]:
    redis = Pod("redis", REDIS, accelerated(True))
    nginx = Pod("nginx", NGINX)
    plain = Pod("plain", SERVE, accelerated(False))
    client = Pod("client", containers.SLEEP)
    refuser = Pod("refuser", containers.SLEEP, accelerated(False))
    a.run(redis, nginx, plain)
    b.run(client, refuser)
    for pod, port in ((redis, 6379), (nginx, 80), (plain, PORT)):
        wait_listening(a, pod, port)
    return [redis, nginx, plain, client, refuser]


def flows_of_pods(lab, b: Runtime, client: Pod, server: Pod) -> None:
    """smc-policy flows shows a pod's connection with its control group."""
    b.guest.check(f"ip netns exec {client.netns} true")
    hold = b.guest.spawn([str(paths.built(containers.PODS)), "exec", client.container,
                          "/usr/bin/transfer", "hold", server.ip4, str(PORT), "1"])
    try:
        flows = wait_until(
            lambda: [flow for flow in lab.agents[1].ask("flows")["flows"]
                     if flow["peer"].startswith(f"{server.ip4}:")], bool, 20, "no flow of the pod")
    finally:
        hold.kill()
    expect_equal([flow["mode"] for flow in flows], ["SMC-D"], "the flow's mode")
    expect(f"pod{client.uid}" in flows[0]["workload"], f"the flow's workload: {flows[0]}")


def host_network(a: Runtime, b: Runtime, lab) -> None:
    """A pod in the guest's own network namespace."""
    server = Pod("host-server", SERVE, host_network=True)
    client = Pod("host-client", containers.SLEEP, host_network=True)
    a.run(server)
    b.run(client)
    wait_listening(a, server, PORT)
    expect_transfer((b, client), (a, server), True)
    a.stop(server)
    b.stop(client)


def default_off(lab, a: Runtime, b: Runtime, client: Pod, server: Pod) -> None:
    """With the default off only pods that opt in are steered."""
    config = CONFIG.format(socket=containers.SOCKET, default="off")
    for agent in lab.agents:
        expect_equal(agent.stop(), 0, "exit code after SIGTERM")
        agent.guest.configure_agent(config)
        agent.start()
    eager = Pod("eager", SERVE, accelerated(True))
    eager_client = Pod("eager-client", containers.SLEEP, accelerated(True))
    a.run(eager)
    b.run(eager_client)
    wait_listening(a, eager, PORT)
    wait_published(lab.agents[1], eager, server)
    wait_published(lab.agents[0], eager_client)
    expect_transfer((b, client), (a, server), False)
    expect_transfer((b, client), (a, eager), False)
    expect_transfer((b, eager_client), (a, eager), True)


FIRST = "first"
ROUNDS = 5


@case("containers", "first-connection", agent=False, timeout=300, long_timeout=900,
      memory_mb=1024)
def first_connection(lab):
    """A pod whose first act is to connect is accelerated; so is one of plain runc, without CRI.
    Reports how many were, and what the agent measured.
    """
    a, b = start_runtimes(lab)
    start_agents(lab)
    server = Pod("server", SERVE)
    a.run(server)
    wait_listening(a, server, PORT)
    wait_published(lab.agents[1], server)
    rounds = 30 if lab.long else ROUNDS
    before = traffic.counters(a.guest, server.netns)
    for number in range(rounds):
        # One connection, then nothing, so that there is something to look at.
        pod = Pod(f"first-{number}", ["/bin/sh", "-c",
                                      f"transfer send {server.ip4} {PORT} 65536 && sleep 1000"])
        b.run(pod)
        wait_until(lambda each=pod: traffic.counters(b.guest, each.netns).tcp_opens, bool, 60,
                   f"{pod.name} did not connect")
        b.stop(pod)
    accepted = (traffic.counters(a.guest, server.netns) - before).server
    lab.progress(f"first connections over SMC-D: {accepted} of {rounds}; "
                 f"coverage: {json.dumps(lab.agents[1].status()['coverage'])}")
    expect_equal(accepted, rounds, "first connections over SMC-D")
    plain_runc(lab, b, (a, server))


RUNC = "/run/plain"


def plain_runc(lab, b: Runtime, server: tuple[Runtime, Pod]) -> None:
    """A container that no CRI knows: runc itself, in a control group as podman names them."""
    guest = b.guest
    image = oci.image(containers.POD_IMAGE, oci.pod_tree(), containers.SLEEP)
    spec = {
        "ociVersion": "1.0.2", "hostname": "plain",
        "process": {"args": ["transfer", "send", guest_target(server[1]), str(PORT), "65536"],
                    "cwd": "/", "env": ["PATH=/usr/sbin:/usr/bin:/bin"],
                    "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"cgroupsPath": f"/machine.slice/libpod-{'5' * 64}.scope",
                  "namespaces": [{"type": kind} for kind in ("pid", "mount", "uts", "ipc")]},
    }
    guest.put(f"{RUNC}/config.json", json.dumps(spec))
    # The layer is the largest of the image's blobs.
    guest.check(f"""set -e
        mkdir -p {RUNC}/rootfs {RUNC}/image
        tar -C {RUNC}/image -xf {image}
        tar -C {RUNC}/rootfs -xf "$(ls -S {RUNC}/image/blobs/sha256/* | head -1)" """)
    before = traffic.counters(guest), traffic.counters(server[0].guest, server[1].netns)
    told = json.loads(guest.check(f"runc run --bundle {RUNC} plain"))
    expect_equal(told["bytes"], 65536, "bytes there and back")
    made = traffic.counters(guest) - before[0]
    accepted = traffic.counters(server[0].guest, server[1].netns) - before[1]
    expect_equal((made.client, accepted.server), (1, 1), "SMC-D connections of plain runc")


def guest_target(pod: Pod) -> str:
    return pod.ip4


def left_behind(runtime: Runtime) -> dict:
    """What containers use up in a guest."""
    guest = runtime.guest
    maps = "for m in workloads policy_subjects; do bpftool map dump pinned $m -j 2>/dev/null; done"
    return {
        "network namespaces": int(guest.check("ls /run/netns | wc -l")),
        "pods": len(runtime.list()),
        "control groups": int(guest.check("find /sys/fs/cgroup/kubepods -type d | wc -l")),
        "devices": int(guest.check("ls /sys/class/net | wc -l")),
        "DMBs": traffic.counters(guest).dmbs,
        "workloads": guest.check(
            f"cd /sys/fs/bpf/smc-steer/abi-* && {maps}").count('"key"'),
    }


@case("containers", "containers-come-and-go", agent=False, timeout=420, long_timeout=1800,
      memory_mb=1024)
def containers_come_and_go(lab):
    """Two hundred containers (four in the short form) start, connect and end, while two other
    pods talk without an error; nothing of them stays.
    """
    a, b = start_runtimes(lab)
    start_agents(lab)
    server, client = Pod("server", SERVE), Pod("client", containers.SLEEP)
    a.run(server)
    b.run(client)
    wait_listening(a, server, PORT)
    wait_published(lab.agents[1], server)
    wait_published(lab.agents[0], client)
    count, at_once = (200, 10) if lab.long else (4, 2)
    # The first of all leave what is made once: the bridge's settings, kernel caches, groups.
    b.stop(*b.run(Pod("warm", containers.SLEEP)))
    before = left_behind(b)
    seen = traffic.counters(a.guest, server.netns)
    loop = b.guest.spawn(
        [str(paths.built(containers.PODS)), "exec", client.container, "/bin/sh", "-c",
         f"n=0; while [ ! -e /tmp/stop ]; do transfer send {server.ip4} {PORT} 1000000 >/dev/null "
         "|| exit 1; n=$((n + 1)); done; echo $n"])
    for start in range(0, count, at_once):
        batch = [Pod(f"short-{start + number}",
                     ["/bin/sh", "-c", f"transfer send {server.ip4} {PORT} 65536; sleep 1000"],
                     accelerated(number % 2 == 0)) for number in range(at_once)]
        b.run(*batch)
        b.stop(*batch)
    b.check(client, "/bin/sh", "-c", "echo >/tmp/stop")
    expect_equal(loop.wait(60), 0, f"exit code of the traffic: {loop.err.decode()}")
    rounds = int(loop.out.decode().split()[-1])
    accepted = (traffic.counters(a.guest, server.netns) - seen).server
    lab.progress(f"{count} containers came and went beside {rounds} transfers; {accepted} "
                 "connections over SMC-D")
    expect(accepted >= rounds > 0, f"{accepted} connections over SMC-D of {rounds} transfers")
    # SMC keeps the buffers of closed connections for the next ones, as many as were open at once.
    spare = at_once + 1
    wait_until(lambda: left_behind(b),
               lambda now: {**now, "DMBs": before["DMBs"]} == before
               and now["DMBs"] <= before["DMBs"] + spare, 20,
               f"not what it was before ({before}, but for {spare} spare DMBs)")
