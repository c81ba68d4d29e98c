"""The paper's published numbers (Figures 5 to 7, Tables 1 to 9 of arXiv 2402.03300), as tidy tables. See reference/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from unified_rl.base.errors import DataError

DATA = Path(__file__).with_name("reference") / "deepseekmath_figures_5_6_7.csv"
TABLES = Path(__file__).with_name("reference") / "deepseekmath_tables_1_9.csv"
#: The tables of base models, which are asked with worked examples; Table 5's models are instructed, and asked without.
OF_BASE_MODELS = (1, 2, 3, 4, 6, 7, 8, 9)
#: Benchmarks in the order of the paper's columns.
BENCHMARKS = ("gsm8k", "math", "ocw", "sat_math", "mmlu_stem", "mgsm_zh", "cmath", "gaokao_mathcloze", "gaokao_mathqa")
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


def tables(*numbers: int) -> pd.DataFrame:
    """Rows of Tables 1 to 9 (all, or those named): table, model, size, setting, benchmark, style, accuracy (0..1, as printed),
    certainty ("printed", "printed and pictured" or, the surest, "released"), released (0..1, exact; NaN where the authors released
    no outputs), num_problems, note.

    Benchmarks are called as our tasks are. style: cot, pot (a program), tool (reasoning with programs), proof, few-shot, program.
    """
    words = dict.fromkeys(("size", "setting", "note"), str)
    table = _read(TABLES, words).rename(columns={"accuracy_percent": "accuracy"})
    table = table.assign(accuracy=table["accuracy"] / 100, **{name: table[name].fillna("") for name in words})
    return table[table["table"].isin(numbers)].reset_index(drop=True) if numbers else table


def _read(path: Path, words: Mapping[str, type[str]]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} is missing; restore it from the repository")
    return pd.read_csv(path, skiprows=1, dtype=dict(words))


def _points(figure: int) -> pd.DataFrame:
    table = _read(DATA, {})
    table = table[table["figure"] == figure].drop(columns=["figure", "correct_count_if_on_grid"]).reset_index(drop=True)
    return table.assign(acc_percent=table["acc_percent"] / 100)
