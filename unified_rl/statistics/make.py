"""Records -> every table that they allow: what `unified-rl tables` writes. One pass over the runs, one comparison of each pair.

A folder says what it holds: a grid or runs (or a file of `unified-rl export`), runs of `unified-rl iterate`, and the facts that
`unified-rl pass-rate`, `reward-models` and `first-error` left; shipped results are compared over sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.records import reading, seals
from unified_rl.statistics import (
    base_models,
    effective_rate,
    first_error,
    grid_table,
    grid_table_files,
    iterations,
    learning_rates,
    pass_rate,
    pretraining,
    renewals,
    reward_models,
    sizes,
    tables,
    wrong_forms,
)
from unified_rl.statistics.contrasts import FINAL, contrasts, format_contrasts, pair_of
from unified_rl.statistics.grid_file import FILE, GridFacts, read_grid
from unified_rl.statistics.grid_text import format_tables
from unified_rl.statistics.maj_at_k import NO_ANSWER_RULES, TIE_RULES
from unified_rl.statistics.options import TablesOptions
from unified_rl.statistics.paired import Differences
from unified_rl.statistics.table_files import write_table


def make(options: TablesOptions, command: str) -> str:
    """Write the tables; returns what to print.

    Args:
        command: as it was typed, for the tables' first lines.

    Raises:
        ConfigError: no folder for the tables. DataError: see the modules of the tables.
    """
    first = options.records[0]
    for name in seals.listed(first) if first.is_dir() else ():
        seals.check_file(first, name)  # a lost file must not make a folder look like one of another kind
    for marker, work in MAKERS.items():
        if (first / marker).exists():
            return work(options, command)
    grid = read_grid(first) if first.is_dir() else GridFacts()
    if pretraining.is_of(grid):
        return pretraining.write(grid, _out(options), {"command": command})
    return _of_runs(options, command)


def _of_runs(options: TablesOptions, command: str) -> str:
    """Of a grid or of runs: the summary of final policies, the grid's tables, and the comparisons of both."""
    rules: dict[str, Any] = {"ties": options.ties, "no_answer": options.no_answer, "evaluation": options.evaluation or None}
    grid = read_grid(options.records[0]) if options.records[0].is_dir() else GridFacts()
    parts, differences, out = [], Differences(), _out(options)
    if grid.trains:
        folders = [path / "runs" if (path / FILE).exists() else path for path in options.records]
        parts.append(tables.format_results(tables.write_tables(folders, out, differences=differences, **rules)))
    pairs = tuple(pair_of(word) for word in options.pair)
    data = grid_table.read_data(options.records, gain=options.gain, pairs=pairs, differences=differences, **rules)
    facts = grid_table_files.provenance_of(data, options.records) | {
        "command": command,
        "level_gain": options.gain,
        "ties": {"rule": options.ties, "meaning": TIE_RULES[options.ties]},
        "no_answer": {"rule": options.no_answer, "meaning": NO_ANSWER_RULES[options.no_answer]},
    }
    written = grid_table_files.write_tables(out, data, facts)
    compared = contrasts(written["grid_contrasts"], pairs or _comparable(data, written["grid_contrasts"]))
    if len(compared):
        write_table(compared, out / "contrasts.csv", {"table": "contrasts", **facts})
    if pairs:
        parts.append(format_contrasts(compared))
    parts.append(format_tables(data, written["grid"], written["grid_contrasts"], written.get("grid_effects")))
    for name, table in renewals.tables(grid).items():
        write_table(table, out / f"{name}.csv", {"table": name, **facts})
    if (found := effective_rate.tables(data)) is not None:
        for name, table in zip((effective_rate.TABLE, effective_rate.PATHS), found, strict=True):
            write_table(table, out / f"{name}.csv", {"table": name, **facts})
    if (forms := wrong_forms.table(data)) is not None:
        write_table(forms, out / f"{wrong_forms.TABLE}.csv", {"table": wrong_forms.TABLE, **facts})
    if (rates := learning_rates.table(data)) is not None:
        write_table(rates, out / learning_rates.TABLE, {"table": "lr_sweep", **facts})
        parts.append(learning_rates.format_table(rates))
    return "\n\n".join([*parts, f"tables written to {out}"])


def _comparable(data: grid_table.GridData, compared: pd.DataFrame) -> list[tuple[str, str]]:
    """The comparisons of final policies that have numbers, labels in the order in which the grid plans them."""
    known = compared[compared["metric"].isin(FINAL) & compared["estimate"].notna()]
    there = set(zip(known["label"], known["baseline"], strict=True))
    return [pair for pair in grid_table.planned_comparisons(data) if pair in there]


def _of_iterations(options: TablesOptions, command: str) -> str:
    return iterations.format_tables(iterations.write_tables(options.records, _out(options), command))


def _of_base_models(options: TablesOptions, command: str) -> str:
    return base_models.format_tables(*base_models.write(options.records, _out(options), command))


def _of_pass_rate(options: TablesOptions, command: str) -> str:
    return pass_rate.format_table(pass_rate.write(_one(options), _out(options)))


def _of_reward_models(options: TablesOptions, command: str) -> str:
    return reward_models.format_table(reward_models.write(_one(options), _out(options)))


def _of_first_errors(options: TablesOptions, command: str) -> str:
    return first_error.format_table(first_error.write(_one(options), _out(options)))


def _of_sizes(options: TablesOptions, command: str) -> str:
    return sizes.format_table(sizes.write(options.records, options.out, command))


#: File that a folder of such records holds -> what makes its tables.
MAKERS: dict[str, Callable[[TablesOptions, str], str]] = {
    "iterate.json": _of_iterations,
    reading.BASE_MODEL: _of_base_models,
    pass_rate.FACTS: _of_pass_rate,
    "scores.parquet": _of_reward_models,
    "solutions.parquet": _of_first_errors,
    sizes.SHIPPED: _of_sizes,
}


def _one(options: TablesOptions) -> Path:
    if len(options.records) > 1:
        raise ConfigError(f"these facts are read one folder at a time, got {len(options.records)}")
    return options.records[0]


def _out(options: TablesOptions) -> Path:
    """Where the tables go: beside what they are made of, unless it was said."""
    first = options.records[0]
    if options.out is None and first.is_file():
        raise DataError(f"{first} is a file: give the folder for the tables with out=DIR")
    return options.out or first / "tables"
