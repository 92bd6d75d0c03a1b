# SPDX-License-Identifier: Apache-2.0
"""Moments at which net/smc used what was gone, ended what was not its own, or waited for ever: patches 0002,
0003, 0005, 0006 and 0007 of deploy/kernel/patches. Nobody steers.
"""

import signal
import time

from harness import driver, native, smcd, traffic
from harness.case import case, expect, expect_equal, wait_until
from harness.liar import Liar, looks

SIZE = 1 << 20
ABORT = 0x20  # peer_conn_abort, of a header's state
RESTART = "import ctypes; ctypes.CDLL(None).reboot(0x01234567)"  # as reboot -f, whatever runs
# What was freed is all zeros, so that whoever still uses it notices.
FREED = "init_on_free=1"
# TCP's own packets are shorter than the server's half of SMC's handshake. The client waits six seconds for
# that, so it is sent again each second; and what uses this has one CPU, which is quicker on the checked kernel.
HOLD_BACK = f"""sysctl -qw net.ipv4.tcp_rto_max_ms=1000
    nft 'add table ip late; add chain ip late out {{ type filter hook output priority 0; }}
    add rule ip late out tcp sport {traffic.TRANSFER_PORT} meta length > 80 drop'"""

# Says when a connection of that port has bytes that it could not send. No program starts meanwhile: on the checked
# kernel that takes a second.
UNSENT = f"""exec {{tick}}<> <(:)
    echo watching
    look() {{
        while read -ra words; do
            [[ ${{words[1]}} == *:{traffic.TRANSFER_PORT:04X} && ${{words[3]}} == 01 && ${{words[4]}} != 00000000:* ]] &&
                echo unsent && exit
        done
    }}
    while look </proc/net/tcp; look </proc/net/tcp6; true; do
        read -rt 0.1 -u $tick
    done"""


class Handshake:
    """A transfer whose connect() waits for the server's half of SMC's handshake."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.made = traffic.raw_counters(client)["smc"]["client"]
        server.check(HOLD_BACK)
        # It waits for its orders: starting it would take a part of the six seconds that SMC's handshake waits.
        self.letting_go = server.spawn(["nft", "-f", "-"], stdin=True)
        held_back = server.spawn(UNSENT)
        held_back.wait_output("watching", 20)
        argv = traffic.transfer_argv(server.ip4, SIZE, flags=native.SMC)
        self.transfer = client.spawn(argv)
        held_back.wait_output("unsent", 20)

    def expect_tcp(self) -> None:
        """Nothing is held back any more: it became TCP, and every byte arrives."""
        expect(self.transfer.poll() is None, f"it did not wait: {self.transfer.out!r} {self.transfer.err!r}")
        self.letting_go.write(b"delete table ip late\n")
        self.letting_go.write(b"")
        expect_equal(self.letting_go.wait(20), 0, "exit code of nft")
        code = self.transfer.wait(30)
        traffic.transfer_result(code, self.transfer.out + self.transfer.err, "the connection")
        made = traffic.raw_counters(self.client)["smc"]["client"] - self.made
        expect_equal(made, 0, "SMC-D connections made by the client")


def unbind_in_handshake(client, server):
    """The client's connect() waits for its peer's answer, and its driver is being taken from the device. The handshake,
    the unbinding, and the device's name.
    """
    device = client.check(f"basename $(readlink -f {driver.DEVICE}/device)").strip()
    handshake = Handshake(client, server)
    unbinding = client.spawn(f"echo {device} >/sys/bus/pci/drivers/ivpci/unbind")
    wait_until(client.console, lambda text: "removing smcd device" in text, 20, "the driver's removal")
    return handshake, unbinding, device


@case("fabric", "unbind-during-connect", agent=False, cpus=1, timeout=60, append=FREED)
def unbind_during_connect(lab):
    """The driver is taken from its device while a connect() waits for the peer's answer in SMC's
    handshake: it becomes TCP, and carries every byte, though both ends know meanwhile that the client's guest
    has left. Bound again, the next one is SMC-D.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    handshake, unbinding, device = unbind_in_handshake(client, server)
    native.wait_members(server, 0)
    time.sleep(0.2)
    handshake.expect_tcp()
    expect_equal(unbinding.wait(20), 0, "exit code of the unbinding")
    client.check(f"echo {device} >/sys/bus/pci/drivers/ivpci/bind")
    native.wait_members(client, 1)
    smcd.expect_native(client, server, size=SIZE)


@case("fabric", "abort-during-handshake", agent=False, cpus=1, timeout=60, append=FREED)
def abort_during_handshake(lab):
    """The peer's header says "abort" while a server waits for its half of a handshake, which then fails: the
    connection is TCP, and carries every byte. Another one of theirs goes on, and the next one is SMC-D.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    held = native.link(client, server)
    liar = Liar(client, server, client)
    known = [each["index"] for each in liar.buffers()]
    before = looks(server)
    handshake = Handshake(client, server)
    buffers = [each for each in liar.buffers() if each["index"] not in known]
    expect_equal(len(buffers), 1, "buffers of the server that are new")
    # The client will not take a buffer of another length than the server said.
    with liar.claimed_lengths(buffers, 2):
        liar.lie(buffers[0]["index"], (0, 0), (0, 0), state=ABORT)
        wait_until(lambda: looks(server), lambda now: now > before, 10, "looks at the client's buffers")
        handshake.expect_tcp()
    smcd.expect_native(client, server, size=SIZE)
    expect(held.poll() is None, f"the other connection ended: {held.out!r} {held.err!r}")


@case("fabric", "restart-with-a-socket", agent=False, timeout=180)
def restart_with_a_socket(lab):
    """A guest that restarts while a stopped program of it keeps an SMC socket: it does not wait for that. Its
    peer's connection ends, and after the restart there are new ones.
    """
    server, client = lab.guests
    native.load_all(lab)
    native.server(server)
    held = native.link(client, server)
    held.signal(signal.SIGSTOP)
    client.spawn(["python3", "-Sc", RESTART])
    client.wait_boot()
    native.load(client)
    native.wait_members(client, 1)
    smcd.expect_native(client, server, size=SIZE)


LATE_PORT = 9700
# Accepts when it is told to, and says whether there was anybody.
LATE = f"""import socket, sys
late = socket.socket(socket.AF_INET, socket.SOCK_STREAM, {smcd.SMC})
late.bind(("0.0.0.0", {LATE_PORT}))
late.listen()
print("listening", flush=True)
sys.stdin.readline()
late.setblocking(False)
try:
    late.accept()
    print("somebody", flush=True)
except BlockingIOError:
    print("nobody", flush=True)
sys.stdin.readline()
"""


@case("fabric", "end-before-accept", agent=False, timeout=90)
def end_before_accept(lab):
    """A peer ends while its connection waits for a program to accept it. That keeps nothing: the buffers come back,
    and the driver can be unloaded, while the program still listens.
    """
    server, client = lab.guests
    native.load_all(lab)
    late = server.spawn(["python3", "-Sc", LATE], stdin=True)
    late.wait_output("listening", 20)
    native.link(client, server, LATE_PORT)
    wait_until(lambda: traffic.counters(server).server, lambda count: count == 1, 20, "SMC-D connections")
    client.kill()
    native.wait_members(server, 0)
    driver.wait_stats(server, dmbs=0, attachments=0)
    server.check("modprobe -r ivpci", 30)
    late.write(b"\n")
    late.wait_output("nobody", 20)
