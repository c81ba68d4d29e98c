"""The paper's published points (Figures 5, 6, 7 of arXiv 2402.03300), as tidy tables. See reference/README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unified_rl.base.errors import DataError

DATA = Path(__file__).with_name("reference") / "deepseekmath_figures_5_6_7.csv"
SOURCE = "DeepSeekMath (arXiv 2402.03300), Figure {figure}; values recovered from the figure"
#: The policy before and after RL, in Figure 7's words.
BEFORE, AFTER = "Instruct", "RL"


def learning_curves(figure: int) -> pd.DataFrame:
    """Figure 5 (1.3B, methods) or 6 (7B, iterations): benchmark, series, step, accuracy (0..1), num_problems.

    Raises:
        ValueError: another figure.
    """
    if figure not in (5, 6):
        raise ValueError(f"figure {figure} has no learning curves; choose 5 or 6 (7: maj_and_pass)")
    return _points(figure).rename(columns={"step_or_K": "step", "acc_percent": "accuracy", "n_test": "num_problems"})


def maj_and_pass() -> pd.DataFrame:
    """Figure 7: benchmark, policy ("Instruct" or "RL"), metric ("maj" or "pass"), k, estimate (0..1), num_problems."""
    table = _points(7).rename(columns={"step_or_K": "k", "acc_percent": "estimate", "n_test": "num_problems"})
    parts = table["series"].str.extract(r"^(?P<metric>Maj|Pass)@K-(?P<policy>Instruct|RL)$")
    table = table.assign(metric=parts["metric"].str.lower(), policy=parts["policy"])
    return table[["benchmark", "policy", "metric", "k", "estimate", "num_problems"]]


def _points(figure: int) -> pd.DataFrame:
    if not DATA.is_file():
        raise DataError(f"{DATA} is missing; restore it from the repository")
    table = pd.read_csv(DATA, skiprows=1)
    table = table[table["figure"] == figure].drop(columns=["figure", "correct_count_if_on_grid"]).reset_index(drop=True)
    return table.assign(acc_percent=table["acc_percent"] / 100)
