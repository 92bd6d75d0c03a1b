# SPDX-License-Identifier: Apache-2.0
"""./dev bench --html: a report as one page that opens without a network, with a picture of each turn's ratio to TCP."""

import math
from dataclasses import dataclass
from html import escape
from statistics import median

from .measure import Way


@dataclass
class Part:
    """Rows as Row.report() says them, compared with the first of `ways`, four at most."""

    title: str
    rows: list[dict]
    ways: list[Way]

# Of the picture, in its own units.
LABELS, RIGHT, TOP, LINE = 230, 60, 34, 30
WIDTH = 900
# Ways of one row lie twice this far above each other.
APART = 5
COLOURS = ["one", "two", "three"]

STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #fff; --ink: #1a2230; --quiet: #5c6779; --line: #dfe3ea;
  --one: #b45309; --two: #2563c9; --three: #0e8f8f }
@media (prefers-color-scheme: dark) { :root { --paper: #10151d; --card: #182029; --ink: #e4e9f1; --quiet: #95a1b4;
  --line: #2a3442; --one: #f2b85c; --two: #78a9ff; --three: #4fd1d1 } }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 1rem 0; overflow-x: auto }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 0 }
p { color: var(--quiet); margin: .3rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
small { color: var(--quiet) } td small { display: block }
svg { width: 100%; min-width: 40rem; height: auto } svg text { fill: var(--ink); font-size: 12px }
svg .scale { stroke: var(--line) } svg .even { stroke: var(--quiet); stroke-width: 1.5 } svg .quiet { fill: var(--quiet) }
.one { fill: var(--one); stroke: var(--one); color: var(--one) } .two { fill: var(--two); stroke: var(--two); color: var(--two) }
.three { fill: var(--three); stroke: var(--three); color: var(--three) }
svg circle { fill-opacity: .35; stroke-opacity: .6 } svg .middle { stroke-width: 3 } svg .goal { fill: none; stroke-dasharray: 2 2 }
"""


class Scale:
    """Ratios as places on a line, each doubling as wide as the next."""

    def __init__(self, ratios: list[float]):
        lowest, highest = min([0.9, *ratios]), max([2.2, *ratios])
        self.first, self.last = math.floor(math.log2(lowest)), math.ceil(math.log2(highest))

    def at(self, ratio: float) -> float:
        part = (math.log2(ratio) - self.first) / (self.last - self.first)
        return round(LABELS + part * (WIDTH - LABELS - RIGHT), 1)

    def marks(self) -> list[float]:
        return [2.0 ** power for power in range(self.first, self.last + 1)]


def turns(row: dict, way: str) -> list[float]:
    """The ratio of each turn in which both were measured."""
    return [ratio for ratio in row["turns"].get(way, []) if ratio]


def dots(row: dict, way: str, colour: str, middle: float, scale: Scale) -> list[str]:
    """A dot for each turn, a stroke for their median, and a box where the goal is."""
    ratios = turns(row, way)
    if not ratios:
        return []
    shapes = [f'<circle class="{colour}" cx="{scale.at(each)}" cy="{middle}" r="4"><title>{each:.2f}x</title></circle>'
              for each in ratios]
    place = scale.at(median(ratios))
    shapes.append(f'<line class="{colour} middle" x1="{place}" x2="{place}" y1="{middle - 6}" y2="{middle + 6}"/>')
    if way in row["goals"]:
        shapes.append(f'<rect class="{colour} goal" x="{scale.at(row["goals"][way]) - 3}" y="{middle - 5}" width="6" height="10">'
                      f'<title>goal: {row["goals"][way]:g}x</title></rect>')
    return shapes


def picture(part: Part) -> str:
    """How many times as good as the first way: a line for each row."""
    keys = [way.key for way in part.ways[1:]]
    shown = [(row, [key for key in keys if key in row["runs"]]) for row in part.rows]
    scale = Scale([each for row, its in shown for key in its for each in turns(row, key)]
                  + [goal for row, its in shown for key, goal in row["goals"].items() if key in its])
    height = TOP + LINE * len(shown) + 8
    text = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(part.title)}">']
    for mark in scale.marks():
        kind = "even" if mark == 1 else "scale"
        text.append(f'<line class="{kind}" x1="{scale.at(mark)}" x2="{scale.at(mark)}" y1="{TOP - 8}" y2="{height}"/>'
                    f'<text class="quiet" x="{scale.at(mark)}" y="{TOP - 14}" text-anchor="middle">{mark:g}x</text>')
    for number, (row, its) in enumerate(shown):
        middle = TOP + LINE * number + LINE / 2
        text.append(f'<text x="0" y="{middle + 4}">{escape(row["name"])}</text>')
        for place, key in enumerate(its):
            text += dots(row, key, COLOURS[keys.index(key)], middle + APART * (2 * place - len(its) + 1), scale)
    return "\n".join([*text, "</svg>"])


def grid(heads: list[str], lines: list[list[str]]) -> str:
    """Cells are HTML, heads are words."""
    return "\n".join(["<table><thead><tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr></thead><tbody>",
                      *("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines),
                      "</tbody></table>"])


def value_cell(row: dict, way: Way) -> str:
    runs = row["runs"].get(way.key)
    return f"{median(runs):,.1f} <small>{min(runs):,.1f} to {max(runs):,.1f}</small>" if runs else "-"


def ratio_cell(row: dict, way: Way) -> str:
    ratios = turns(row, way.key)
    return f"{median(ratios):.2f}x <small>{min(ratios):.2f}x</small>" if ratios else "-"


def figures(part: Part) -> str:
    base, *others = part.ways
    heads = ["", *(way.title for way in part.ways), "unit", *(f"{way.title} of {base.title}" for way in others)]
    return grid(heads, [[escape(row["name"]), *(value_cell(row, way) for way in part.ways), escape(row["unit"]),
                         *(ratio_cell(row, way) for way in others)] for row in part.rows])


def costs(by_row: dict, ways: list[Way]) -> str:
    return grid(["", *(way.title for way in ways)],
                [[escape(name), *(f"{by_way[way.key]:,.2f}" if way.key in by_way else "-" for way in ways)]
                 for name, by_way in by_row.items()])


def section(title: str, machine: str, about: str, *bodies: str) -> str:
    """Where a number was taken stands above it."""
    return "\n".join([f"<section><h2>{escape(title)}</h2><p>{escape(machine)}</p><p>{about}</p>", *bodies, "</section>"])


def compared(part: Part, machine: str) -> str:
    count = max(len(runs) for row in part.rows for runs in row["runs"].values())
    legend = ", ".join(f'<span class="{colour}">{escape(way.title)}</span>' for way, colour in zip(part.ways[1:], COLOURS))
    about = (f"{legend}: a dot is one of {count} turns, compared with {escape(part.ways[0].title)} in the same turn; a stroke is the "
             "median, a dashed box the goal. Right of 1x is better. In the table: medians, and small the lowest and the "
             "highest value, and the worst turn.")
    return section(part.title, machine, about, picture(part), figures(part))


def page(parts: list[Part], costs_by_kind: dict, cost_ways: list[Way], machine: str) -> str:
    """`costs_by_kind`: as Meter.cost_report(). `machine`: one line about where all was taken."""
    sections = [compared(part, machine) for part in parts if part.rows]
    sections += [section(f"{kind} of each operation", machine, "Medians, both guests together.", costs(by_row, cost_ways))
                 for kind, by_row in costs_by_kind.items() if by_row]
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width"/>'
            f"<title>smc-steer bench</title><style>{STYLE}</style></head>\n<body><h1>smc-steer: shared memory against TCP</h1>\n"
            + "\n".join(sections) + "\n</body></html>\n")
