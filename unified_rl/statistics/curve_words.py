"""What captions, axes and pages call the accuracy of a learning curve: whose answers it is of, by the table's column `answers`."""

from __future__ import annotations

import pandas as pd

from unified_rl.records.curve_points import GREEDY


def accuracy_words(table: pd.DataFrame) -> str:
    """What the accuracies of learning curves are of: "greedy accuracy", or "mean accuracy over 8 samples, T=0.7"."""
    kinds = _answers(table)
    if len(kinds) != 1:
        return "accuracy"
    return "greedy accuracy" if kinds[0] == GREEDY else f"mean accuracy over {kinds[0]}"


def begun(words: str) -> str:
    """Words as they begin a sentence or stand at an axis."""
    return words[:1].upper() + words[1:]


def answers_sentence(table: pd.DataFrame) -> str:
    """By which answers each label was measured, where not all by the same; "" where all were."""
    if len(_answers(table)) == 1:
        return ""
    each = table.groupby("label", sort=False)["answers"].first()
    return f"Not by the same answers: {'; '.join(f'{label} {kind}' for label, kind in each.items())}."


def _answers(table: pd.DataFrame) -> list[str]:
    """Greedy ones in tables from before there were others, which do not say."""
    return list(table["answers"].unique()) if "answers" in table else [GREEDY]
