# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, devices, wrong input."""

from harness import smcd, traffic
from harness.case import case, expect, expect_equal

PORT = traffic.TRANSFER_PORT
BLUE4 = "10.77.0.101"

# The guest's eth0 and a namespace's veth on one bridge inside the guest.
MAKE_BLUE = f"""set -e
modprobe bridge
ip link add inner type bridge forward_delay 0
ip address flush dev eth0
ip link set eth0 master inner
ip address add {{ip4}}/24 dev inner
ip address add {{ip6}}/64 dev inner nodad
ip link set inner up
ip netns add blue
ip link add veth0 type veth peer name eth0 netns blue
ip link set veth0 master inner up
ip -n blue link set lo up
ip -n blue link set eth0 up
ip -n blue address add {BLUE4}/24 dev eth0
"""


@case("spine", "network-namespaces", timeout=90)
def network_namespaces(lab):
    """Two network namespaces in one guest, one of them made after the agent started: both
    accelerate, as servers and as clients.
    """
    host, other = lab.guests
    host.check(MAKE_BLUE.format(ip4=host.ip4, ip6=host.ip6))
    lab.agents[1].wait_state("active", 3)
    traffic.transfer_server(host, BLUE4, netns="blue")
    traffic.transfer_server(host, host.ip4)
    traffic.transfer_server(other)
    before = traffic.counters(host, "blue"), traffic.counters(host)
    smcd_other = traffic.counters(other)
    traffic.transfer(other, BLUE4)
    traffic.transfer(host, other.ip4, netns="blue")
    blue = traffic.counters(host, "blue") - before[0]
    first = traffic.counters(host) - before[1]
    expect_equal((blue.server, blue.client), (1, 1), "SMC-D connections of namespace blue")
    expect_equal((first.server, first.client), (0, 0), "SMC-D connections of the first namespace")
    made = traffic.counters(other) - smcd_other
    expect_equal((made.client, made.server), (1, 1), "SMC-D connections of the other guest")
    smcd.expect_smcd(other, host)
    smcd.expect_smcd(host, other)


@case("spine", "two-devices", regions=2)
def two_devices(lab):
    """Two ivshmem devices: the driver takes both, the agent uses one, traffic flows."""
    server, client = lab.guests
    for guest in lab.guests:
        devices = guest.check("ls /dev/ivpci*").split()
        expect_equal(devices, ["/dev/ivpci0", "/dev/ivpci1"], f"devices of {guest.name}")
    traffic.transfer_server(server)
    smcd.expect_smcd(client, server)


@case("spine", "module-unload", agent=False, timeout=120)
def module_unload(lab):
    """The driver goes and comes back, also after it was used."""
    server, client = lab.guests
    for agent in lab.agents:
        agent.launch_ready()
    for turn in range(3):
        for agent in lab.agents:
            agent.wait_state("active", 2)
        listener = traffic.transfer_server(server, port=PORT + turn)
        smcd.expect_smcd(client, server, port=PORT + turn)
        listener.kill()
        listener.wait(10)
        for agent in lab.agents:
            expect_equal(agent.stop(), 0, "exit code after SIGTERM")
        for guest in lab.guests:
            guest.check("rmmod ivpci")
            expect_equal(guest.run("ls /dev/ivpci*").out, "", "devices after rmmod")
        for agent in lab.agents:
            agent.launch_ready()


def expect_usage_error(guest, argv: list[str]) -> None:
    run = guest.run(argv)
    what = " ".join(argv)
    expect_equal(run.code, 2, f"exit code of {what} ({run.out}{run.err})")
    expect_equal(len(run.err.strip().splitlines()), 1, f"lines {what} printed: {run.err!r}")


@case("spine", "bad-input")
def bad_input(lab):
    """Wrong words and files get one line and exit code 2, and change nothing."""
    server, client = lab.guests
    client.check(["smc-policy", "deny", "7777"])
    rules = lab.agents[1].ask("rules")
    for words in (["allow", "0"], ["allow", "65536"], ["deny", "80-70"], ["deny", "http"],
                  ["deny"], ["deny", "-5"], ["paint", "1"], ["status", "--bogus"], []):
        expect_usage_error(client, ["smc-policy", *words])
    for words in (["--bogus"], ["--config"], ["--config", "/nonexistent.yaml"], ["extra"]):
        expect_usage_error(client, ["smc-agent", *words])
    expect_equal(lab.agents[1].ask("rules"), rules, "the rules after wrong commands")


@case("spine", "bad-policy-file")
def bad_policy_file(lab):
    """A policy file that is wrong leaves the old rules in force and is named in the status;
    a right one takes effect without a restart.
    """
    server, client = lab.guests
    agent = lab.agents[1]
    policy = "/etc/smc-steer/policy.yaml"
    good = f"version: 1\ndefault: allow\nrules:\n  - {{action: deny, ports: {PORT}}}\n"
    traffic.transfer_server(server)
    client.put(policy, good)
    wait_rules(client, f'"{PORT}"')
    smcd.expect_tcp(client, server)
    for bad in ("version: 1\nrules: [\n", "version: 1\ndefault: perhaps\n",
                "version: 1\nrules:\n  - {action: allow, ports: 70000}\n", "version: 2\n"):
        client.put(policy, bad)
        wait_rules(client, '"last_error": "[^"]')
        error = agent.status()["last_error"]
        expect(policy in error, f"the error names no file: {error!r}")
        smcd.expect_tcp(client, server, size=1 << 16)
        client.put(policy, good)
        wait_rules(client, '"last_error": ""')
    client.put(policy, "version: 1\ndefault: allow\n")
    wait_rules(client, '"rules": \\[\\]')
    smcd.expect_smcd(client, server)


def wait_rules(guest, pattern: str) -> None:
    """Until `smc-policy rules --json` has a match of `pattern`."""
    script = ("for i in {1..80}; do smc-policy rules --json | grep -q -- \"$0\" && exit 0; "
              "sleep 0.1; done; smc-policy rules --json; exit 1")
    run = guest.run(["bash", "-c", script, pattern])
    expect_equal(run.code, 0, f"no {pattern} in the rules after 8 s:\n{run.out}{run.err}")
