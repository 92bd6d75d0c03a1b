# SPDX-License-Identifier: Apache-2.0
"""Reading sockperf's words, medians and ratios."""

import unittest

from harness import measure, traffic
from harness.guest import CommandFailed

SOCKPERF = """\
sockperf: [Total Run] RunTime=3.001 sec; Warm up time=400 msec; SentMessages=18520; ReceivedMessages=18519
sockperf: ====> avg-latency=70.120 (std-dev=31.444, mean-ad=12.1, median-ad=8.2, siqr=6.0, cv=0.4)
sockperf: ---> <MAX> observation = 4101.221
sockperf: ---> percentile 99.999 = 4101.221
sockperf: ---> percentile 99.990 = 2004.113
sockperf: ---> percentile 99.900 =  920.001
sockperf: ---> percentile 99.000 =  211.500
sockperf: ---> percentile 50.000 =   64.250
sockperf: ---> <MIN> observation =   41.002
"""


class SockperfTest(unittest.TestCase):
    def test_percentiles(self):
        latency = traffic.parse_sockperf(SOCKPERF)
        self.assertEqual((latency.p50, latency.p99, latency.messages), (64.25, 211.5, 18519))

    def test_anything_else_is_an_error(self):
        for text in ("", "sockperf: ERROR: Can't connect", SOCKPERF.split("percentile 50")[0]):
            with self.assertRaises(CommandFailed):
                traffic.parse_sockperf(text)


class RowTest(unittest.TestCase):
    def test_ratio_is_how_many_times_better_in_each_turn(self):
        less = measure.Row("l", "us", "less", runs={"tcp": [300.0, 900.0, 310.0], "smc": [100.0, 100.0, 310.0]})
        more = measure.Row("m", "MB/s", "more", runs={"tcp": [100.0], "direct": [150.0]})
        self.assertEqual(less.ratios("smc"), [3.0, 9.0, 1.0])
        self.assertEqual(less.report()["ratios"], {"smc": {"median": 3.0, "worst": 1.0}})
        self.assertEqual(more.ratios("direct"), [1.5])

    def test_missed_goals_are_said(self):
        rows = [measure.Row("a", "us", "less", {"smc": 3.0, "direct": 3.0}, {"tcp": [20.0], "smc": [10.0]}),
                measure.Row("b", "us", "less", {}, {"tcp": [1.0], "smc": [10.0]}),
                measure.Row("c", "MB/s", "more", {"direct": 1.3}, {"tcp": [10.0], "direct": [14.0]})]
        warned = measure.missed([row.report() for row in rows])
        self.assertEqual(len(warned), 1)
        self.assertIn("a: smc is 2.00 times", warned[0])


if __name__ == "__main__":
    unittest.main()
