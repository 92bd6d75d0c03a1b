# SPDX-License-Identifier: Apache-2.0
"""The page that ./dev bench --html writes: every turn is in the picture, at its ratio, and nothing is fetched."""

import re
import unittest
from xml.etree import ElementTree

from harness import bench_page, demo, direct_bench
from harness.measure import DIRECT, SMC, TCP, Row

MACHINE = "guests of 1 CPU(s) on TCG, kernel 7.3.4, QEMU 7.2.22"


def tree(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))


def made(rows: list[Row], ways=(TCP, SMC, DIRECT), costs=None) -> ElementTree.Element:
    parts = [bench_page.Part("Times as good as TCP", [row.report() for row in rows], list(ways))]
    return tree(bench_page.page(parts, costs or {}, list(ways), MACHINE))


class PageTest(unittest.TestCase):
    def test_each_turn_is_a_dot_at_its_ratio(self):
        row = Row("ping", "us", "less", {"direct": 3.0},
                  runs={"tcp": [100.0, 200.0], "smc": [50.0, 50.0], "direct": [25.0, 200.0]})
        page = made([row])
        dots = [(dot.get("class"), dot.findtext("title")) for dot in page.iter("circle")]
        self.assertEqual(dots, [("one", "2.00x"), ("one", "4.00x"), ("two", "4.00x"), ("two", "1.00x")])
        places = [float(dot.get("cx")) for dot in page.iter("circle")]
        self.assertEqual(places[1], places[2])  # both are four times as good
        self.assertLess(places[3], places[0])
        self.assertLess(places[0], places[1])
        one = next(line for line in page.iter("line") if line.get("class") == "even")
        self.assertEqual(float(one.get("x1")), places[3])
        self.assertEqual([box.findtext("title") for box in page.iter("rect")], ["goal: 3x"])

    def test_more_is_better_where_a_row_says_so(self):
        page = made([Row("stream", "MB/s", "more", runs={"tcp": [100.0], "smc": [50.0]})])
        self.assertEqual([dot.findtext("title") for dot in page.iter("circle")], ["0.50x"])

    def test_all_is_inside_of_the_picture(self):
        ratios = [0.01, 0.7, 1.0, 1.9, 33.0, 700.0]
        page = made([Row("wide", "MB/s", "more", runs={"tcp": [1.0] * len(ratios), "direct": ratios})])
        for dot in page.iter("circle"):
            self.assertTrue(bench_page.LABELS <= float(dot.get("cx")) <= bench_page.WIDTH - bench_page.RIGHT)

    def test_a_way_that_was_not_measured_has_no_figure(self):
        page = made([Row("one", "us", "less", runs={"tcp": [10.0], "direct": [5.0]})])
        cells = [cell.text for cell in next(page.iter("tbody")).iter("td")]
        self.assertEqual(cells, ["one", "10.0 ", "-", "5.0 ", "us", "-", "2.00x "])

    def test_where_it_was_taken_stands_above_each_figure_and_words_are_no_markup(self):
        page = made([Row("a<b>&c", "us", "less", runs={"tcp": [1.0], "direct": [1.0]})],
                    costs={"doorbells": {"a<b> (message)": {"smc": 0.5}}})
        sections = list(page.iter("section"))
        self.assertEqual([section.find("p").text for section in sections], [MACHINE, MACHINE])
        self.assertIn("a<b>&c", [text.text for text in page.iter("text")])
        self.assertEqual([cell.text for cell in sections[1].iter("td")], ["a<b> (message)", "-", "0.50", "-"])

    def test_nothing_is_fetched(self):
        html = bench_page.page([bench_page.Part("t", [Row("r", "us", "less", runs={"tcp": [1.0], "smc": [1.0]}).report()],
                                                [TCP, SMC])], {}, [TCP, SMC], MACHINE)
        self.assertIsNone(re.search(r"(?i)https?:|src=|href=|@import|url\(|<script", html))

    def test_both_kinds_of_report_have_a_page(self):
        common = {"kernel": "7.3.4", "qemu": "7.2", "accel": "tcg", "cpus": 1, "costs": {}}
        row = Row("r", "us", "less", runs={"tcp": [4.0], "direct": [2.0]}).report()
        ways = [{"key": "tcp", "title": "TCP", "config": ""}, {"key": "direct", "title": "direct", "config": ""}]
        ring = Row("r", "MB/s", "more", runs={"user_ring": [4.0], "direct": [2.0]}).report("user_ring")
        alone = Row("r", "us", "less", runs={key: [1.0] for key in direct_bench.NEVER_MOVED}).report("absent")
        shown = tree(demo.page({**common, "ways": ways, "results": [row]}, "end-to-end"))
        self.assertEqual([dot.findtext("title") for dot in shown.iter("circle")], ["2.00x"])
        shown = tree(demo.page({**common, "moved": [row], "bounds": [ring], "never_moved": [alone]}, "direct"))
        self.assertEqual(len(list(shown.iter("svg"))), 3)
        self.assertEqual([dot.findtext("title") for dot in shown.iter("circle")],
                         ["2.00x", "0.50x", "1.00x", "1.00x", "1.00x"])
