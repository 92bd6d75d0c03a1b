# SPDX-License-Identifier: Apache-2.0
"""Addresses that are rewritten on the way: what counts is what the SYN carries in the end."""

import json
import re
import subprocess

from harness import net, paths, smcd, traffic
from harness.capture import Capture, Syn, parse_pcap
from harness.case import case, expect, expect_equal, wait_until
from harness.containers import subnet4, subnet6
from harness.services import (PORT, SERVICES4, SERVICES6, FakePod, make_pod, rewrite, service4,
                              service6)

GUARD_PROBE = paths.PROGRAMS / "guard_probe"
REWRITE = paths.PROGRAMS / "rewrite"
BACKEND = traffic.TRANSFER_PORT  # where backends listen
SIZE = 1 << 20


def expect_made(client: FakePod, server: FakePod, smc: bool, address: str, port: int = PORT) -> None:
    """One checked transfer from pod to pod; is it SMC-D, by the counters of both namespaces."""
    before = [traffic.counters(each.guest, each.netns) for each in (client, server)]
    traffic.transfer(client.guest, address, SIZE, port=port, netns=client.netns)
    made, accepted = [traffic.counters(each.guest, each.netns) - old
                      for each, old in zip((client, server), before, strict=True)]
    expect_equal((made.client, accepted.server), (int(smc), int(smc)),
                 f"SMC-D connections made and accepted, to {address}")


def plain(client: FakePod, address: str, port: int = PORT) -> None:
    """One checked transfer that is TCP."""
    before = traffic.counters(client.guest, client.netns)
    traffic.transfer(client.guest, address, SIZE, port=port, netns=client.netns)
    made = traffic.counters(client.guest, client.netns) - before
    expect_equal(made.client, 0, f"SMC-D connections made to {address}")


def offers(syns: list[Syn]) -> list[str]:
    """Where SYNs with option 254 went."""
    return sorted({syn.destination for syn in syns if syn.smc and not syn.answer})


def expect_no_strangers(capture: Capture, friends: list[str]) -> None:
    """Option 254 went to nobody but the addresses of `friends`."""
    strangers = set(offers(capture.syns)) - set(friends)
    expect(not strangers, f"option 254 left for {strangers}")


def outsiders(guests) -> list[subprocess.Popen]:
    """Backends that are no guest: the host on the bridge, which knows the way to the pods."""
    for guest in guests:
        net.ip("route", "add", subnet4(guest.number), "via", guest.ip4)
        net.ip("-6", "route", "add", subnet6(guest.number), "via", guest.ip6)
    program = str(paths.built(traffic.TRANSFER))
    return [subprocess.Popen([program, "serve", address, str(BACKEND)],
                             stdout=subprocess.DEVNULL) for address in (net.HOST4, net.HOST6)]


@case("containers", "services-rewritten-by-others", timeout=90)
def services_rewritten_by_others(lab):
    """Without a word in agent.yaml: a connection that netfilter rewrites works and is TCP, and no
    option 254 leaves for an address that is no peer's; one that is rewritten in connect() is SMC-D;
    and so is one to a guest's own address that is rewritten where it arrives. The guard of services
    knows SYNs of all shapes.
    """
    server, client = [make_pod(guest, lab.guests) for guest in lab.guests]
    addresses = 6  # the guest's, the pod's, and the gateway's of the pod: IPv4; IPv6 without
    for agent in lab.agents:
        agent.wait_state("active", addresses - 1)
    rewrite(client.guest, [(service4(1), PORT, server.ip4, BACKEND),
                           (service6(1), PORT, server.ip6, BACKEND),
                           (service4(2), PORT, net.HOST4, BACKEND)])
    rewrite(server.guest, [(server.guest.ip4, 8080, server.ip4, BACKEND)])
    for address in (server.ip4, server.ip6):
        traffic.transfer_server(server.guest, address, BACKEND, netns=server.netns)
    looked = client.guest.check([str(paths.built(GUARD_PROBE))])
    expect(int(looked) > 50, f"guard_probe looked at {looked} packets")
    hosts = outsiders(lab.guests)
    with Capture() as capture:
        plain(client, service4(1))
        plain(client, service6(1))
        plain(client, service4(2))
    syns = capture.to_port(BACKEND)
    expect_equal(sorted(syn.destination for syn in syns),
                 sorted([server.ip4, server.ip6, net.HOST4]), "where rewritten SYNs went")
    expect_equal(offers(capture.syns), [], "where option 254 went")

    with Capture() as capture:
        expect_made(client, server, True, server.guest.ip4, 8080)
        socket_balancer = client.guest.spawn(
            [str(paths.built(REWRITE)), service4(3), str(PORT), server.ip4, str(BACKEND)])
        socket_balancer.wait_output("rewriting", 30)
        expect_made(client, server, True, service4(3))
    expect_no_strangers(capture, [server.guest.ip4, server.ip4])
    for host in hosts:
        host.kill()
        host.wait()


