"""Answers of an evaluation that contradict their verdicts, or that are there twice, are refused."""

from __future__ import annotations

import pandas as pd

from unified_rl.base.errors import DataError


def refuse_contradictions(samples: pd.DataFrame, where: str) -> None:
    """Raise DataError where a verdict is not that of the answers' classes, or an answer is there twice."""
    right = (samples["verdict"] == "correct").to_numpy()
    elected = (samples["answer_class"].notna() & (samples["answer_class"] == samples["gold_class"])).to_numpy(dtype=bool)
    if (right != elected).any():
        row = samples[right != elected].iloc[0]
        raise DataError(
            f"{where}: problem {row['problem_id']!r}, {row['mode']} {row['sample_index']} has verdict {row['verdict']!r}, but "
            f"answer_class {row['answer_class']!r} against gold_class {row['gold_class']!r}; mend the grader and evaluate again"
        )
    if samples.duplicated(["problem_id", "mode", "sample_index"]).any():
        row = samples[samples.duplicated(["problem_id", "mode", "sample_index"])].iloc[0]
        raise DataError(
            f"{where}: {row['mode']} {row['sample_index']} of problem {row['problem_id']!r} is there twice; evaluate again"
        )
