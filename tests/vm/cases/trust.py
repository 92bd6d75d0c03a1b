# SPDX-License-Identifier: Apache-2.0
"""Kernels whose net/smc does not bound what it reads from the region's memory."""

from harness import smcd, trust
from harness.case import case, expect, expect_equal

# The guests' own kernel does; without this file it does not say so.
HIDE = "modprobe smc && mount -t tmpfs none /sys/module/smc/parameters"
PROTOCOL = ["python3", "-c", "import socket as s; print(s.socket().getsockopt(s.SOL_SOCKET, s.SO_PROTOCOL))"]


def untrusted(guest, agent, config: str) -> None:
    """The agent waits for the operator's word, says so in a line, and so do status and doctor."""
    guest.put("/etc/smc-steer/agent.yaml", config)
    agent.launch_ready()
    agent.wait_state("idle")
    status = agent.status()
    expect_equal(status["trust"], {"smc_bounded": False, "region": False}, "what status says")
    expect("'trust: region' into agent.yaml" in status["reason"], status["reason"])
    told = [line for line in agent.log().splitlines() if "trust: region" in line]
    expect_equal(len(told), 1, f"lines of the log that say what to write: {told}")
    expect("net/smc" in told[0], told[0])
    expect("is not set" in guest.check(["smc-policy", "status"]), "the status on one screen")
    doctor = guest.run(["smc-policy", "doctor"])
    expect("write 'trust: region'" in doctor.out and doctor.code == 1, doctor.out)
    expect_equal(guest.check(PROTOCOL).strip(), str(smcd.TCP), "SO_PROTOCOL of a new socket")
    expect_equal(guest.check("sysctl -n net.smc.wmem").strip(), "65536", "net.smc.wmem")
    trial = guest.run(["smc-agent", "--check-upgrade"])
    expect_equal(trial.code, 3, f"exit code of --check-upgrade, which said {trial.err!r}")
    expect("trust: region" in trial.err, trial.err)
    expect_equal(agent.stop(), 0, "exit code after SIGTERM")


@case("spine", "region-not-trusted", agent=False, guests=2, timeout=120)
def region_not_trusted(lab):
    """Where the kernel does not bound SMC nothing is steered and nothing is prepared for it, until
    agent.yaml says that the region is trusted; where it does, nobody has to say anything.
    """
    config = "workloads: all\n"
    lab.guests[1].check(HIDE)
    for guest, agent in zip(lab.guests, lab.agents):
        line = trust.LINE if guest is lab.guests[1] else guest.trust
        if line:
            untrusted(guest, agent, config)
        else:
            guest.put("/etc/smc-steer/agent.yaml", config)
            agent.launch_ready()
            agent.wait_state("active")
            expect_equal(agent.status()["trust"], {"smc_bounded": True, "region": False}, "status")
            expect_equal(agent.stop(), 0, "exit code after SIGTERM")
        guest.put("/etc/smc-steer/agent.yaml", config + line)
        agent.launch_ready()
        agent.wait_state("active")
        expect_equal(agent.stop(), 0, "exit code after SIGTERM")
