# SPDX-License-Identifier: Apache-2.0
"""The broker as a service of Debian's systemd, as deploy/systemd ships it."""

import json
import re

from harness import paths
from harness.case import case, expect, expect_equal

DEPLOY = paths.REPO / "deploy" / "systemd"
TESTS = paths.BUILD / "tests" / "broker" / "under_systemd" / "under_systemd"
UNIT = "ivpci-broker.service"
MOST_EXPOSED = 1.5  # of 10; it was 0.7, and a service without hardening has 9.6


def properties(guest, *names: str) -> dict[str, str]:
    out = guest.check(["systemctl", "show", "-p", ",".join(names), UNIT])
    return dict(line.split("=", 1) for line in out.splitlines())


@case("fabric", "broker-under-systemd", agent=False, guests=1, regions=0, systemd=True, timeout=90)
def broker_under_systemd(lab):
    """The unit as it ships, hardened and unprivileged: started, restarted, killed and hung, with
    members that stay and members that come; its exposure by systemd-analyze.
    """
    guest = lab.guests[0]
    # /usr/sbin, since ProtectHome hides a build directory below a home directory.
    guest.check(f"""install -m 755 {paths.built(paths.BROKER)} /usr/sbin/ivpci-broker
        install -D -m 644 {DEPLOY}/ivpci-broker.service /etc/systemd/system/{UNIT}
        install -D -m 644 {DEPLOY}/ivpci-broker.yaml /etc/ivpci/broker.yaml
        install -D -m 644 {DEPLOY}/ivpci-broker.sysusers /etc/sysusers.d/ivpci-broker.conf
        mkdir -p /etc/systemd/system/{UNIT}.d
        printf '[Service]\\nWatchdogSec=3\\n' >/etc/systemd/system/{UNIT}.d/soon.conf
        systemd-sysusers
        systemctl daemon-reload
        systemctl start {UNIT}""", 90)
    shown = properties(guest, "ActiveState", "MainPID", "User", "StatusText", "NFileDescriptorStore")
    expect_equal(shown["ActiveState"], "active", "state of the unit after READY")
    expect("0 of 32 slots" in shown["StatusText"], f"status text {shown['StatusText']!r}")
    status = guest.check(f"cat /proc/{shown['MainPID']}/status")
    expect_equal(re.search(r"CapEff:\t(\w+)", status)[1].strip("0"), "", "capabilities")
    expect_equal(re.search(r"NoNewPrivs:\t(\d)", status)[1], "1", "NoNewPrivs")
    expect(re.search(r"Uid:\t(\d+)", status)[1] != "0", "the broker runs as root")
    expect_equal(int(shown["NFileDescriptorStore"]), 4, "descriptors kept without members")

    run = guest.run([str(paths.built(TESTS))], 80)
    expect_equal(run.code, 0, f"exit code of under_systemd: {run.out[-3000:]}{run.err[-2000:]}")
    expect("PASSED  ] 4 tests" in run.out, f"not all tests passed: {run.out[-300:]}")
    report = json.loads(guest.check(["ivpci-broker", "status", "--json", "--control",
                                     "/run/ivpci/control"]))
    expect_equal(report["regions"][0]["name"], "blue", "region in the status")

    analysis = guest.run(f"systemd-analyze security --no-pager {UNIT}")
    exposure = float(re.search(r"Overall exposure level.*: ([\d.]+)", analysis.out)[1])
    lab.progress(f"exposure {exposure}")
    print(f"exposure of {UNIT}: {exposure}\n{analysis.out}")
    expect(exposure <= MOST_EXPOSED, f"exposure {exposure} is more than {MOST_EXPOSED}")
