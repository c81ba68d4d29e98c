"""wrong_forms.csv: how often a wrong answer has a form on which a judge errs: who has found it, how far, and how fast.

Of runs that name a form (`logging.form`), by the samples of the final evaluation, which knows nothing of the reward:

    of_wrong     of the wrong samples the share with the form         of_all     of all samples the share that is wrong and has it
    doubled_at   step of training by which of_wrong is twice what it was: the first whose mean with the three before it is twice the
                 mean of the first four; over the seeds that came so far (num_reached), of responses as training drew them

A row per label, slice and measure (baseline ""), and one per planned comparison and of each label with the start (baseline its
label): means over seeds, differences paired by seed, t intervals over seeds. doubled_at is training's own, of no slice, and has no
comparisons. Stored samples never change, so that it says nothing of methods that train on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.grading.forms import form
from unified_rl.records import reading
from unified_rl.statistics import comparable
from unified_rl.statistics.experiment import COMPLETE, Cell
from unified_rl.statistics.grid_table import GridData, planned_comparisons
from unified_rl.statistics.intervals import over_seeds

TABLE = "wrong_forms"
SETTING, METRIC = "logging.form", "reward/wrong_of_form"
COLUMNS = [
    *("label", "baseline", "slice", "form", "measure", "estimate", "low", "high", "p", "num_seeds", "num_reached"),
    "num_starts",
]
#: Steps whose mean is compared with that of as many first ones.
WINDOW = 4


@dataclass(frozen=True)
class Policy:
    """A cell with its shares, by (slice, measure)."""

    cell: Cell
    shares: Mapping[tuple[str, str], float]


#: (label, seed) -> its policy.
Found = Mapping[tuple[str, int], Policy]


def table(data: GridData) -> pd.DataFrame | None:
    """The table; None of a grid whose runs name no form, or not all the same."""
    done = [cell.cell for cell in data.cells if cell.cell.evaluation_status == COMPLETE and cell.cell.path]
    named = {str(cell.settings.get(SETTING) or "") for cell in done}
    if len(named) != 1 or "" in named:
        return None
    name = named.pop()
    planned = list(dict.fromkeys(cell.label for cell in data.grid.cells))
    done.sort(key=lambda cell: planned.index(cell.label) if cell.label in planned else len(planned))
    found = {(cell.label, cell.seed): Policy(cell, _shares(cell, name)) for cell in done}
    rows = [*_levels(found), *_differences(planned_comparisons(data), found), *_speeds(found)]
    return pd.DataFrame([{"form": name, **row} for row in rows], columns=COLUMNS).astype({"num_reached": "Int64"})


def _shares(cell: Cell, name: str) -> dict[tuple[str, str], float]:
    """Of the samples of a cell's final evaluation."""
    has, found = form(name, SETTING), {}
    for folder in cell.final_metas:
        samples = reading.read_evaluation(folder)[0].query("mode == 'sample'").reset_index(drop=True)
        facts = zip(samples["text"], samples["answer"], samples["num_tokens"], strict=True)
        # where no answer was found pandas has its own word for nothing
        formed = np.array(
            [has(text, answer if isinstance(answer, str) else None, tokens) for text, answer, tokens in facts], bool
        )
        wrong = (samples["verdict"] != "correct").to_numpy()
        for slice_name, places in samples.groupby("slice", sort=False).indices.items():
            both = int((wrong & formed)[places].sum())
            found[str(slice_name), "of_all"] = both / len(places)
            if wrong[places].any():
                found[str(slice_name), "of_wrong"] = both / int(wrong[places].sum())
    return found


def _levels(found: Found) -> Iterator[dict[str, Any]]:
    for label in dict.fromkeys(label for label, _ in found):
        of_label = {seed: one for (own, seed), one in found.items() if own == label}
        for key in _keys(of_label.values()):
            there = [one for one in of_label.values() if key in one.shares]
            yield _row(label, "", key, [one.shares[key] for one in there], there)


def _differences(pairs: list[tuple[str, str]], found: Found) -> Iterator[dict[str, Any]]:
    for label, baseline in pairs:
        both = [(found[own, seed], found[baseline, seed]) for own, seed in found if own == label and (baseline, seed) in found]
        for key in _keys(one for one, _ in both):
            there = [(one, other) for one, other in both if key in one.shares and key in other.shares]
            if there:
                moved = [one.shares[key] - other.shares[key] for one, other in there]
                yield _row(label, baseline, key, moved, [one for one, _ in there])


def _speeds(found: Found) -> Iterator[dict[str, Any]]:
    """Of each label that was trained the seeds in which the share has doubled, and when."""
    for label in dict.fromkeys(label for label, _ in found):
        of_label = [one for (own, _), one in found.items() if own == label and not one.cell.is_baseline]
        steps = [doubled_at(reading.read_metrics(one.cell.path)) for one in of_label if one.cell.path]
        reached = [float(step) for step in steps if step is not None]
        if steps:
            row = _row(label, "", ("", "doubled_at"), reached, of_label)
            yield row | {"num_seeds": len(steps), "num_reached": len(reached)}


def _keys(found: Iterable[Policy]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(key for one in found for key in one.shares))


def _row(
    label: str, baseline: str, key: tuple[str, str], values: Sequence[float], policies: Sequence[Policy]
) -> dict[str, Any]:
    """A line of the table. p: of a difference alone."""
    numbers = over_seeds(values)
    if not baseline:
        numbers.pop("p", None)
    facts = {"label": label, "baseline": baseline, "slice": key[0], "measure": key[1], "num_seeds": len(values)}
    return facts | numbers | {"num_starts": comparable.count_starts([one.cell.settings for one in policies])}


def doubled_at(metrics: pd.DataFrame) -> int | None:
    """The step by which the share of the form among wrong responses is twice what it was; None where it never is."""
    if METRIC not in metrics:
        return None
    logged = metrics.dropna(subset=[METRIC])
    means = logged[METRIC].rolling(WINDOW).mean()
    first = means.iloc[WINDOW - 1] if len(means) >= WINDOW else np.nan
    there = logged["step"][(means >= 2 * first) & (first > 0)]
    return int(there.iloc[0]) if len(there) else None
