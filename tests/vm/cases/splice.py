# SPDX-License-Identifier: Apache-2.0
"""Connections that the agents relay: on kernels without IPPROTO_SMC, and to servers that were there
before the agent.
"""

import re
import signal
import time

from harness import dawdle, documented, many, servers, smcd, splice, stress, traffic
from harness.case import case, expect, expect_equal, wait_until

SIZE = 4 << 20
PORT = traffic.TRANSFER_PORT
PLAIN_PORT = 9001  # that no rule with adopt is about
LAST_PORT = 9003
LAST_SIZE = 3 << 19  # more than one buffer of 1 MiB, less than both
LOSE = """table inet lost {{
    chain out {{
        type filter hook output priority 0;
        oifname {device} tcp flags & {flag} == {flag} counter drop
    }}
}}"""
LOSE_ENDS = LOSE.format(device="eth0", flag="fin")
LOSE_RESETS = LOSE.format(device="lo", flag="rst")
CLOSING = "state fin-wait-1 state closing state last-ack"
OF_AGENTS = "sport = 7255 or dport = 7255"
PORTS = f"{servers.PORTS}, {PORT}, {many.PORT}, {stress.PORT}, 9002"


def relayed(client, server, agent, address: str = "", size: int = SIZE, counter: str = "relayed"):
    """One checked transfer, over SMC-D, that the agent counts as such."""
    before = splice.counters(agent)
    _, made, _ = smcd.expect_connections(
        client, server, 1,
        lambda: traffic.transfer(client, address or server.ip4, size, port=PORT))
    after = splice.counters(agent)
    expect_equal(after[counter] - before[counter], 1, f"connections {counter} ({after})")
    expect(made.tx_bytes >= size, f"{made.tx_bytes} bytes went over SMC-D, {size} were sent")


def carried(client, server, agent, counter: str) -> None:
    """One checked transfer that the kernel carries on where that agent is."""
    before = splice.counters(agent)["carried"]
    relayed(client, server, agent, size=16 * SIZE, counter=counter)
    expect_equal(splice.counters(agent)["carried"] - before, 1, "connections carried by the kernel")


def plain(client, server, agent, port: int) -> None:
    """One checked transfer that nobody relays."""
    before = splice.counters(agent)["asked"]
    smcd.expect_tcp(client, server, port=port)
    expect_equal(splice.counters(agent)["asked"], before, "connections that were asked for")


def refused(client, address: str, port: int) -> float:
    """Seconds that a connect() took to be refused."""
    told = client.check(["python3", "-Sc", f"""
import errno, socket, time
began = time.monotonic()
try:
    socket.create_connection(({address!r}, {port}))
    print("connected")
except OSError as error:
    print(errno.errorcode[error.errno], time.monotonic() - began)
"""]).split()
    expect_equal(told[0], "ECONNREFUSED", "how the connect() ended")
    return float(told[1])


def answered_late(client, server, far) -> None:
    """The server's agent says nothing for nine seconds; the SYN that comes then is the program's last
    one for seven more, which is waited for.
    """
    far.process.signal(signal.SIGSTOP)
    running = client.spawn(traffic.transfer_argv(server.ip4, SIZE, PORT))
    time.sleep(9)
    far.process.signal(signal.SIGCONT)
    expect_equal(running.wait(60), 0, f"exit code ({running.out + running.err})")


def buffer(lab) -> str:
    """The smallest there is where thousands of connections are to fit."""
    return "16KiB" if lab.long else "1MiB"


def comes_back(lab, which, log: str) -> None:
    """An agent starts again, and relays."""
    server, client = lab.guests
    which.launch("--log-level", log)
    splice.wait_active(lab)
    relayed(client, server, lab.agents[1])


