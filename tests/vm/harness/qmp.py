# SPDX-License-Identifier: Apache-2.0
"""A QMP client: one command, one answer."""

import json
import socket


class QmpError(Exception):
    pass


def execute(path: str, command: str, timeout: float = 10.0, **arguments):
    """Runs one command on the monitor at `path` and returns its "return" value."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
        monitor.settimeout(timeout)
        monitor.connect(path)
        stream = monitor.makefile("rw")
        stream.readline()  # greeting
        for request in ({"execute": "qmp_capabilities"},
                        {"execute": command, "arguments": arguments}):
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            while True:
                line = stream.readline()
                if not line:
                    raise QmpError(f"{command}: the monitor went away")
                answer = json.loads(line)
                if "event" not in answer:
                    break
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
        return answer["return"]
