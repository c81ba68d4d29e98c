"""Which cells a pooled row of a table is over, and which they are compared with: the same rules for every table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.statistics import comparable
from unified_rl.statistics.experiment import COMPLETE, Cell
from unified_rl.statistics.maj_at_k import NoAnswer, Ties


def by_label(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells of each label, labels in the order in which they come."""
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.label].append(cell)
    return list(groups.values())


def pool(group: list[Cell], status: Callable[[Cell], str]) -> list[Cell]:
    """The seeds that a pooled row is over: those complete; where there are none, whatever exists."""
    complete = [cell for cell in group if status(cell) == COMPLETE]
    return complete or [cell for cell in group if cell.path is not None]


def pooled_status(group: list[Cell], status: Callable[[Cell], str]) -> str:
    """What a pooled row leaves out or contains unfinished, in words."""
    lacking = [f"seed {cell.seed} {status(cell)}" for cell in group if status(cell) != COMPLETE]
    if not lacking:
        return COMPLETE
    complete = len(group) - len(lacking)
    head = f"{complete} of {len(group)} seeds" if complete else "no seed complete"
    return f"{head}; " + "; ".join(lacking)


def label_facts(group: list[Cell], pooled: list[Cell]) -> dict[str, Any]:
    """The columns that describe a row: label, method, seeds, starts, temperature, status."""
    temperatures = {cell.temperature for cell in pooled} - {None}
    return {
        "label": group[0].label,
        "method": group[0].method,
        "seeds": " ".join(str(cell.seed) for cell in pooled if cell.scores),
        "num_starts": num_starts(pooled),
        "temperature": temperatures.pop() if len(temperatures) == 1 else None,
        "decoding": next((cell.decoding for cell in pooled if cell.decoding), ""),
        "status": pooled_status(group, lambda cell: cell.evaluation_status),
    }


def slices_of(cells: Sequence[Cell]) -> list[tuple[list[Cell], tuple[str, str], list[Cell]]]:
    """(cells of a label, (slice, split), cells to pool), for every label and every slice that any label has."""
    keys = list(dict.fromkeys(key for cell in cells for key in cell.scores)) or [("", "")]
    groups = [(group, pool(group, lambda cell: cell.evaluation_status)) for group in by_label(cells)]
    return [(group, key, pooled) for key in keys for group, pooled in groups]


def starts_from(cell: Cell, start: Cell) -> bool:
    """Whether a run may have started from a policy: its configuration draws the same one, or one of the two has none."""
    return comparable.same_start(cell.settings, start.settings)


def num_starts(cells: Iterable[Cell]) -> int:
    """How many start policies cells have between them."""
    return comparable.count_starts(cell.settings for cell in cells)


def k_metrics(key: tuple[str, str], ties: Ties, no_answer: NoAnswer) -> dict[str, Callable[[Cell], np.ndarray]]:
    """Maj@K and Pass@K of a cell on one slice, per problem: [P, K]."""
    return {
        "maj": lambda cell: cell.scores[key].maj_at(ties, no_answer),
        "pass": lambda cell: cell.scores[key].pass_at(),
    }


def stack(cells: list[Cell], values: Callable[[Cell], np.ndarray]) -> np.ndarray:
    """[S, P, ...], cut to the fewest columns where seeds have unequal numbers of samples."""
    arrays = [values(cell) for cell in cells]
    if arrays[0].ndim == 2:
        width = min(array.shape[1] for array in arrays)
        arrays = [array[:, :width] for array in arrays]
    return np.stack(arrays)


def same_problems(cells: list[Cell], key: tuple[str, str]) -> None:
    """Raise DataError where the cells were measured on different problems."""
    for cell in cells[1:]:
        if not cell.scores[key].same_problems(cells[0].scores[key]):
            raise DataError(
                f"{cells[0].path} and {cell.path} were evaluated on different problems of {key[1]}/{key[0]}; "
                "evaluate both with the same evaluation.problems and task settings"
            )
