# SPDX-License-Identifier: Apache-2.0
"""tests/vm/programs/stress: connections that have to get on all the time."""

import json

from . import paths
from .case import expect_equal
from .channel import Process
from .guest import Guest

PROGRAM = paths.PROGRAMS / "stress"
PORT = 9100


def serve(guest: Guest, flags: tuple = ()) -> Process:
    server = guest.spawn([str(paths.built(PROGRAM)), "serve", *flags, str(PORT)])
    server.wait_output("listening", 20)
    return server


def start(client: Guest, server: Guest, connections: int, seconds: int,
          limit_ms: int = 2000, flags: tuple = ()) -> Process:
    """Ends with 1 when a connection breaks, brings a wrong byte, or stands still for that long."""
    return client.spawn([str(paths.built(PROGRAM)), "run", *flags, server.ip4, str(PORT),
                         str(connections), str(seconds), str(limit_ms)])


def finish(running: Process, timeout: float, listener: Process | None = None) -> dict:
    """The report of a run in which all went well."""
    code = running.wait(timeout)
    text = (running.out + running.err).decode().strip()
    if code and listener is not None:
        listener.poll()
        text += f"\nthe server: {listener.err.decode().strip()}"
    expect_equal(code, 0, f"exit code of stress ({text})")
    return json.loads(running.out)


def run(client: Guest, server: Guest, connections: int, seconds: int,
        limit_ms: int = 2000, listener: Process | None = None, flags: tuple = ()) -> dict:
    running = start(client, server, connections, seconds, limit_ms, flags)
    return finish(running, seconds + 60, listener)
