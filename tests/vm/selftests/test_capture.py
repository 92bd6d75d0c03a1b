# SPDX-License-Identifier: Apache-2.0
"""The reader of captured SYNs, on frames made by hand."""

import ipaddress
import struct
import unittest

from harness import capture

SMC = bytes([254, 6]) + bytes.fromhex("e2d4c3d9")
MSS = bytes([2, 4, 5, 180])
NOP = b"\1"


def tcp(flags: int, options: bytes, source=40000, destination=9000) -> bytes:
    options += b"\0" * (-len(options) % 4)
    offset = (20 + len(options)) // 4
    return struct.pack("!HHIIBBHHH", source, destination, 1, 0, offset << 4, flags, 0, 0, 0) + options


def frame4(payload: bytes, ihl: int = 5) -> bytes:
    header = bytes([0x40 | ihl]) + bytes(8) + b"\6" + bytes(2)
    header += ipaddress.ip_address("10.77.0.12").packed + ipaddress.ip_address("10.77.0.11").packed
    return bytes(12) + b"\x08\x00" + header + bytes((ihl - 5) * 4) + payload


def frame6(payload: bytes) -> bytes:
    header = b"\x60" + bytes(5) + b"\6" + bytes(1)
    header += ipaddress.ip_address("fd77::c").packed + ipaddress.ip_address("fd77::b").packed
    return bytes(12) + b"\x86\xdd" + header + payload


def pcap(*frames: bytes) -> bytes:
    records = [struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames]
    return bytes(24) + b"".join(records)


class CaptureTest(unittest.TestCase):
    def test_syn_with_and_without_the_option(self):
        syns = capture.parse_pcap(pcap(frame4(tcp(2, MSS + NOP + NOP + SMC)), frame4(tcp(2, MSS))))
        self.assertEqual([syn.smc for syn in syns], [True, False])
        self.assertEqual(syns[0].options, [2, 254])
        self.assertEqual((syns[0].source, syns[0].destination), ("10.77.0.12", "10.77.0.11"))
        self.assertEqual((syns[0].source_port, syns[0].destination_port), (40000, 9000))
        self.assertFalse(syns[0].answer)

    def test_syn_ack_and_ipv6(self):
        syn, = capture.parse_pcap(pcap(frame6(tcp(0x12, SMC, 9000, 40000))))
        self.assertTrue(syn.answer and syn.smc)
        self.assertEqual(syn.source, "fd77::c")

    def test_frames_of_any_device(self):
        cooked = [bytes(14) + frame[12:] for frame in (frame4(tcp(2, SMC)), frame6(tcp(2, MSS)))]
        data = bytes(20) + struct.pack("<I", capture.COOKED) + pcap(*cooked)[24:]
        self.assertEqual([syn.smc for syn in capture.parse_pcap(data)], [True, False])

    def test_ip_options_and_other_segments(self):
        self.assertTrue(capture.parse_frame(frame4(tcp(2, SMC), ihl=7)).smc)
        self.assertIsNone(capture.parse_frame(frame4(tcp(0x10, SMC))))
        self.assertIsNone(capture.parse_frame(bytes(12) + b"\x08\x06" + bytes(40)))

    def test_broken_options_end(self):
        self.assertEqual(capture.option_kinds(bytes([254, 0, 9])), [254])
        self.assertEqual(capture.option_kinds(bytes([0, 254, 6])), [])
        self.assertEqual(capture.option_kinds(b""), [])

    def test_a_record_cut_short(self):
        data = pcap(frame4(tcp(2, MSS)), frame4(tcp(2, MSS)))
        self.assertEqual(len(capture.parse_pcap(data[:-3])), 1)
        self.assertEqual(capture.parse_pcap(b""), [])


if __name__ == "__main__":
    unittest.main()
