# SPDX-License-Identifier: Apache-2.0
"""The status page of an agent at work, in a browser."""

import http.client
import json
import shlex
import time

from harness import browser, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until

PORT = 9470
FELL_BACK_PORT = 9100
HOSTILE_HOST = "<img src=x onerror=document.title=1>\"'&"
HOSTILE_GROUP = "<script>document.title=2<script>"


def ask(guest, path: str, verb: str = "GET", headers: dict | None = None, body: str | None = None):
    """Status, headers and body, from the host's side of the bridge."""
    connection = http.client.HTTPConnection(guest.ip4, PORT, timeout=10)
    try:
        connection.request(verb, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def view_of(guest) -> dict:
    return json.loads(ask(guest, "/status.json")[2])


def moved(plot: dict, name: str) -> float:
    """Bytes under the curve; the first period's length is the nominal one."""
    ages = [plot["ages"][0] + 2, *plot["ages"]] if plot["ages"] else []
    return sum(rate * (before - after)
               for rate, before, after in zip(plot[name], ages, ages[1:]))


def flows_by_mode(dom: browser.Dom) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for row in dom.tables["flows"]:
        found.setdefault(row[0], []).append(row)
    return found


def expect_the_flows(dom: browser.Dom, server, client, what: str) -> None:
    """The rows tell what runs: two connections over SMC-D, one that fell back and why."""
    flows = flows_by_mode(dom)
    expect_equal({mode: len(rows) for mode, rows in flows.items()},
                 {"SMC-D": 2, "TCP-fallback": 1}, f"{what}: flows by mode")
    for row in flows["SMC-D"]:
        expect_equal(row[3], f"{server.ip4}:{traffic.TRANSFER_PORT}", f"{what}: peer")
        expect(row[2].startswith(client.ip4 + ":"), f"{what}: local is {row[2]}")
    groups = {row[1] for row in flows["SMC-D"]}
    expect("/" + HOSTILE_GROUP in groups, f"{what}: workloads are {groups}")
    (fell,) = flows["TCP-fallback"]
    expect_equal((fell[3], fell[7]), (f"{server.ip4}:{FELL_BACK_PORT}",
                                      "not agreed in the TCP handshake"), f"{what}: fallback")
    (peer,) = dom.tables["peers"]
    expect_equal(peer[1], HOSTILE_HOST, f"{what}: the peer's name, as text")
    expect_equal(peer[3], "up", f"{what}: the link")
    expect_equal(dom.texts["node.state"], "active", f"{what}: state")
    # The page's own script and nothing that a name brought along.
    expect_equal((dom.tags.get("img", 0), dom.tags.get("script", 0)), (0, 1), f"{what}: markup")
    expect(dom.title not in ("1", "2"), f"{what}: a script of a name ran: title {dom.title}")


@case("deploy", "status-page", agent=False, timeout=150)
def status_page(lab):
    """The status page in a browser: the connections that run, the ones that fell back, peers and
    throughput, with scripts and without; hostile names stay text; nothing can be written.
    """
    server, client = lab.guests
    server.check(["python3", "-c", "import socket, sys; socket.sethostname(sys.argv[1])",
                  HOSTILE_HOST])
    for guest in lab.guests:
        guest.configure_agent("workloads: all\nmetrics: {listen: "
                  f"'{guest.ip4}:{PORT}', status_page: on}}\n")
    lab.start_agents()
    traffic.transfer_server(server)
    url = f"http://{client.ip4}:{PORT}/"

    # The plot: what is under it is what was sent.
    size = 64 << 20
    smcd.expect_smcd(client, server, size=size)
    plot = wait_until(lambda: view_of(client)["plot"],
                      lambda plot: sum(plot["sent"]) and plot["sent"][-1] == 0, 30, "the plot", 1)
    counted = moved(plot, "sent")
    print(f"{counted / size:.2f} of the {size >> 20} MiB sent are under the curve")
    expect(0.8 * size < counted < 1.3 * size, f"{counted} bytes sent in the plot, of {size}")

    server.check(["smc-policy", "deny", str(FELL_BACK_PORT)])
    traffic.transfer_server(server, port=FELL_BACK_PORT)
    group = shlex.quote(f"/sys/fs/cgroup/{HOSTILE_GROUP}")
    words = " ".join([str(traffic.TRANSFER), "hold", server.ip4])
    held = client.spawn(f"mkdir {group} && echo $$ >{group}/cgroup.procs && "
                        f"exec {words} {traffic.TRANSFER_PORT} 1")
    fell = client.spawn(f"exec {words} {FELL_BACK_PORT} 1")
    for each in (held, fell):
        each.wait_output("connected", 20)
    client.spawn(traffic.transfer_argv(server.ip4, 1 << 42))
    time.sleep(8)  # something to see in the plot

    dom, console = browser.dump(url)
    expect_equal(console, [], "the browser's console, where refused resources would be")
    expect_the_flows(dom, server, client, "with scripts")
    expect("hidden" not in dom.by_id["plot"] and dom.tags.get("path", 0) == 4,
           f"the plot is not drawn: {dom.by_id['plot']}, {dom.tags}")
    expect("hidden" in dom.by_id["stale"], "the page takes its answers for old")
    expect(dom.tables["throughput"][0][1] != "0 B/s", f"throughput: {dom.tables['throughput']}")
    bare, _ = browser.dump(url, javascript=False)
    expect_the_flows(bare, server, client, "without scripts")
    expect("hidden" in bare.by_id["plot"] and "path" not in bare.tags,
           "the plot is there without scripts: they are not off")
    for name, width, height, dark in (("page", 1200, 1480, False), ("dark", 1200, 1480, True),
                                      ("phone", 500, 2300, False)):
        browser.screenshot(url, lab.logs / f"status-{name}.png", (width, height), dark)

    # Reading only, and only for who asks for this machine.
    code, headers, _ = ask(client, "/")
    expect_equal(code, 200, "HTTP status of the page")
    expect(headers["Content-Security-Policy"].startswith("default-src 'none'"),
           f"headers: {headers}")
    for verb in ("POST", "PUT", "DELETE", "PATCH"):
        expect_equal(ask(client, "/status.json", verb, body="x=1")[0], 405, f"{verb}")
    expect_equal(ask(client, "/", headers={"Host": f"evil.example:{PORT}"})[0], 403,
                 "HTTP status for another name")
    expect_equal(ask(client, "/status.html")[0], 404, "HTTP status of a path that is none")
    expect("smc_steer_active 1" in ask(client, "/metrics")[2], "metrics are not there beside it")

    # Off, as it is by default: no trace of it.
    expect_equal(lab.agents[0].stop(), 0, "exit code after SIGTERM")
    server.configure_agent(f"metrics: {{listen: '{server.ip4}:{PORT}'}}\n")
    lab.agents[0].launch()
    lab.agents[0].wait_state("active")
    for path in ("/", "/status.json", "/status.css", "/status.js"):
        expect_equal(ask(server, path)[0], 404, f"HTTP status of {path} with the page off")
