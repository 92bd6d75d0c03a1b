# SPDX-License-Identifier: Apache-2.0
"""Services as kube-proxy makes them: addresses that netfilter rewrites to a backend's, and
network namespaces that stand for pods.
"""

from dataclasses import dataclass

from .containers import subnet4, subnet6
from .guest import Guest

POD = "pod"  # the namespace's name
PORT = 80  # of all services
SERVICES4, SERVICES6 = "10.96.0.0/12", "fd96::/108"


def service4(number: int) -> str:
    return f"10.96.0.{number}"


def service6(number: int) -> str:
    return f"fd96::{number:x}"


@dataclass
class FakePod:
    """A network namespace with a veth, routed by the guest's first one, as CNI's ptp does it."""

    guest: Guest
    netns: str
    ip4: str
    ip6: str


def make_pod(guest: Guest, others: list[Guest], name: str = POD, host: int = 2) -> FakePod:
    """Also the routes to the pods of the other guests, with the first pod of a guest."""
    def inside(subnet: str, last: int) -> str:
        return subnet.split("/")[0].removesuffix("0") + str(last) if "." in subnet else (
            subnet.split("/")[0] + str(last))
    number = guest.number
    pod = FakePod(guest, name, inside(subnet4(number), host), inside(subnet6(number), host))
    gateway4, gateway6 = inside(subnet4(number), 1), "fe80::1"
    veth = f"veth-{name}"
    script = f"""set -e
        sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
        ip netns add {name}
        ip link add {veth} type veth peer name eth0 netns {name}
        ip addr add {gateway4}/32 dev {veth}
        ip addr add {gateway6}/64 dev {veth} nodad
        ip link set {veth} up
        ip -n {name} link set lo up
        ip -n {name} link set eth0 up
        ip -n {name} addr add {pod.ip4}/32 dev eth0
        ip -n {name} addr add {pod.ip6}/128 dev eth0 nodad
        ip -n {name} route add {gateway4} dev eth0
        ip -n {name} route add default via {gateway4}
        ip -n {name} -6 route add default via {gateway6} dev eth0
        ip route add {pod.ip4} dev {veth}
        ip -6 route add {pod.ip6} dev {veth}
    """
    for other in others if host == 2 else []:
        if other is not guest:
            script += f"""
                ip route add {subnet4(other.number)} via {other.ip4}
                ip -6 route add {subnet6(other.number)} via {other.ip6}"""
    guest.check(script)
    return pod


def rewrite(guest: Guest, rules: list[tuple[str, int, str, int]], masquerade: bool = False) -> None:
    """DNAT of (service, port) to (backend, port), of what comes by and of the guest's own; in place
    of all rules made so before.
    """
    lines = []
    for service, port, backend, to in rules:
        family, place = ("ip6", f"[{backend}]") if ":" in backend else ("ip", backend)
        lines.append(f"{family} daddr {service} tcp dport {port} dnat {family} to {place}:{to}")
    dnat = "\n                ".join(lines)
    source = "ct status dnat masquerade" if masquerade else ""
    text = f"""
        table inet services {{ }}
        delete table inet services
        table inet services {{
            chain passing {{
                type nat hook prerouting priority dstnat
                {dnat}
            }}
            chain own {{
                type nat hook output priority -100
                {dnat}
            }}
            chain source {{
                type nat hook postrouting priority srcnat
                {source}
            }}
        }}
    """
    guest.put("/run/services.nft", text)
    guest.check("nft -f /run/services.nft")
