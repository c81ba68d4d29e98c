"""What docs/results.md says is what the shipped tables hold: every effect with an interval is a row of one of them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
_NUMBER = r"([+\-\u2212]?\d+(?:\.\d+)?)"
#: An estimate with its interval, in points, percent or nats: `+4.7 [+0.9, +8.5]`, with a star or a percent sign behind it or none.
EFFECT = re.compile(rf"{_NUMBER}(?:\\?\*)?(?: %)? \[{_NUMBER}, {_NUMBER}\]")


@cache
def shipped() -> np.ndarray:
    """(estimate, low, high) of every row of every shipped table, accuracies and shares in percent: [N, 3]."""
    found = []
    for path in sorted((ROOT / "experiments" / "results").rglob("*.csv")):
        table = pd.read_csv(path, comment="#")  # the oldest have no line of provenance
        for name in table.columns:
            low, high = ("low", "high") if name in ("estimate", "accuracy") else (f"{name}_low", f"{name}_high")
            if low in table and high in table:
                of_loss = table["metric"].str.endswith("loss") if "metric" in table else pd.Series(False, index=table.index)
                scale = np.where(of_loss, 1, 100)[:, None]
                found.append((table[[name, low, high]] * scale).dropna().to_numpy(dtype=float))
    return np.concatenate(found)


def effects(text: str) -> list[str]:
    return [match[0] for match in EFFECT.finditer(text)]


def is_in_a_table(effect: str) -> bool:
    """Whether some row rounds to it, each number at the digits that are written."""
    numbers = [number.replace("\u2212", "-") for number in EFFECT.fullmatch(effect).groups()]
    reach = [0.5 * 10.0 ** -len(number.partition(".")[2]) + 1e-9 for number in numbers]
    return bool((np.abs(shipped() - [float(number) for number in numbers]) <= reach).all(1).any())


def test_every_effect_on_the_page_is_a_row_of_a_shipped_table():
    found = effects(PAGE.read_text(encoding="utf-8"))
    assert len(found) > 100, "the page has effects, in a form that is seen here"
    assert not [effect for effect in found if not is_in_a_table(effect)]


@pytest.mark.parametrize(
    "effect", ["+2.8 [+0.8, +4.9]", "\u22121.4 [\u22123.8, +1.1]", "64 [57, 70]", "-0.441 [-0.686, -0.196]", "38 % [23, 52]"]
)
def test_what_the_tables_hold_is_found_and_a_digit_off_is_not(effect):
    assert is_in_a_table(effect)
    first = EFFECT.fullmatch(effect)[1]
    digits = len(first.partition(".")[2])
    moved = float(first.replace("\u2212", "-")) + 3 * 10.0**-digits
    assert not is_in_a_table(effect.replace(first, f"{moved:+.{digits}f}", 1))