def agents_die(lab, log: str) -> None:
    """One that an agent relays breaks with either agent. One that the kernel carries on outlives an
    upgrade, a crash and a restart. New ones are TCP, and relayed when the agent is back.
    """
    server, client = lab.guests
    far, agent = lab.agents

    def broken(end) -> None:
        before = splice.counters(agent)["sent"]
        running = client.spawn(traffic.transfer_argv(server.ip4, 1 << 30, PORT))
        wait_until(lambda: splice.counters(agent)["sent"] - before,
                   lambda sent: sent > 1 << 20, 30, "bytes of a transfer")
        end()
        expect_equal(running.wait(120), 3, f"exit code ({running.out + running.err})")

    def unharmed(end) -> None:
        before = splice.counters(agent)["carried"]
        running = stress.start(client, server, 4, 20, 10000)
        wait_until(lambda: splice.counters(agent)["carried"] - before,
                   lambda carried: carried == 4, 30, "connections that the kernel carries on")
        end()
        expect(running.poll() is None, "the connections had ended before the agent")
        stress.finish(running, 60)

    def upgraded_and_killed() -> None:
        client.check("smc-policy upgrade")
        agent.kill()

    for join, outcome, victims in (
            ("loopback", broken, ((agent, agent.kill), (far, far.kill))),
            ("kernel", unharmed, ((agent, upgraded_and_killed), (far, far.stop)))):
        for each in lab.agents:
            if each.status()["splice"]["join"] != join:
                each.stop()
                splice.configure(each.guest, PORTS, f"{{join: {join}, buffer: {buffer(lab)}}}")
                each.launch("--log-level", log)
        splice.wait_active(lab)
        for victim, end in victims:
            outcome(end)
            smcd.expect_tcp(client, server, port=PORT)
            comes_back(lab, victim, log)


def closing(guest, which: str = "") -> list[str]:
    """Sockets whose FIN is not acknowledged."""
    return guest.check(f"ss -Htan {CLOSING} '{which}'").splitlines()


def all_closed(lab) -> None:
    """None of these for ever."""
    for guest in lab.guests:
        wait_until(lambda: closing(guest), lambda left: not left, 60,
                   f"{guest.name}: closed sockets")


def modules_go(lab, log: str) -> None:
    """smc_join stays as long as a connection is carried on. Without an agent and then without a driver
    that connection is reset, and the next one is TCP.
    """
    server, client = lab.guests
    agent = lab.agents[1]
    before = splice.counters(agent)["carried"]
    running = client.spawn(traffic.transfer_argv(server.ip4, 1 << 32, PORT))
    wait_until(lambda: splice.counters(agent)["carried"], lambda now: now > before, 30,
               "a connection that the kernel carries on")
    agent.kill()  # which has the module, too
    expect("in use" in client.run("rmmod smc_join 2>&1").out, "smc_join could be unloaded")
    client.check("rmmod ivpci")
    expect_equal(running.wait(30), 3, f"exit code without a driver ({running.out + running.err})")
    smcd.expect_tcp(client, server, port=PORT)
    client.check("rmmod smc_join && modprobe ivpci")
    comes_back(lab, agent, log)


def ipv6_alone(lab) -> None:
    """What is left when the guests' IPv4 addresses go."""
    server, client = lab.guests
    for guest in lab.guests:
        guest.check("ip -4 address flush dev eth0")
    for agent in lab.agents:
        wait_until(lambda: agent.status()["same_host_addresses"], lambda count: count == 1, 20,
                   f"{agent.guest.name}: the peer's IPv6 address alone")
    relayed(client, server, lab.agents[1], server.ip6)


def run_servers(client, server, ask_agent, running) -> None:
    """All of these by their own clients, every connection over SMC-D."""
    for one in running:
        before = splice.counters(ask_agent)
        made = traffic.counters(client)
        one.ask(client, server.ip4)
        made = traffic.counters(client) - made
        after = splice.counters(ask_agent)
        grown = sum(after[name] - before[name] for name in ("relayed", "adopted"))
        expect(grown > 0, f"{one.name}: nothing was relayed or adopted ({after})")
        expect_equal(after["plain"], before["plain"], f"{one.name}: connections over TCP")
        expect(made.tx_bytes + made.rx_bytes > 10000,
               f"{one.name}: {made.tx_bytes} and {made.rx_bytes} bytes over SMC-D")


@case("splice", "splice-pair", agent=False, cpus=2, timeout=500, long_timeout=3600,
      kernels=["stock", "stock"])
