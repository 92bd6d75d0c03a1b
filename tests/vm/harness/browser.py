# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium on the lab's side of the bridge, and what it makes of a page."""

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

BINARY = "chromium"
# Pages go on fetching for ever: the browser's own clock is let run this far. It stands still
# while an answer is awaited.
VIRTUAL_MILLISECONDS = 5000


@dataclass
class Dom:
    """Elements of a page: tables by the name in data-rows, the rest by tag and id."""

    tags: dict[str, int] = field(default_factory=dict)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # by data-text
    by_id: dict[str, dict] = field(default_factory=dict)  # attributes
    title: str = ""


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.dom = Dom()
        self.rows = self.cell = self.text_of = None
        self.in_title = False

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.dom.tags[tag] = self.dom.tags.get(tag, 0) + 1
        if "id" in attributes:
            self.dom.by_id[attributes["id"]] = attributes
        if tag == "tbody" and "data-rows" in attributes:
            self.rows = self.dom.tables.setdefault(attributes["data-rows"], [])
        if tag == "tr" and self.rows is not None:
            self.rows.append([])
        if tag == "td" and self.rows:
            self.rows[-1].append("")
            self.cell = True
        if "data-text" in attributes:
            self.text_of = (tag, attributes["data-text"])
            self.dom.texts[self.text_of[1]] = ""
        self.in_title = tag == "title"

    def handle_endtag(self, tag):
        if tag == "td":
            self.cell = None
        if tag == "tbody":
            self.rows = None
        if self.text_of and tag == self.text_of[0]:
            self.text_of = None
        if tag == "title":
            self.in_title = False

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data
        if self.text_of:
            self.dom.texts[self.text_of[1]] += data
        if self.in_title:
            self.dom.title += data


def read_dom(html: str) -> Dom:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.dom


# Of a profile in which pages may run no scripts; the browser itself still looks at their DOM.
NO_SCRIPTS = {"profile": {"default_content_setting_values": {"javascript": 2}}}


def run(url: str, *flags: str, preferences: dict | None = None) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory(prefix="smc-steer-chromium.") as home:
        profile = Path(home) / "Default"
        profile.mkdir()
        (profile / "Preferences").write_text(json.dumps(preferences or {}))
        argv = [BINARY, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-dev-shm-usage", "--disable-background-networking",
                "--enable-logging=stderr", f"--user-data-dir={home}", *flags, url]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)


def dump(url: str, javascript: bool = True) -> tuple[Dom, list[str]]:
    """The page after its scripts have run a while, and what it wrote to the console."""
    if javascript:
        done = run(url, "--dump-dom", f"--virtual-time-budget={VIRTUAL_MILLISECONDS}")
    else:
        done = run(url, "--dump-dom", preferences=NO_SCRIPTS)
    return read_dom(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def screenshot(url: str, path: Path, size: tuple[int, int], dark: bool = False) -> None:
    flags = [f"--screenshot={path}", f"--window-size={size[0]},{size[1]}", "--hide-scrollbars",
             f"--virtual-time-budget={VIRTUAL_MILLISECONDS}"]
    run(url, *flags, *(["--blink-settings=preferredColorScheme=0"] if dark else []))