CONFIG = f"""workloads: all
services: [{SERVICES4}, "{SERVICES6}"]
"""


def start_agents(lab, config: str = CONFIG) -> None:
    for guest, agent in zip(lab.guests, lab.agents, strict=True):
        guest.configure_agent(config)
        agent.launch_ready()
    for agent in lab.agents:
        agent.wait_state("active", 5)
        wait_offered(agent)


def wait_offered(agent) -> None:
    wait_until(lambda: agent.status()["services"], lambda told: told["offered"], 10,
               "services are not offered SMC")


@case("containers", "services", agent=False, timeout=240)
def services(lab):
    """Ranges of services in agent.yaml: a connection through a service is SMC-D if its backend is a
    pod of a linked guest, from pods and from the guest itself, IPv4 and IPv6, masqueraded or not.
    To any other backend it is TCP, and its SYN carries no option: the host, a pod of the same
    guest, a denied port, also when SYNs are sent again, when a device has just appeared, and when
    the agent is killed.
    """
    guests = lab.guests
    server, client = [make_pod(guest, guests) for guest in guests]
    neighbour = make_pod(client.guest, guests, "other", 3)
    start_agents(lab)
    rules = [(service4(1), PORT, server.ip4, BACKEND), (service6(1), PORT, server.ip6, BACKEND),
             (service4(2), PORT, net.HOST4, BACKEND), (service6(2), PORT, net.HOST6, BACKEND),
             (service4(3), PORT, neighbour.ip4, BACKEND),
             (service6(3), PORT, neighbour.ip6, BACKEND)]
    rewrite(client.guest, rules)
    for pod in (server, neighbour):
        for address in (pod.ip4, pod.ip6):
            traffic.transfer_server(pod.guest, address, BACKEND, netns=pod.netns)
    hosts = outsiders(guests)
    friends = [server.ip4, server.ip6]
    # A node has a default route.
    client.guest.check(f"ip route add default via {net.HOST4}; "
                       f"ip -6 route add default via {net.HOST6}")
    root = FakePod(client.guest, "", client.guest.ip4, client.guest.ip6)
    with Capture() as capture:
        for source in (client, root):
            for address in (service4(1), service6(1)):
                expect_made(source, server, True, address)
    expect_equal(offers(capture.syns), sorted(friends), "where option 254 went")

    with Capture() as capture:
        for source in (client, root):
            for number in (2, 3):
                plain(source, service4(number))
                plain(source, service6(number))
    expect_no_strangers(capture, [])
    expect_equal(len([syn for syn in capture.to_port(BACKEND)
                      if syn.destination in (net.HOST4, net.HOST6)]), 4, "SYNs to the host")
    counters = lab.agents[1].status()["counters"]
    expect(counters["guard_taken_off"] >= 8, f"the guard counted {counters['guard_taken_off']}")
    expect(counters["guard_kept"] >= 4, f"the guard kept {counters['guard_kept']}")

    rewrite(client.guest, rules, masquerade=True)
    expect_made(client, server, True, service4(1))
    rewrite(client.guest, rules)

    rules_hold(client, root, server)
    sent_again(client)
    new_devices(lab, client)
    other_ways_out(client)
    agent_killed(lab, client)
    for host in hosts:
        host.kill()
        host.wait()


