"""Look at single responses of a run, in a terminal or a notebook. `unified-rl browse RUN [prompt=TEXT] [step=N]`

What a model wrote is hostile: it is escaped in HTML, and control characters are shown by their names, not sent to the terminal.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.base.terminal import shown
from unified_rl.statistics.experiment import COMPLETE
from unified_rl.statistics.load import RunTables, joined, load_run


@dataclass(frozen=True)
class Samples:
    """Chosen responses. `str()` gives plain text; a notebook shows HTML, logged training samples with each token shaded by its
    coefficient (green: pushed up, red: pushed down).

    Attributes:
        title: what was chosen. table: the rows shown, of `RunTables.samples` or `.responses`. found: how many there are in all.
    """

    title: str
    table: pd.DataFrame
    found: int

    def __len__(self) -> int:
        return len(self.table)

    def __str__(self) -> str:
        blocks = [f"{shown(_head(row))}\n{_indented(row['text'])}" for row in self.table.to_dict("records")]
        return "\n\n".join([self._heading(), *blocks])

    def _repr_html_(self) -> str:
        blocks = [
            f"<p><b>{html.escape(shown(_head(row)))}</b></p><pre style='white-space:pre-wrap'>{_html_text(row)}</pre>"
            for row in self.table.to_dict("records")
        ]
        return f"<div><p>{html.escape(self._heading())}</p>{''.join(blocks)}</div>"

    def _heading(self) -> str:
        return f"{self.title}: {len(self.table)} of {self.found} responses"


def browse(
    run: RunTables | Path | str,
    prompt: str | None = None,
    step: int | None = None,
    *,
    evaluation: str | None = None,
    verdict: str | None = None,
    limit: int = 5,
) -> Samples:
    """Responses of a run: those logged at a training step if `step` is given, else those of an evaluation.

    Args:
        prompt: a problem's id, or text that its id, its prompt (training samples have it) or the response contains.
        evaluation: its name; the run's last complete one if None. verdict: "correct", "incorrect", "unparsable" or "timeout".
        limit: responses to show at most.

    Raises:
        DataError: the run has nothing there; the message says what it has.
    """
    run = run if isinstance(run, RunTables) else load_run(run)
    table, title = _training(run, step) if step is not None else _evaluated(run, evaluation)
    place = "prompt_id" if step is not None else "problem_id"
    if prompt is not None:
        exact = table[place] == prompt
        columns = [name for name in (place, "prompt", "text") if name in table]
        within = table[columns].apply(lambda column: column.astype(str).str.contains(prompt, regex=False)).any(axis=1)
        table, title = table[exact if exact.any() else within], f"{title}, prompt {prompt!r}"
    if verdict is not None:
        table, title = table[table["verdict"] == verdict], f"{title}, verdict {verdict}"
    return Samples(title, table.head(limit).reset_index(drop=True), len(table))


def _training(run: RunTables, step: int) -> tuple[pd.DataFrame, str]:
    logged = sorted(run.samples["step"].unique().tolist())
    if step not in logged:
        has = (
            f"it has samples of the steps {', '.join(map(str, logged))}"
            if logged
            else "it has logged none (logging.samples_every)"
        )
        raise DataError(f"{run.path} has no samples of step {step}; {has}")
    return run.samples[run.samples["step"] == step], f"{run.facts['label']}, seed {run.facts['seed']}, step {step}"


def _evaluated(run: RunTables, evaluation: str | None) -> tuple[pd.DataFrame, str]:
    complete = run.evaluations[run.evaluations["state"] == COMPLETE].sort_values("step", kind="stable")
    names = complete["evaluation"].tolist()
    if not names or (evaluation is not None and evaluation not in names):
        has = f"it has {', '.join(names)}" if names else "it has none that is complete; give step=N for samples of training"
        raise DataError(f"{run.path} has no evaluation{f' {evaluation!r}' if evaluation else ''}; {has}")
    chosen = evaluation or names[-1]
    table = run.responses[run.responses["evaluation"] == chosen]
    return table, f"{run.facts['label']}, seed {run.facts['seed']}, evaluation {chosen}"


def _head(row: dict) -> str:
    if "prompt_id" in row:
        return f"{row['prompt_id']}  reward {row['reward']}  {row['verdict']}  {row['finish']}\n{row['prompt']}"
    answer = row.get("answer") or "none"
    return f"{row['problem_id']}  {row['mode']} {row['sample_index']}  {row['verdict']}: {answer}, gold {row.get('gold')}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in shown(str(text)).split("\n"))


def _html_text(row: dict) -> str:
    tokens, coefficient = row.get("tokens"), row.get("coefficient")
    total = coefficient.get("total") if isinstance(coefficient, dict) else None
    if not isinstance(tokens, list) or not isinstance(total, list) or len(total) != len(tokens):
        return html.escape(shown(str(row["text"])))
    largest = max((abs(value) for value in total), default=0) or 1.0
    return "".join(
        f"<span title='{value:.4g}' style='background:rgba({'0,158,115' if value > 0 else '213,94,0'},{abs(value) / largest:.2f})'>"
        f"{html.escape(shown(joined([token])))}</span>"
        for token, value in zip(tokens, total, strict=True)
    )
