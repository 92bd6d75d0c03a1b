# SPDX-License-Identifier: Apache-2.0
"""./dev demo --kernel 6.1: TCP against SMC-D between guests in which nobody steers. The program
(tests/vm/programs/measure) asks for AF_SMC itself, so this shows what the driver gives, not that
unmodified programs get it.
"""

import json

from . import native, paths
from .channel import Process
from .guest import Guest
from .measure import SIZES_IN_BYTES, Meter, Row, Work

MEASURE = paths.PROGRAMS / "measure"
NOTE = ("nothing steers on this kernel: both columns are tests/vm/programs/measure, which asks for "
        "TCP, then for AF_SMC")


class NativeMeter(Meter):
    """Agents there are none: a run is over SMC-D because the program asks for it."""

    how = {True: "asked for AF_SMC", False: "asked for TCP"}
    flags: tuple = ()

    def agents(self, wanted: bool) -> None:
        self.flags = native.SMC if wanted else ()

    def serve(self, guest: Guest, port: int) -> Process:
        server = guest.spawn([str(paths.built(MEASURE)), "serve", *self.flags, guest.ip4, str(port)])
        server.wait_output("listening", 20)
        return server

    def program(self, what: str, size: int, client: Guest, address: str, port: int,
                seconds: int) -> dict:
        return json.loads(client.check([str(paths.built(MEASURE)), what, *self.flags, address,
                                        str(port), str(size), str(seconds)], seconds + 40))

    def pingpong(self) -> Work:
        rows = [Row("pingpong_64B_p50_us", "us", "less", 0.0),
                Row("pingpong_64B_p99_us", "us", "less", 0.0)]

        def run(*where):
            report = self.program("pingpong", 64, *where)
            return [report["p50_us"], report["p99_us"]]
        return Work("ping-pong 64 B", rows, self.serve, run)

    def stream(self, size: str) -> Work:
        row = Row(f"stream_1x_{size}_MBps", "MB/s", "more", 0.0)

        def run(*where):
            return [self.program("stream", SIZES_IN_BYTES[size], *where)["MBps"]]
        return Work(f"1 stream, {size} writes", [row], self.serve, run)

    def works(self) -> list[Work]:
        return [self.pingpong(), self.stream("64KiB"), self.stream("1MiB")]
