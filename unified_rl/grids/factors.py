"""Arms that are every combination of several factors' values: of a grid on the command line, or in a file.

    FACTORS = {"coefficient": ("grpo", "rloo"), "coefficient.kl_coef": ("0", "0.04")}
    GRID = Grid(..., arms=factorial(FACTORS), factors=FACTORS)

With `factors` the grid's tables and page have the main effects and the interactions (`statistics.factorial`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from unified_rl.grids.definition import Arm
from unified_rl.methods import METHODS


def factorial(factors: Mapping[str, Sequence[str]], command: str = "train", alone: str = "") -> tuple[Arm, ...]:
    """An arm per combination, the last factor varying fastest, called by its values.

    Args:
        factors: setting -> its values, as words. alone: what the one arm is called where there are no factors.
    """
    combinations = itertools.product(*factors.values())
    return tuple(_arm(dict(zip(factors, values, strict=True)), command, alone) for values in combinations)


def _arm(choice: Mapping[str, str], command: str, alone: str) -> Arm:
    label = ", ".join(_in_words(key, value) for key, value in choice.items()) or _in_words("method", alone)
    return Arm(label, tuple(f"{key}={value}" for key, value in choice.items()), command=command)


def _in_words(key: str, value: str) -> str:
    if key != "method":
        return f"{key}={value}"
    return METHODS[value].label if value in METHODS else value
