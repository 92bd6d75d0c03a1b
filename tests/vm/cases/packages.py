# SPDX-License-Identifier: Apache-2.0
"""The Debian packages, in installations that have never seen this project (harness/clean.py). What is
typed there is what docs/OPERATIONS.md says.
"""

import re
import shutil
import time

from harness import clean, driver, packages as debs, paths, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until
from harness.documented import Page, run_text

CHAT = paths.REPO / "tests" / "vm" / "guest" / "chat"
CHAT_PORT = 9310
CLEANUP = paths.POLICY  # of the build directory: what is installed is gone when it is asked
POD = "/sys/fs/cgroup/kubepods/besteffort/pod1/{}"
ADDRESSES = 2

# What apt, dpkg, DKMS, systemd and depmod write about anything they are used for.
OTHERS = re.compile(r"""
    /(proc|sys|dev|run|tmp)/ | /root/ | /var/(log|cache|tmp)/ |
    /var/lib/(apt|private|ucf)/ | /var/lib/dkms/(?!ivpci) | /var/lib/dpkg/(?!info/(smc|ivpci)) |
    /var/lib/systemd/(?!deb-systemd-helper-[^/]+/.) | /etc/(passwd|group|shadow|gshadow|subuid|subgid)-$ |
    /etc/\.(pwd|updated)|/var/\.updated | /(etc|var/lib/dbus)/machine-id$ | /etc/ld\.so\.cache |
    /usr/lib/modules/[^/]+/modules\. | /usr/lib/modules/[^/]+/updates$ | .*/__pycache__
    """, re.X)


def in_pod(name: str, argv: list[str]) -> list[str]:
    """`argv` in a control group where a container engine puts what it runs."""
    group = POD.format(name)
    return ["sh", "-c", f"mkdir -p {group} && echo $$ >{group}/cgroup.procs && exec \"$@\"", "sh",
            *argv]


def pod_server(guest):
    server = guest.spawn(in_pod("server", [str(traffic.TRANSFER), "serve", "0.0.0.0",
                                           str(traffic.TRANSFER_PORT)]))
    server.wait_output("listening", 30)
    return server


def pod_transfer(guest, address: str, size: int = 1 << 20) -> dict:
    argv = in_pod("client", traffic.transfer_argv(address, size))
    run = guest.run(argv, 60)
    return traffic.transfer_result(run.code, run.out + run.err, f"{guest.name}: transfer")


def expect_accelerated(client, server) -> None:
    """By the counters of both kernels."""
    smcd.expect_connections(client, server, 1, lambda: pod_transfer(client, server.ip4))


def start_pods(client, server) -> None:
    """A server in a container that accelerates a client in another. An agent sees a new container's
    control group within a second, and a socket is what it was made as: hence more than one look.
    """
    def look() -> bool:
        process = pod_server(server)
        before = traffic.counters(client).client
        pod_transfer(client, server.ip4)
        if traffic.counters(client).client > before:
            return True
        process.kill()
        process.wait(10)
        return False
    wait_until(look, bool, 60, "no accelerated connection")


def expect_plain(client, server) -> None:
    smcd.expect_connections(client, server, 0, lambda: pod_transfer(client, server.ip4))


def put_packages(root) -> None:
    """/root/first: what is installed first, an older smc-steer; /root/new: all; /root/old."""
    for place, files_of in (
            ("first", [debs.package("smc-steer", debs.OLD), debs.package("ivpci-dkms")]),
            ("old", [debs.package("smc-steer", debs.OLD)]),
            ("new", [debs.package(name) for name in ("smc-steer", "ivpci-dkms", "ivpci-broker")])):
        (root.merged / "root" / place).mkdir()
        for package in files_of:
            shutil.copy(package, root.merged / "root" / place)


def installed(root) -> set[str]:
    return {path for path in root.files() if not OTHERS.match(path)}


def files(lab, guest) -> set[str]:
    guest.check("sync")
    return installed(lab.roots[guest.number - 1])


def expect_nothing_left(lab, guest, before: set[str]) -> None:
    left = files(lab, guest)
    expect_equal(sorted(left - before), [], f"files {guest.name} has more than before")
    expect_equal(sorted(before - left), [], f"files {guest.name} has not any more")
    state = guest.check(
        "systemctl --no-legend list-units --all '*smc-agent*' '*ivpci*'; ls -d /run/smc-steer* "
        "/run/ivpci /sys/fs/bpf/smc-steer* /sys/module/ivpci /dev/ivpci* 2>/dev/null; getent passwd ivpci; "
        "getent group ivpci; dpkg-query -W -f '${Package} ${Status}\\n' smc-steer ivpci-dkms ivpci-broker "
        "2>/dev/null | grep -v not-installed; pidof smc-agent ivpci-broker; :")
    expect_equal(state, "", f"what is left in {guest.name}")


