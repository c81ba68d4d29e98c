"""The bias laboratory: every row's gradient in expectation, beside the true gradients of the objectives, on an enumerable problem.

Writes OUT/tables (a CSV per question), OUT/figures, and OUT/bias_lab.md, the table of all rows that is in docs/bias_lab.md.
`unified-rl bias-lab` calls it, with `labs.options`. Everything is enumerated: there is no sampling, and so no interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.labs.bias import questions
from unified_rl.labs.options import BiasLabOptions
from unified_rl.plotting import bias_lab as figures
from unified_rl.records.provenance import git_state
from unified_rl.statistics.table_files import SCHEMA, write_table

ROWS = "rows"


def run(options: BiasLabOptions, command: str) -> list[Path]:
    """Compute, write and draw; returns the files.

    Raises:
        ConfigError: there is no such question or method.
    """
    asked = options.questions or [ROWS, *questions.QUESTIONS]
    _check(asked, [ROWS, *questions.QUESTIONS], "questions")
    _check(options.methods, questions.measurable(), "methods")
    facts = {"schema": SCHEMA, "command": command, "group": questions.GROUP, "success": questions.SUCCESS}
    facts["commits"] = [commit] if (commit := git_state()["commit"]) else []
    files = []
    for name in asked:
        found = questions.rows(options.methods or questions.measurable()) if name == ROWS else questions.table(name)
        path = options.out / "tables" / f"bias_{name}.csv"
        write_table(found, path, {**facts, "table": f"bias_{name}"})
        files += [path, *figures.draw_one(name, options.out / "tables", options.out / "figures")]
        if name == ROWS:
            files.append(options.out / "bias_lab.md")
            files[-1].write_text(numbers(found), encoding="utf-8")
    return files


def numbers(rows: pd.DataFrame) -> str:
    """The table of all rows as Markdown: cosines with the objectives' gradients, noise."""
    objectives = list(dict.fromkeys(rows["objective"]))
    cosines = rows.pivot_table(index="label", columns="objective", values="cosine", sort=False)[objectives]
    of_row = rows.drop_duplicates("label").set_index("label")
    lines = [f"| row | claims | {' | '.join(objectives)} | noise |", f"|---|---|{'---|' * len(objectives)}---|"]
    for label, values in cosines.iterrows():
        claims, noise = of_row.loc[label, "claims"], of_row.loc[label, "noise"]
        cells = [f"**{value:.3f}**" if name == claims else f"{value:.3f}" for name, value in values.items()]
        lines.append(f"| {label} | {claims} | {' | '.join(cells)} | {noise:.2f} |")
    return "\n".join(lines) + "\n"


def _check(names: Sequence[str], known: Iterable[str], word: str) -> None:
    for name in names:
        if name not in list(known):
            raise ConfigError(f"{word}={name!r} is not known{did_you_mean(name, list(known))}")
