"""One look for every figure: which label has which colour, marker and line, and the sizes of fonts and pages.

The colours are Okabe and Ito's (with Tol's "muted" for what they do not reach), which colour-blind readers tell apart; the
markers and line styles tell the methods apart in grey. A label that is not in the map, such as a user's own coefficient or an
ablation, gets a further look that depends on the label, and on the other unknown labels only so that no two share a colour, marker
or line as long as there are others.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter

STYLE_SHEET = Path(__file__).with_name("paper.mplstyle")
COLUMN_WIDTH, FULL_WIDTH = 3.4, 7.0  # inches
BAND_ALPHA = 0.1
#: Bands of more lines than this cannot be told apart; whiskers side by side can.
MOST_BANDS = 4
#: A KL below this, in nats, is a rounding of 0 (policy and reference are still the same), and has no place on a logarithmic axis.
LEAST_KL = 1e-7

_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")

LineStyle = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Style:
    """How one label is drawn."""

    color: str
    marker: str
    linestyle: LineStyle = "-"
    size: float = 3.8  # of the marker, in points

    def line(self) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.linestyle, "markersize": self.size}


#: In the order in which legends and tables list them.
STYLES: dict[str, Style] = {
    "SFT": Style("#000000", "o", (0, (4, 1.5))),
    "SFT (continued)": Style("#767676", "X", (0, (1.5, 1.2))),
    "RFT": Style("#E69F00", "s", (0, (6, 1.5))),
    "DPO": Style("#56B4E9", "v", (0, (4, 1, 1, 1))),
    "Online RFT": Style("#009E73", "D"),
    "PPO": Style("#CC79A7", "P", (0, (6, 1, 1, 1))),
    "GRPO+OS": Style("#0072B2", "^"),
    "GRPO+PS": Style("#D55E00", "*", size=6.0),
    "RLOO": Style("#882255", "<", (0, (3, 1))),
    "Dr. GRPO": Style("#332288", ">", (0, (5, 1, 1, 1, 1, 1))),
    "DAPO": Style("#999933", "p", (0, (2, 1))),
    # The reward ablation: supervision by colour, the reward's quality by line and marker.
    "GRPO+OS, exact": Style("#0072B2", "^"),
    "GRPO+PS, exact": Style("#D55E00", "*", size=6.0),
    "GRPO+OS, learned": Style("#0072B2", "o", (0, (4, 1.5))),
    "GRPO+PS, learned": Style("#D55E00", "D", (0, (4, 1.5))),
    "GRPO+OS, learned, slow": Style("#56B4E9", "h", (0, (4, 1, 1, 1))),
    "GRPO+OS, noisy": Style("#0072B2", "s", (0, (1, 1))),
    "GRPO+PS, noisy": Style("#D55E00", "v", (0, (1, 1))),
}
#: For values of one factor that have an order, from the least to the most: viridis, without its lightest end.
ORDERED = ("#440154", "#414487", "#2A788E", "#22A884", "#7AD151", "#BBA80B")
FURTHER_COLORS = ("#44AA99", "#AA4499", "#117733", "#B8860B", "#661100", "#5566AA")
FURTHER_MARKERS = ("h", "d", ">", "p", "X")
FURTHER_LINES: tuple[LineStyle, ...] = ("-", (0, (4, 1.5)), (0, (1.5, 1.2)), (0, (4, 1, 1, 1)), (0, (6, 1, 1, 1, 1, 1)))


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A look for each label, in legend order: the map's own labels first, then others by name."""
    labels = set(labels)
    chosen = {label: style for label, style in STYLES.items() if label in labels}
    related = {**_ordered(labels - chosen.keys()), **_paired(labels)}
    colors, markers = [0] * len(FURTHER_COLORS), [0] * len(FURTHER_MARKERS)  # how often each has been given
    pairs = set(product(range(len(colors)), range(len(markers))))
    free, turn = set(pairs), 0
    for label in sorted(labels - chosen.keys()):
        if label in related:
            chosen[label] = related[label]
            continue
        first = zlib.crc32(label.encode())
        color, marker = min(
            free,
            key=lambda pair: (
                colors[pair[0]],
                markers[pair[1]],
                (pair[0] - first) % len(colors),
                (pair[1] - first) % len(markers),
            ),
        )
        free.discard((color, marker))
        line = FURTHER_LINES[(marker + turn) % len(FURTHER_LINES)]
        if not free:  # all pairs have been given: once more, with another line
            free, turn = set(pairs), turn + 1
        colors[color] += 1
        markers[marker] += 1
        chosen[label] = Style(FURTHER_COLORS[color], FURTHER_MARKERS[marker], line)
    return chosen


def _ordered(labels: Iterable[str]) -> dict[str, Style]:
    """Labels that differ in one number alone ("groups of 4", "groups of 16"), three or more: colours in the number's order."""
    families: dict[str, list[tuple[float, str]]] = {}
    for label in labels:
        found = _NUMBER.findall(label)
        if len(found) == 1:
            families.setdefault(_NUMBER.sub("#", label), []).append((float(found[0]), label))
    looks = {}
    for family in families.values():
        if 3 <= len(family) <= len(ORDERED):
            for place, (_, label) in enumerate(sorted(family)):
                color = ORDERED[round(place * (len(ORDERED) - 1) / (len(family) - 1))]
                looks[label] = Style(color, FURTHER_MARKERS[place % len(FURTHER_MARKERS)])
    return looks


def _paired(labels: set[str]) -> dict[str, Style]:
    """A label that is another one with something added ("PPO, vLLM" beside "PPO"): its colour, lighter, with another line."""
    looks = {}
    for label in labels - STYLES.keys():
        base = STYLES.get(label.partition(", ")[0])
        if base is not None and label.partition(", ")[0] in labels:
            looks[label] = Style(_lighter(base.color), base.marker, (0, (3, 1)), base.size)
    return looks if len(set(looks.values())) == len(looks) else {}  # several of one: they would look alike


def _lighter(color: str) -> str:
    red, green, blue = (channel + 0.45 * (1 - channel) for channel in to_rgb(color))
    return to_hex((red, green, blue))


def sheet() -> AbstractContextManager[None]:
    """Within this context, figures have our sizes."""
    return matplotlib.style.context(STYLE_SHEET)


def percent_axis(axis: Axis, *, signed: bool = False) -> None:
    """Show fractions on an axis as percent (the axis label says so)."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 2):{'+' if signed and value else ''}g}"))