def expect_settings_back(guest) -> None:
    out = guest.check("cat /proc/sys/net/smc/hs_ctrl /proc/sys/net/smc/wmem /proc/sys/net/smc/rmem")
    expect_equal(out.split(), ["65536", "65536"], f"settings of {guest.name}")
    # Registrations and pins are told by the command that would take them back.
    expect("nothing" in guest.check([str(CLEANUP), "cleanup"]), "there was something to clean up")
    expect_equal(traffic.raw_counters(guest)["smc"]["eids"], [], f"EIDs of {guest.name}")


def wait_active(guest, seconds: float = 90) -> None:
    wait_until(lambda: guest.run(["smc-policy", "status", "--brief"]), lambda run: run.code == 0,
               seconds, f"{guest.name}: smc-policy status --brief")


def wait_peer(lab, guest) -> None:
    wait_active(guest)
    lab.agents[guest.number - 1].wait_state("active", ADDRESSES)


def host_side(lab, page, guest, before) -> None:
    """The broker's package, whose machine is a host; this one is as good."""
    out = page.run(guest, "Install", "host", cwd="/root/new")
    expect("region blue" in out and "32 slots free" in out, f"status of the broker that was installed: {out}")
    shown = guest.check("systemctl show -p User,ActiveState,NRestarts ivpci-broker; stat -c '%G %a' "
                        "/run/ivpci/blue.sock; systemd-analyze verify --man=no ivpci-broker.service")
    for word in ("User=ivpci", "ActiveState=active", "NRestarts=0", "ivpci 660"):
        expect(word in shown, f"{word} is not in {shown}")
    guest.check("apt-get install -y --reinstall ./ivpci-broker_*.deb", 90, cwd="/root/new")
    expect_equal(guest.check("systemctl is-active ivpci-broker").strip(), "active",
                 "the broker after a new installation")
    page.run(guest, "Uninstall", "host", cwd="/root/new")
    expect_nothing_left(lab, guest, before)


def start_chat(client, server):
    """An accelerated connection that is never idle for long, until its standard input is closed."""
    server.spawn(in_pod("server", [str(traffic.PROBER), "serve", str(CHAT_PORT)])).wait_output("listening", 30)
    before = traffic.counters(client).client
    chat = client.spawn(in_pod("client", [str(CHAT), server.ip4, str(CHAT_PORT)]), stdin=True)
    chat.wait_output("connected", 30)
    wait_until(lambda: traffic.counters(client).client, lambda made: made == before + 1, 10,
               "SMC-D connections of the client")
    return chat


def changed_versions(lab, page, client, server) -> None:
    """A newer package and an older one again, while a connection is used."""
    agent = lab.agents[client.number - 1]
    chat = start_chat(client, server)
    pid = client.check("pidof smc-agent").strip()
    upgrades = agent.status()["process"]["upgrades"]
    for heading, place, version in (("Upgrade", "new", debs.version()),
                                    ("Roll back", "old", debs.OLD_VERSION)):
        page.run(client, heading, "package", cwd=f"/root/{place}")
        upgrades += 1
        expect_equal(agent.status()["process"]["upgrades"], upgrades, f"upgrades after {heading}")
        state = client.check("pidof smc-agent; dpkg-query -W -f '${Version}\\n' smc-steer; "
                             f"readlink /proc/{pid}/exe").split("\n")
        expect_equal(state[:3], [pid, version, "/usr/sbin/smc-agent"], f"agent after {heading}")
        expect(chat.poll() is None, f"the connection ended during {heading}: {chat.err}")
        expect_accelerated(client, server)
    kept = client.run("ivpci-reload", 30)
    expect_equal(kept.code, 1, f"ivpci-reload beside an SMC-D connection ({kept.out})")
    expect("SMC-D connections run over the driver" in kept.err, f"ivpci-reload said {kept.err}")
    wait_active(client)
    expect(chat.poll() is None, f"ivpci-reload ended an SMC-D connection: {chat.err}")
    chat.write(b"")
    expect_equal(chat.wait(30), 0, f"exit code of the connection's client ({chat.err})")
    rounds = int(chat.out.split()[-1])
    print(f"{rounds} times 64 KiB there and back through both")
    expect(rounds > 20, f"only {rounds} rounds")