def pair(lab):
    """Two 6.1 guests. Every byte there and back is right and went over SMC-D: IPv4, IPv6, IPv4 to a
    listener of both, IPv6 alone; redis, nginx and PostgreSQL that ran before the agents. What no rule
    adopts is untouched; a refusal is one. The agent dies under traffic: the connection breaks, the
    next one is TCP, and is relayed when the agent is back. Short connections, many at once, and
    nothing is left of them.
    """
    server, client = lab.guests
    agent, far = lab.agents[1], lab.agents[0]
    started = [make(server) for make in servers.ALL]
    traffic.transfer_server(server, "::")
    traffic.transfer_server(server, port=PLAIN_PORT)
    stress.serve(server)
    log = "info" if lab.long else "debug"
    splice.start(lab, PORTS, f"{{buffer: {buffer(lab)}}}", log)
    relayed(client, server, agent)
    relayed(client, server, agent, server.ip6)
    plain(client, server, agent, PLAIN_PORT)
    for port, verdict in ((PORT, "SMC-D"), (PLAIN_PORT, "TCP")):
        for one, way in ((agent, "client"), (far, "server")):
            told = one.ask("explain", client.ip4, f"{server.ip4}:{port}")
            expect_equal((told["verdict"], told["end"]), (verdict, way), str(told))
            expect("adopt" in [step["what"] for step in told["steps"]], str(told))
    documented.Page("case=splice-pair").run(client, "Relayed connections")
    adopted = [rule for rule in agent.ask("rules")["rules"] if rule["adopt"]]
    expect_equal([rule["ports"] for rule in adopted][-1], ["6379"], "the port of the rule added last")
    lab.progress(f"refused after {refused(client, server.ip4, 9002):.3f} s")
    run_servers(client, server, agent, started)
    if lab.long:
        answered_late(client, server, far)

    agents_die(lab, log)
    modules_go(lab, log)

    # A guest has 4,095 DMBs: what comes later of 5,000 is TCP. When all of these are closed at once, the
    # kernel forgets orphans, and its loopback interface loses the resets that say so.
    for guest in lab.guests:
        guest.check("sysctl -q net.core.netdev_max_backlog=16384 net.ipv4.tcp_max_orphans=32768")
    count, at_once, over_smcd = (100000, 5000, 4000) if lab.long else (150, 60, 60)
    many.serve(server)
    began = time.monotonic()
    runs = [many.each(client, server, count // 2, 64) for _ in range(2)]
    for run in runs:
        expect_equal(run.wait(60 + count // 20), 0, f"exit code ({run.out + run.err})")
    lab.progress(f"{count} short connections, {(time.monotonic() - began) / count * 1e3:.1f} ms each")
    held = many.start(client, server, at_once)
    many.expect_checked(held, at_once)
    now = splice.counters(agent)
    expect(now["active"] >= over_smcd, f"{now['active']} connections are relayed ({now})")
    lab.progress(f"held: {splice.show(agent)}")
    held.kill()
    held.wait(20)
    for each in lab.agents:
        splice.wait_idle(each, 90)
    all_closed(lab)
    left = client.check("bpftool map dump name held; bpftool map dump name callers; :")
    expect_equal(left.count('"key"'), 0, f"entries left in the maps: {left}")
    ipv6_alone(lab)


def taken_over(lab, listener, rounds: int, agents) -> None:
    """The kernel takes over connections where these agents are while threads of programs there are inside
    of TCP, asleep or on their way there for 20 ms: blocking, by select() and epoll, readers beside
    writers, and as they close. Every byte comes back, none waits for ever, no connection breaks.
    """
    server, client = lab.guests
    connections = 12
    slow = [dawdle.start(agent.guest, name) for agent in agents for name in ("stress", "many")]
    dawdle.wait(slow)
    before = [splice.counters(agent)["carried"] for agent in agents]
    moved = 0
    for _ in range(rounds):
        running = stress.start(client, server, connections, 3, 30000)
        moved += stress.finish(running, 90, listener)["bytes"]
    lab.progress(f"{rounds * connections} connections, {moved >> 20} MiB")
    carried = [splice.counters(agent)["carried"] for agent in agents]
    expect(all(now - then > rounds * connections * 3 // 4 for then, now in zip(before, carried)),
           f"carried on: {before}, then {carried}")
    for running in [many.each(client, server, 20 * rounds, 20000) for _ in range(3)]:
        expect_equal(running.wait(60 + 5 * rounds), 0,
                     f"exit code ({running.out + running.err})")
    for each in slow:
        count = dawdle.finish(each)
        expect(count > rounds, f"{count} were slow on the way into TCP")
    for agent in agents:
        lab.progress(f"{agent.guest.name}: {splice.show(agent)}")
        splice.wait_idle(agent)


def last_of_it(lab, seconds: int) -> None:
    """The peer's buffer is full when a program ends its side, and its peer reads nothing for that long: it
    gets every byte all the same, and then the end. A thread that waits for room is told before anything
    is read, and the other direction goes on.
    """
    server, client = lab.guests
    listener = server.spawn(["python3", "-Suc", f"""
import socket, threading, time
s = socket.create_server(('', {LAST_PORT}))
print('listening')
def closed(c):
    c.recv(1)
    c.sendall(b'y' * 50)
    time.sleep(1)
    c.sendall(b'x' * {LAST_SIZE})
    c.close()
def half_closed(c):
    told = []
    def writer():
        try:
            while True:
                told.append(c.send(b'x' * 65536))
        except BrokenPipeError:
            pass
    control = s.accept()[0]
    c.recv(1)
    c.sendall(b'y' * 50)
    time.sleep(1)
    thread = threading.Thread(target=writer)
    thread.start()
    time.sleep(1)
    c.shutdown(socket.SHUT_WR)
    thread.join()
    control.send(b'!')
    count = 0
    while got := c.recv(65536):
        count += len(got)
    print(sum(told), count)
for serve in closed, half_closed:
    serve(s.accept()[0])
"""])
    listener.wait_output("listening", 20)
    before = [splice.counters(agent)["carried"] for agent in lab.agents]
    told = client.check(["python3", "-Sc", f"""
import socket, time
def read(s, size=1 << 30):
    count = 0
    while count < size and (got := s.recv(min(65536, size - count))):
        count += len(got)
    return count
def ask(s):
    s.send(b'?')
    assert read(s, 50) == 50
    return s
address = {server.ip4!r}, {LAST_PORT}
s = ask(socket.create_connection(address))
time.sleep({seconds})
print(read(s))
s = socket.create_connection(address)
control = socket.create_connection(address)
ask(s)
control.recv(1)
print(read(s))
s.sendall(b'z' * 100000)
s.shutdown(socket.SHUT_WR)
assert s.recv(1) == b''
"""], timeout=seconds + 60).split()
    listener.wait(20)
    sent, count = listener.out.decode().split()[1:]
    lab.progress(f"came: {told}; sent in half closed: {sent}, and came back: {count}")
    expect_equal(told, [str(LAST_SIZE), sent], "bytes that came")
    expect_equal(count, "100000", "bytes the other way")
    carried = [splice.counters(agent)["carried"] - then for agent, then in zip(lab.agents, before)]
    expect(min(carried) >= 2, f"connections that the kernel carries on: {carried}")


@case("splice", "splice-takeover", agent=False, cpus=2, long_only=True, timeout=300, long_timeout=1800,
      kernels=["stock", "stock"])
def takeover(lab):
    """Two 6.1 guests whose connections the kernel takes over at once."""
    server = lab.guests[0]
    listener = stress.serve(server)
    many.serve(server)
    splice.start(lab, f"{stress.PORT}, {many.PORT}, {LAST_PORT}", "{after: 1}")
    last_of_it(lab, 60 if lab.long else 5)
    taken_over(lab, listener, 60 if lab.long else 6, lab.agents)


def lost_packets(guest) -> int:
    return int(re.search(r"packets (\d+)", guest.check("nft list ruleset"))[1])


def lose_ends(lab, guest, end, which: str) -> None:
    """end() has connections closed, and so are a hundred others, while this guest's FINs get lost. `which`:
    of ss, the socket whose FIN is one of these, if there is one.
    """
    server, client = lab.guests
    count = 100
    most = count * 4 // 5  # the wire of one that the kernel has not taken over in time is kept
    held = many.start(client, server, count)
    many.expect_checked(held, count)
    guest.check(f"nft '{LOSE_ENDS}'")
    held.kill()
    end()
    wait_until(lambda: closing(guest, OF_AGENTS), lambda sockets: len(sockets) >= most,
               30, f"{guest.name}: closed wires")
    if which:
        wait_until(lambda: closing(guest, which), lambda sockets: len(sockets) == 1, 30,
                   f"{guest.name}: closed socket {which}")
    lost = lost_packets(guest)
    expect(lost >= most, f"{lost} FINs got lost")
    lab.progress(f"{guest.name}: {lost} FINs lost")
    guest.check("nft delete table inet lost")
    all_closed(lab)


def agents_end_lost(lab) -> None:
    """The agent's end of a program's connection goes, and the reset that says so gets lost: the program is
    told when it sends.
    """
    server, client = lab.guests
    running = client.spawn(["python3", "-Suc", f"""
import errno, socket, sys
s = socket.create_connection(({server.ip4!r}, {many.PORT}))
print('connected')
sys.stdin.readline()
s.settimeout(20)
try:
    s.send(b'?')
    print('came', s.recv(1))
except TimeoutError:
    print('came nothing')
except OSError as error:
    print('came', errno.errorcode[error.errno])
"""], stdin=True)
    running.wait_output("connected", 20)
    client.check(f"nft '{LOSE_RESETS}'")
    ends = client.check("ss -Htnp state established dst 127.0.0.1").splitlines()
    ours = [line.split()[2].rsplit(":")[-1] for line in ends if "smc-agent" in line]
    expect_equal((len(ends), len(ours)), (2, 1), f"ends of one connection ({ends})")
    client.check(f"ss -K state established src 127.0.0.1 sport = {ours[0]}")
    expect_equal(lost_packets(client), 1, "resets that got lost")
    client.check("nft delete table inet lost")
    running.write(b"\n")
    running.wait_output("came ECONNRESET", 40)


@case("splice", "splice-lost-ends", agent=False, long_only=True, timeout=200, kernels=["stock", "stock"])
def lost_ends(lab):
    """FINs get lost, of the connections that the kernel carries on and of one that has no SMC-D: each is
    sent again, though its socket is closed. Of the latter the server hears, and no socket stays.
    """
    server, client = lab.guests
    agent = lab.agents[1]
    many.serve(server)
    splice.start(lab, f"{many.PORT}, {LAST_PORT}", "{after: 1}")
    server.put("/etc/smc-steer/policy.yaml", splice.policy(str(many.PORT)))
    server.check("smc-policy apply /etc/smc-steer/policy.yaml")
    listener = server.spawn(["python3", "-Suc", f"""
import socket
s = socket.create_server(('', {LAST_PORT}))
print('listening')
c = s.accept()[0]
c.recv(1)
c.shutdown(socket.SHUT_WR)
print('ended', c.recv(1))
"""])
    listener.wait_output("listening", 20)
    agents_end_lost(lab)
    plain_before = splice.counters(agent)["plain"]
    running = client.spawn(["python3", "-Suc", f"""
import socket, sys
s = socket.create_connection(({server.ip4!r}, {LAST_PORT}))
print('connected')
sys.stdin.readline()
s.send(b'?')
s.recv(1)
"""], stdin=True)
    running.wait_output("connected", 20)
    expect_equal(splice.counters(agent)["plain"] - plain_before, 1, "connections over TCP")
    lose_ends(lab, client, lambda: running.write(b"\n"), f"dport = {LAST_PORT}")
    listener.wait_output("ended b''", 30)
    lose_ends(lab, server, lambda: None, "")
    for each in lab.agents:
        carried_on = splice.counters(each)["carried"]
        expect(carried_on >= 160, f"{carried_on} of 200 connections were carried on by the kernel")
        splice.wait_idle(each)


@case("splice", "splice-short", agent=False, timeout=150, kernels=["stock", "stock"])
def short(lab):
    """A server whose connections are short is left to TCP, and it alone; it comes back when they grow."""
    server, client = lab.guests
    agent = lab.agents[1]
    many.serve(server)
    traffic.transfer_server(server)
    # long enough for a connection on a busy host
    splice.start(lab, f"{many.PORT}, {PORT}", short="{bytes: 64KiB, milliseconds: 10000}")

    def make(count: int, size: int) -> int:
        before = splice.counters(agent)["relayed"]
        running = many.each(client, server, count, size)
        expect_equal(running.wait(60), 0, f"exit code ({running.out + running.err})")
        return splice.counters(agent)["relayed"] - before

    def endpoint() -> dict:
        return smcd.endpoint(agent, many.PORT)

    count = make(40, 64)
    expect(30 <= count < 40, f"{count} of 40 short connections were relayed")
    seen = wait_until(endpoint, lambda it: it["connections"] == 40, 20, "connections learned of")
    expect_equal((seen["connections"], seen["short"], seen["stepped_back"], seen["mean_bytes"]),
                 (40, 40, True, 128), "what was learned")
    told = agent.ask("explain", client.ip4, f"{server.ip4}:{many.PORT}")
    expect_equal(told["verdict"], "TCP", "verdict of explain")
    expect("short" in told["because"], f"explain says {told['because']!r}")
    expect(agent.status()["counters"]["syn_short"] > 0, "nothing was counted as too short")
    before = splice.counters(agent)["relayed"]
    traffic.transfer(client, server.ip4, SIZE)
    expect_equal(splice.counters(agent)["relayed"] - before, 1, "relayed to another server")

    expect_equal(make(5, 1 << 20), 0, "connections relayed while they are left to TCP")
    make(3, 1 << 20)
    expect_equal(endpoint()["stepped_back"], False, "left to TCP after longer ones")
    expect_equal(make(8, 1 << 20), 8, "long connections that were relayed")
    expect(endpoint()["mean_bytes"] > 500000, f"mean bytes of all: {endpoint()}")


@case("splice", "splice-mixed", agent=False, timeout=300, kernels=["stock", "guest"])
def mixed(lab):
    """A 6.1 and a 7.3 guest; redis, nginx and PostgreSQL ran in both before the agents came and are
    accelerated without a restart, asked by their own clients from the other one. Programs of 6.1
    reach servers that are SMC sockets directly; where there is no agent they are TCP's.
    """
    old, new = lab.guests
    running = {guest: [make(guest) for make in servers.ALL] for guest in lab.guests}
    splice.start(lab, f"{servers.PORTS}, {PORT}")
    run_servers(old, new, lab.agents[0], running[new])
    run_servers(new, old, lab.agents[0], running[old])

    # Started now, so a steered one; the rule adopts it, too, and it can do without.
    new.put("/etc/smc-steer/policy.yaml", "version: 1\n")
    new.check("smc-policy apply /etc/smc-steer/policy.yaml")
    traffic.transfer_server(new)
    traffic.transfer(old, new.ip4, SIZE)  # asks its agent first, which says that it does not relay
    carried(old, new, lab.agents[0], "native")


@case("splice", "splice-adopt", agent=False, timeout=300)
def adopt(lab):
    """Two 7.3 guests: servers that run when the agent comes are accelerated and not restarted, for
    SMC sockets of peers; everybody else reaches them as before. Strangers and liars at the agents'
    port are closed and counted; versions that do not fit stay TCP.
    """
    server, client = lab.guests
    running = [make(server) for make in servers.ALL]
    traffic.transfer_server(server)
    listener = stress.serve(server)
    many.serve(server)
    splice.start(lab, f"{servers.PORTS}, {PORT}, {stress.PORT}, {many.PORT}")
    carried(client, server, lab.agents[0], "adopted")
    run_servers(client, server, lab.agents[0], running)

    # Plain TCP sockets of the same guest.
    client.put("/run/plain.yaml", "")
    before = splice.counters(lab.agents[0])["adopted"]
    server_side = server.check("ss -Htn state established 'sport = :6379' | wc -l").strip()
    expect_equal(server_side, "0", "connections of redis that were left")
    running[0].ask(server, server.ip4)
    expect_equal(splice.counters(lab.agents[0])["adopted"], before, "adopted of its own guest's")
    strangers(lab)
    timers(lab)
    taken_over(lab, listener, 2, lab.agents[:1])


def strangers(lab) -> None:
    server, client = lab.guests
    agent = lab.agents[0]

    def knock(guest, script: str) -> str:
        return guest.check(["python3", "-Sc", f"""
import socket, struct
address, own = {server.ip4!r}, {guest.ip4!r}
def header(source, port, destination, versions):
    body = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(
        '>HHBHBB', port, {PORT}, 0xe5, 2, *versions)
    return bytes.fromhex('0d0a0d0a000d0a515549540a2111') + struct.pack('>H', len(body)) + body
def told(s):
    s.settimeout(10)
    try:
        return s.recv(100)
    except ConnectionResetError:
        return b''
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 256)
s.connect((address, 7255))
port = s.getsockname()[1]
{script}
"""]).strip()

    for guest, script, counter, answer in (
            (server, "print(told(s))", "strangers", "b''"),
            (client, "s.send(b'GET / HTTP/1.1\\r\\n\\r\\n'); print(told(s))", "strangers", "b''"),
            (client, "s.send(header('10.77.0.99', port, address, (1, 1))); print(told(s))",
             "strangers", "b''"),
            (client, "s.send(header(own, port, '10.77.0.99', (1, 1))); print(told(s))",
             "strangers", "b''"),
            (client, "s.send(header(own, port, address, (7, 9))); print(told(s))", "disagreed",
             r"b'ST\x02\x05'")):
        before = splice.counters(agent)[counter]
        expect_equal(knock(guest, script), answer, f"what a stranger was told ({script})")
        expect_equal(splice.counters(agent)[counter] - before, 1, f"{counter} ({script})")


def timers(lab) -> None:
    """SMC_JOIN_TIMERS of all kinds of descriptors: what is no SMC socket is refused."""
    server, client = lab.guests
    told = client.check(["python3", "-Sc", f"""
import errno, socket
def ask(fd):
    try:
        module[1].setsockopt(0x534a, 5, fd)
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
def smc():
    return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 256)
def fallen_back():
    listener, one = smc(), smc()
    listener.bind(('::', 0))
    listener.listen()
    one.connect(('::1', listener.getsockname()[1]))
    return [listener, one, listener.accept()[0]]
module = fallen_back()
module[1].setsockopt(socket.IPPROTO_TCP, 31, b'smc_join')
over_smcd = smc()
over_smcd.connect(('::ffff:{server.ip4}', 7255))
others = [smc(), socket.socket(type=socket.SOCK_DGRAM), *socket.socketpair()]
print(*[ask(s.fileno()) for s in [over_smcd, *fallen_back(), *others]], ask(0), ask(-1))
"""])
    expect_equal(told.split(), 4 * ["ok"] + ["EAGAIN"] + 3 * ["EINVAL"] + ["ENOTSOCK", "EBADF"],
                 "answers")


def expect_filters(guest, expected: list[str], what: str) -> None:
    """Kinds of qdiscs and filters at tc ingress of eth0, but for the one that every device has."""
    shown = guest.check("tc qdisc show dev eth0; tc filter show dev eth0 ingress")
    seen = re.findall(r"clsact|bpf(?= chain \d+ handle)", shown)
    expect_equal(seen, expected, f"{what} ({shown})")


@case("splice", "splice-leaves-nothing", agent=False, guests=1, timeout=120, kernels=["stock"])
def leaves_nothing(lab):
    """On 6.1 a filter brings SYNs to the agent. It goes with the agent, and so does its qdisc, also by
    the agent after one that was killed, and by cleanup; not one that others use.
    """
    (guest,) = lab.guests
    (agent,) = lab.agents
    splice.configure(guest, str(PORT))

    def programs() -> list[str]:
        return re.findall(r"splice_adopt:\[\d+\].* id (\d+)",
                          guest.run("tc filter show dev eth0 ingress").out)

    def start() -> None:
        former = programs()  # of an agent that was killed
        agent.launch_ready()
        agent.wait_state("active")
        wait_until(programs, lambda now: now and now != former, 20, "a filter of this agent")

    start()
    expect_filters(guest, ["clsact", "bpf"], "while it runs")
    expect_equal(agent.stop(), 0, "exit code")
    expect_filters(guest, [], "after a clean end")

    start()
    agent.kill()
    expect_filters(guest, ["clsact", "bpf"], "of one that was killed")
    start()
    expect_equal(agent.stop(), 0, "exit code")
    expect_filters(guest, [], "after a clean end of the next one")

    start()
    agent.kill()
    expect("filters of 1 devices removed" in guest.check("smc-policy cleanup"), "cleanup said nothing")
    expect_filters(guest, [], "after cleanup")

    guest.check("tc qdisc add dev eth0 clsact")
    start()
    expect_equal(agent.stop(), 0, "exit code")
    expect_filters(guest, ["clsact"], "what was there before")
    guest.check("tc qdisc del dev eth0 clsact")