def remove_rule(guest) -> None:
    """The one that was added by hand; the others are built in."""
    rules = json.loads(guest.check("smc-policy rules --json"))["rules"]
    number, = [rule["number"] for rule in rules if rule["removable"]]
    guest.check(["smc-policy", "remove", str(number)])


def rules_hold(client: FakePod, root: FakePod, server: FakePod) -> None:
    """Rules are about the backend's address and port; of a workload too, whose socket the packet
    does not know any more. What is denied to the service itself is denied.
    """
    for words in (["--peers", server.ip4], [str(BACKEND)], ["--peers", service4(1)], [str(PORT)],
                  ["--peers", server.ip4, "--workload", f"netns:{client.netns}"]):
        client.guest.check(["smc-policy", "deny", *words])
        with Capture() as capture:
            plain(client, service4(1))
        expect_no_strangers(capture, [])
        if "--workload" in words:
            expect_made(root, server, True, service4(1))
        remove_rule(client.guest)
    expect_made(client, server, True, service4(1))


NOBODY = "10.77.0.250"


def sent_again(client: FakePod) -> None:
    """SYNs to a backend that does not answer."""
    client.guest.check(f"""set -e
        ip neigh replace {NOBODY} lladdr 02:00:00:00:02:50 dev eth0 nud permanent
        nft add rule inet services passing ip daddr {service4(4)} tcp dport {PORT} \\
            dnat ip to {NOBODY}:{BACKEND}""")
    with Capture() as capture:
        send = client.guest.spawn(traffic.transfer_argv(service4(4), SIZE, port=PORT,
                                                        netns=client.netns))
        wait_until(lambda: retransmitted(client), lambda count: count >= 2, 20,
                   "SYNs sent again")
        send.kill()
    syns = [syn for syn in capture.to_port(BACKEND) if syn.destination == NOBODY]
    expect(len(syns) >= 3, f"{len(syns)} SYNs were seen")
    expect_equal([syn for syn in syns if syn.smc], [], "SYNs with option 254 to nobody")


def retransmitted(pod: FakePod) -> int:
    """SYNs that its connections have sent again."""
    told = pod.guest.check(f"ip netns exec {pod.netns} ss -Htni state syn-sent")
    return max([int(count) for count in re.findall(r"retrans:\d+/(\d+)", told)], default=0)


