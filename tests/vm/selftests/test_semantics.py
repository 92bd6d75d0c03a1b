# SPDX-License-Identifier: Apache-2.0
"""harness/semantics.py: reports are read, rows compared, the table of differences held to account."""

import unittest

from harness import semantics
from harness.semantics import Row

PAGE = """# Compatibility

## Socket semantics

Text.

| row | plain TCP | native | direct | why |
|---|---|---|---|---|
| `Close.End` | end | fails | - | because |
| `Options.SetAndRead/SO_PROTOCOL` | 6 | 256 | same | an SMC socket |
| `Ready.Edge/client` | none | same | IN | |

## Other

| row | plain TCP | native |
|---|---|---|
| X.Y | a | b |
"""

REPORT = {"testsuites": [
    {"name": "Roles/Close", "testsuite": [
        {"name": "End/client", "result": "COMPLETED", "saw": "recv end"},
        {"name": "End/server", "result": "COMPLETED",
         "failures": [{"failure": "it hung", "type": ""}], "saw": "recv EAGAIN"}]},
    {"name": "Connect", "testsuite": [{"name": "Refused", "result": "COMPLETED"},
                                      {"name": "Skipped", "result": "SKIPPED"}]}]}


def rows(**cells: str) -> dict[str, Row]:
    return {name.replace("__", "/").replace("_", "."): Row(cell != "fails", cell)
            for name, cell in cells.items()}


class Reports(unittest.TestCase):
    def test_rows(self):
        found = semantics.parse_report(REPORT)
        self.assertEqual({name: row.cell() for name, row in found.items()}, {
            "Close.End/client": "recv end", "Close.End/server": "fails",
            "Connect.Refused": "passes", "Connect.Skipped": "fails"})
        self.assertEqual(found["Close.End/server"].reason, "it hung")

    def test_differences(self):
        plain = rows(A_B="x", C_D="y", E_F="z")
        other = rows(A_B="x", C_D="fails", G_H="z")
        self.assertEqual(semantics.differences(plain, other), {
            "C.D": ("y", "fails"), "E.F": ("z", "missing"), "G.H": ("missing", "z")})

    def test_roles_are_joined_when_they_agree(self):
        self.assertEqual(semantics.both_roles({
            "A.B/client": ("x", "y"), "A.B/server": ("x", "y"), "C.D/client": ("x", "y"),
            "C.D/server": ("x", "z"), "E.F/client": ("x", "y")}), {
            "A.B": ("x", "y"), "C.D/client": ("x", "y"), "C.D/server": ("x", "z"),
            "E.F/client": ("x", "y")})


class Table(unittest.TestCase):
    def test_columns(self):
        self.assertEqual(semantics.documented("native", PAGE), {
            "Close.End": ("end", "fails"), "Options.SetAndRead/SO_PROTOCOL": ("6", "256")})
        self.assertEqual(semantics.documented("direct", PAGE), {"Ready.Edge/client": ("none", "IN")})

    def test_mistakes_are_named(self):
        for old, new, what in (("## Socket semantics", "## Sockets", "no section"),
                               ("| row | plain", "| rows | plain", "no table"),
                               ("| end | fails |", "| end |", "cells in the row Close.End"),
                               ("`Ready.Edge/client`", "Close.End", "twice")):
            with self.subTest(what), self.assertRaisesRegex(ValueError, what):
                semantics.documented("native", PAGE.replace(old, new, 1))
        with self.assertRaisesRegex(ValueError, "no column 'other'"):
            semantics.documented("other", PAGE)

    def test_what_is_not_documented_and_what_does_not_differ(self):
        wanted = {"A.B": ("x", "y"), "C.D": ("x", "y"), "E.F": ("x", "y")}
        found = {"A.B": ("x", "y"), "C.D": ("x", "z"), "G.H": ("x", "y")}
        self.assertEqual(semantics.compare(wanted, wanted), {})
        wrong = semantics.compare(found, wanted)
        self.assertEqual(list(wrong), ["C.D", "E.F", "G.H"])
        self.assertEqual(list(wrong.values()), [
            "C.D: differs (x | z), the table has it as x | y",
            "E.F: does not differ, the table has it as x | y",
            "G.H: differs (x | y), the table does not have it"])

    def test_rows_that_differ_once_do_not(self):
        page = semantics.documented("native")
        plain = {name: Row(True, cells[0]) for name, cells in page.items()}
        native = {name: Row(cells[1] != "fails", cells[1]) for name, cells in page.items()}
        plain["A.B/client"] = Row(True, "fast")
        asked = []

        def again(saw: str):
            def run(only: str):
                asked.append(only)
                return {"A.B/client": Row(True, saw)}
            return run
        slow = {**native, "A.B/client": Row(True, "slow")}
        semantics.expect_documented(plain, slow, "native", again("fast"), str)
        self.assertEqual(asked, ["*A.B/client:*A.B/client/client:*A.B/client/server"])
        with self.assertRaises(AssertionError):
            semantics.expect_documented(plain, slow, "native", again("slow"), str)

    def test_the_page_has_the_table(self):
        semantics.documented("native")
        for row in semantics.table(semantics.COMPATIBILITY.read_text(encoding="utf-8")):
            self.assertTrue(row["why"], f"{row['row']}: no reason is given")
            self.assertNotIn(row["native"], (semantics.SAME, semantics.UNKNOWN), row["row"])