def driver_under_traffic(lab, page, client, server) -> None:
    """What the direct path has moved goes on over TCP while the driver is exchanged, byte for byte, and is moved again."""
    def take(path: str) -> None:
        for guest in (client, server):
            guest.check(f"sed -i 's/^path: .*/path: {path}/' /etc/smc-steer/agent.yaml && systemctl restart smc-agent")
            wait_active(guest)
    take("direct")
    port = CHAT_PORT + 1
    serving = server.spawn(in_pod("server", [str(traffic.TRANSFER), "serve", "0.0.0.0", str(port)]))
    serving.wait_output("listening", 30)
    running = client.spawn(in_pod("client", traffic.transfer_argv(server.ip4, 1 << 30, port)))

    def wait_moved() -> None:
        wait_until(lambda: client.run(f"cat {driver.DEVICE}/stats/rings").out, lambda rings: rings.strip() not in ("", "0"),
                   60, "a transfer that is moved")
    wait_moved()
    pid = client.check("pidof smc-agent")
    out = page.run(client, "The driver")
    expect(f"ivpci {debs.version().split('-')[0]} is in force" in out, f"ivpci-reload said {out}")
    expect(client.check("pidof smc-agent") != pid, "the agent was not started anew")
    wait_active(client)
    wait_moved()
    expect(running.poll() is None, f"the transfer ended meanwhile: {running.out}{running.err}")
    wrong = client.run("ivpci-reload --now")
    expect_equal((wrong.code, wrong.err.strip()),
                 (2, "ivpci-reload: unknown word '--now' (see ivpci-reload --help)"), "an unknown word")
    expect_equal(client.check("ivpci-reload --if-new"), "", "ivpci-reload --if-new where nothing is")
    traffic.transfer_result(running.wait(120), running.out + running.err, "transfer")
    serving.kill()
    take("smc")
    for guest in (client, server):
        wait_peer(lab, guest)


def removed_and_back(lab, guest) -> None:
    """apt remove keeps what people wrote; what is installed into a running machine runs at once."""
    guest.check("smc-policy deny 9999 && DEBIAN_FRONTEND=noninteractive apt-get remove -y smc-steer", 90)
    left = guest.check("pidof smc-agent; ls -d /etc/smc-steer/*.yaml /etc/smc-steer/policy.d/* "
                       "/sys/module/ivpci /run/smc-steer 2>/dev/null; :").split()
    expect_equal(left, ["/etc/smc-steer/agent.yaml", "/etc/smc-steer/policy.d/50-smc-policy.yaml",
                        "/sys/module/ivpci"], "what is left by remove")
    run_text(guest, "apt install -y ./smc-steer_*.deb", "to install again", cwd="/root/new")
    wait_peer(lab, guest)
    expect("9999" in guest.check(["smc-policy", "rules"]), "the rule is gone")


def killed_for_good(guest) -> None:
    """An agent that is not there to take anything back, and that nobody restarts."""
    drop_in = "/run/systemd/system/smc-agent.service.d"
    guest.check(f"mkdir -p {drop_in} && printf '[Service]\\nRestart=no\\n' >{drop_in}/no.conf && "
                "systemctl daemon-reload && systemctl kill -s KILL smc-agent")
    wait_until(lambda: guest.run("systemctl is-failed smc-agent"), lambda run: run.code == 0, 20,
               "the killed agent's unit is failed")
    guest.check(f"rm -r {drop_in}")
    wmem = guest.check("cat /proc/sys/net/smc/wmem").strip()
    expect_equal(wmem, "1048576", "what a killed agent leaves in net.smc.wmem")


@case("packages", "packages", agent=False, guests=2, root="clean", booted=0, memory_mb=1024,
      timeout=900, long_timeout=1500)