def new_devices(lab, client: FakePod) -> None:
    """Devices come while connections are made through them; none lets an option by."""
    guest = client.guest
    pinned = "ls /sys/fs/bpf/smc-steer/guards | wc -l"
    before = int(guest.check(pinned))
    guest.check("""set -e
        ip netns add far
        ip -n far link set lo up""")
    record = guest.spawn(["ip", "netns", "exec", "far", "tcpdump", "-i", "any", "-w",
                          "/run/far.pcap", "-U", "-y", "LINUX_SLL", "-Z", "root",
                          "--immediate-mode", "tcp"])
    guest.check("sleep 2")  # until tcpdump listens
    send = " ".join(traffic.transfer_argv("10.96.0.9", 1000, port=PORT, netns=client.netns))
    serve = " ".join([str(paths.built(traffic.TRANSFER)), "serve", "172.31.0.2", str(BACKEND)])
    guest.check(f"""set -e
        nft add rule inet services passing ip daddr 10.96.0.9 tcp dport {PORT} \\
            dnat ip to 172.31.0.2:{BACKEND}
        for i in 1 2 3 4 5 6 7 8; do
            ip link add up$i type veth peer name eth$i netns far
            ip -n far link set eth$i up
            ip -n far addr add 172.31.0.2/24 dev eth$i
            ip -n far route add {client.ip4} via 172.31.0.1
            [ $i = 1 ] && {{ ip netns exec far {serve} >/dev/null 2>&1 & }}
            ip addr add 172.31.0.1/24 dev up$i
            ip link set up$i up
            for t in {{1..50}}; do {send} >/dev/null && break; sleep 0.1; done
            {send} >/dev/null
            ip link del up$i
        done""", 90)
    record.signal(15)
    record.wait(10)
    syns = parse_pcap(guest.get("/run/far.pcap"))
    arrived = [syn for syn in syns if not syn.answer and syn.destination == "172.31.0.2"]
    expect(len(arrived) >= 8, f"{len(arrived)} SYNs came out of the new devices")
    expect_equal([syn for syn in arrived if syn.smc], [], "SYNs with option 254 by new devices")
    wait_until(lambda: int(guest.check(pinned)), lambda now: now == before, 5,
               f"guards of devices that are gone stay, {before} were before")
    wait_offered(lab.agents[1])


def other_ways_out(client: FakePod) -> None:
    """A pod with a device of its own leaves by a way nobody guards: nothing is offered."""
    guest = client.guest
    guest.check(f"""set -e
        modprobe macvlan
        ip netns add direct
        ip link add link eth0 name mv0 netns direct type macvlan mode bridge
        ip -n direct link set mv0 up
        ip -n direct link set lo up
        ip -n direct addr add 10.77.0.99/24 dev mv0
        ip -n direct route add default via {net.HOST4}
        own="ip netns exec direct nft"
        $own add table ip own
        $own add chain ip own out '{{ type nat hook output priority -100; }}'
        $own add rule ip own out ip daddr {service4(7)} tcp dport {PORT} \\
            dnat to {net.HOST4}:{BACKEND}""")
    with Capture() as capture:
        plain(FakePod(guest, "direct", "", ""), service4(7))
    expect_equal([(syn.destination, syn.smc) for syn in capture.to_port(BACKEND)],
                 [(net.HOST4, False)], "the SYN of a pod with a macvlan")


def agent_killed(lab, client: FakePod) -> None:
    """While connections are made all the time: no option, not before, not after. A new agent
    takes over what the dead one left, a clean end leaves nothing.
    """
    guest, agent = client.guest, lab.agents[1]
    send = " ".join(traffic.transfer_argv(service4(2), 1000, port=PORT, netns=client.netns))
    with Capture() as capture:
        loop = guest.spawn(f"for ((i = 0; i < 60; i++)); do {send} >/dev/null || exit 1; done")
        guest.check("sleep 1")
        agent.kill()
        expect_equal(loop.wait(60), 0, "exit code of connections while the agent was killed")
        expect(guest.check("ls /sys/fs/bpf/smc-steer/guards").split(), "no guard outlives the agent")
        agent.start(addresses=5)
        wait_offered(agent)
        plain(client, service4(2))
    expect(len(capture.to_port(BACKEND)) >= 61, f"{len(capture.to_port(BACKEND))} SYNs were seen")
    # The agents' own connection is to a peer that is one.
    expect_no_strangers(capture, [lab.guests[0].ip4])
    expect(guards(guest) > 0, "no guard is on a device")
    expect_equal(agent.stop(), 0, "exit code after SIGTERM")
    expect_equal(guest.run("ls /sys/fs/bpf/smc-steer").out, "", "what is left on bpffs")
    expect_equal(guards(guest), 0, "guards that are left")


def guards(guest) -> int:
    """On how many devices; Debian 12's bpftool has no name for the kind of link."""
    links = json.loads(guest.check("bpftool link show --json"))
    return sum(link["type"] in ("tcx", 11) for link in links)
