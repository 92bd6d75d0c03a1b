# SPDX-License-Identifier: Apache-2.0
"""smc-agent in a guest: start, stop, ask."""

import json
import signal

from . import paths
from .channel import GuestTimeout, Process
from .guest import CommandFailed, Guest, Output

LOG = "/run/smc-agent.log"
SOCKET = "/run/smc-steer/agent.sock"
START_SECONDS = 60 if paths.CHECKED else 20


class Agent:
    def __init__(self, guest: Guest):
        self.guest = guest
        self.process: Process | None = None

    def launch(self, *flags: str) -> Process:
        """Starts smc-agent and returns at once; its log goes to LOG in the guest."""
        agent = paths.built(paths.AGENT)
        words = " ".join([str(agent), *flags])
        self.process = self.guest.spawn(f"exec {words} >>{LOG} 2>&1")
        return self.process

    def launch_ready(self, *flags: str) -> Process:
        """launch(), with the driver loaded first."""
        self.guest.check("modprobe ivpci")
        return self.launch(*flags)

    def start(self, *flags: str, addresses: int = 0) -> "Agent":
        """Starts smc-agent and returns when it is active and knows that many addresses."""
        self.launch_ready(*flags)
        self.wait_state("active", addresses)
        return self

    def wait_state(self, state: str, addresses: int = 0) -> None:
        """Until status says `state` and knows that many addresses of same-host peers. Raises
        with the agent's log if it ends or takes long.
        """
        # One shell in the guest does the waiting, and looks at the agent's log before it asks: each
        # program started costs 0.1 s and more of CPU under TCG. `read -t` sleeps without one.
        script = f"""
            exec {{tick}}<> <(:)
            for ((i = 0; i < {START_SECONDS * 5}; i++)); do
                if [ {state} != active ] || ((i > 20)) || [[ $(<{LOG}) == *active:* ]]; then
                    status=$(smc-policy status --json)
                    [[ $status =~ '"state": "'([a-z]+) ]] && state=${{BASH_REMATCH[1]}}
                    [[ $status =~ '"same_host_addresses": '([0-9]+) ]] && known=${{BASH_REMATCH[1]}}
                    [ "$state" = {state} ] && [ "$known" -ge {addresses} ] && exit 0
                fi
                ((i % 10 < 9)) || kill -0 "$(pidof smc-agent)" || break
                read -rt 0.2 -u $tick
            done 2>/dev/null
            echo "state is ${{state:-unknown}}, ${{known:-0}} addresses known"
            exit 1"""
        try:
            run = self.guest.run(script, START_SECONDS * 3)
        except GuestTimeout as error:
            run = Output(1, "", str(error))
        if run.code:
            raise CommandFailed(f"{self.guest.name}: smc-agent is not {state} with {addresses} "
                                f"same-host addresses: {run.out}{run.err}\n{self.log()}")

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM, as systemd does; the exit code."""
        self.process.signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def log(self, lines: int = 30) -> str:
        return self.guest.run(f"tail -n {lines} {LOG}").out

    def status(self) -> dict:
        return self.ask("status")

    def ask(self, *words: str) -> dict:
        """A reading subcommand of smc-policy, with --json."""
        return json.loads(self.guest.check(["smc-policy", *words, "--json"]))