def packages(lab):
    """Installed as docs/OPERATIONS.md says; two nodes boot and accelerate what runs in containers, and
    nobody touches them; another version comes and goes under a transfer; purge leaves nothing, nor
    after an agent that was killed. The long form installs in a running guest too: there a compiler
    takes minutes.
    """
    first, second = lab.guests
    page = Page()
    root = lab.roots[0]
    root.make()
    before = installed(root)
    put_packages(root)
    install = page.take("Install")
    print(root.run(install, "/root/first"))
    with open(root.merged / "etc/smc-steer/agent.yaml", "a", encoding="ascii") as config:
        config.write("path: smc\n" + first.trust)
    # A node and a clone of it.
    lab.roots[1].make(like=root)
    lab.boot(lab.guests)
    for guest in lab.guests:
        wait_peer(lab, guest)
    start_pods(second, first)
    expect_accelerated(second, first)
    verified = first.run("systemd-analyze verify --man=no smc-agent.service")
    expect_equal((verified.code, verified.out + verified.err), (0, ""), "systemd-analyze verify")
    expect_equal(first.check("systemctl --failed --no-legend; stat -c '%U %a' /dev/ivpci0").split("\n"),
                 ["root 600", ""], "failed units, and the device")

    for heading in ("Verify", "Questions and commands", "Security checklist", "Troubleshoot"):
        print(page.run(second, heading))
    changed_versions(lab, page, second, first)
    for heading in ("Upgrade", "Roll back", "A changed configuration", "What an agent leaves",
                    "An agent without the device"):
        page.run(second, heading)
        wait_peer(lab, second)
    expect_accelerated(second, first)
    driver_under_traffic(lab, page, second, first)

    removed_and_back(lab, first)
    uninstall = page.take("Uninstall")
    run_text(first, uninstall, "to uninstall")
    expect_nothing_left(lab, first, before)
    expect_settings_back(first)
    expect_plain(second, first)
    host_side(lab, page, first, before)

    killed_for_good(second)
    run_text(second, uninstall, "to uninstall after a kill")
    expect_nothing_left(lab, second, before)
    expect_settings_back(second)
    expect_plain(second, first)
    page.finish()
    if lab.long:
        running(lab, install, second, first)


def running(lab, install: str, *guests) -> None:
    """Nothing is rebooted: the driver is loaded and the agent started by the installation."""
    for guest in guests:
        began = time.monotonic()
        run_text(guest, install, "to install in a running guest", 600, cwd="/root/new")
        guest.check(f"printf '{guest.trust}' >>/etc/smc-steer/agent.yaml && systemctl restart smc-agent")
        wait_active(guest)
        print(f"{guest.name}: installed and active in {time.monotonic() - began:.0f} s")
    client, server = guests
    for guest in guests:
        wait_peer(lab, guest)
    server.check("pkill -x transfer")
    start_pods(client, server)
    client.run("systemctl reboot")
    client.wait_boot()
    wait_peer(lab, client)
    server.check("pkill -x transfer")
    start_pods(client, server)


# Without systemd, in the root of a machine that is off.
STARTS = """smc-agent --version
smc-policy --help >/dev/null
ivpci-broker --help >/dev/null
systemd-analyze verify --man=no smc-agent.service ivpci-broker.service
"""


@case("packages", "packages-trixie", agent=False, guests=0, regions=0, root="trixie", long_only=True,
      timeout=600)
def packages_trixie(_lab):
    """What is packaged on Debian 13 is installed there: its compiler makes the driver for a kernel with
    DIBS and for its own 6.12, which gets no SMC-D device, and that is said with the reason, programs start, units are right, purge
    leaves nothing.
    """
    page = Page()
    root = clean.Root(1, paths.kernel_dir(), "trixie")
    root.make()
    before = installed(root)
    kernels = sorted(path.name for path in (root.merged / "usr/lib/modules").iterdir())
    expect_equal(len(kernels), 2, f"kernels there ({kernels})")
    own, new = kernels
    for name in ("smc-steer", "ivpci-dkms", "ivpci-broker"):
        shutil.copy(debs.package(name, debs.TRIXIE), root.merged / "root")

    out = root.run(page.take("Install") + "apt install -y ./ivpci-broker_*_amd64.deb")
    print(out)
    expect(re.search(rf"^ivpci-dkms: kernel {re.escape(own)} .*no SMC-D device.*CONFIG_DIBS", out, re.M),
           f"nothing is said of kernel {own}")
    expect(f"ivpci-dkms: kernel {new}" not in out, f"kernel {new} is said to lack something")
    modules = sorted(path for path in installed(root) - before if "/updates/dkms/" in path)
    expect_equal([(path.split("/")[4], path.split("/")[-1].split(".")[0]) for path in modules],
                 sorted([(own, "ivpci"), (own, "tcp_ivpci"), (own, "tcp_ivpci_calls"), (new, "ivpci"),
                         (new, "tcp_ivpci"), (new, "tcp_ivpci_calls")]), "modules, and the kernels that they were made for")
    out = root.run(STARTS)
    print(out)
    expect(f"smc-agent {debs.version().split('-')[0]}" in out, "the agent does not tell its version")

    root.run("apt purge -y ivpci-broker\n" + page.take("Uninstall"))
    left = installed(root)
    expect_equal((sorted(left - before), sorted(before - left)), ([], []),
                 "files there are more, and less, than before")
    out = root.run("getent passwd ivpci || getent group ivpci || dpkg-query -W 'ivpci*' 'smc-steer*' "
                   "2>/dev/null || true")
    expect_equal([line for line in out.splitlines() if not line.startswith("+ ")], [], "what is left")
