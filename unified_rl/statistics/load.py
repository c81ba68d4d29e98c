"""A run, or a whole experiment, as tidy pandas tables. `unified-rl show DIR [out=FOLDER]`

    run = load_run("runs/default/runs/grpo-seed0")
    run.parts                      # what is there, unfinished or missing
    run.metrics                    # one row per training step
    run.responses                  # one row per evaluated response
    load_experiment(["runs/default/runs"]).cells

Every table begins with the columns `run, label, method, seed`, so that tables of several runs can be stacked, and has its
documented columns (`COLUMNS`) even when it has no rows. Whatever is missing or unfinished is a visible row: of `parts` (a run's
files), of `evaluations` (a run without one has a row that says so) and of `cells` (runs missing from the grid labels x seeds).
`statistics.browse` shows single samples, `statistics.diff` compares two runs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.records import reading as run_reading
from unified_rl.statistics import tables
from unified_rl.statistics.experiment import BASELINE_METHOD, COMPLETE, MISSING, NOT_EVALUATED, read_experiment

#: Version of the tables below. It rises when a column is removed, renamed or changes its meaning; new columns leave it.
SCHEMA = 1
UNFINISHED = "unfinished"
RUN_COLUMNS = ("run", "label", "method", "seed")
#: Columns that a table always has after `RUN_COLUMNS`; metrics and timings have further ones, named by the run.
COLUMNS: dict[str, tuple[str, ...]] = {
    "parts": ("part", "state", "rows", "file"),
    "metrics": ("step",),
    "timings": ("step",),
    "curve": ("step", "split", "slice", "problem_id", "correct", "answers", "sampled_tokens", "trained_tokens"),
    "samples": ("step", "prompt_id", "prompt", "text", "reward", "verdict", "finish", "tokens", "coefficient"),
    "evaluations": ("evaluation", "state", "step", "samples_per_problem", "temperature", "num_problems"),
    "responses": ("evaluation", *run_reading.SAMPLE_COLUMNS, "text"),
}
_SAVED = "tables.json"


@dataclass(frozen=True)
class RunTables:
    """The tables of one run, each read when first asked for.

    Attributes:
        path: the run's directory. config: its resolved configuration, None if it has none. status: see docs/run_directory.md;
            None if never recorded. schema: version of the tables.
    """

    path: Path
    config: dict[str, Any] | None
    status: dict[str, Any] | None
    facts: dict[str, Any]
    schema: int = SCHEMA

    @property
    def state(self) -> str:
        """ "complete", or what is lacking: "running at step 3 of 48", "not started", "evaluations only"."""
        if self.config is None:
            return "evaluations only"
        if self.status is None:
            return "not started"
        if self.status.get("state") == "finished":
            return COMPLETE
        words = f"{self.status.get('state')} at step {self.status.get('step')} of {self.status.get('steps')}"
        return words + (f": {self.status['error']}" if self.status.get("error") else "")

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """metrics.jsonl: one row per step."""
        return self._table("metrics", run_reading.read_metrics(self.path))

    @cached_property
    def timings(self) -> pd.DataFrame:
        """timings.jsonl: seconds per step and phase."""
        return self._table("timings", pd.DataFrame(run_reading.read_jsonl(self.path / "timings.jsonl")))

    @cached_property
    def curve(self) -> pd.DataFrame:
        """curve.jsonl: one row per (step, split, slice, problem), `correct` 1 or 0, or a share of samples (`answers`)."""
        curve = run_reading.read_curve(self.path).explode(["problem_ids", "correct"], ignore_index=True)
        return self._table("curve", curve.rename(columns={"problem_ids": "problem_id"}))

    @cached_property
    def samples(self) -> pd.DataFrame:
        """samples.jsonl: the responses that training logged, one row each; `text` is their tokens joined, for reading."""
        rows = run_reading.read_jsonl(self.path / "samples.jsonl")
        return self._table("samples", pd.DataFrame([{**row, "text": joined(row.get("tokens") or [])} for row in rows]))

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """One row per evaluation, unfinished ones included; a run without any has a row whose state is "not evaluated"."""
        rows = []
        for folder in run_reading.list_evaluations(self.path):
            meta = run_reading.read_evaluation_meta(folder)
            rows.append(
                {
                    "evaluation": folder.name,
                    "state": COMPLETE if meta["complete"] else UNFINISHED,
                    "step": meta["step"],
                    "samples_per_problem": meta["samples_per_problem"],
                    "temperature": meta["decoding"].get("temperature"),
                    "num_problems": sum((meta.get("problems") or {}).values()),
                }
            )
        known = {row["evaluation"] for row in rows}
        started = (self.path / "evaluations").glob("*") if (self.path / "evaluations").is_dir() else ()
        names = sorted({child.name.removeprefix(".").removesuffix(".tmp") for child in started if child.is_dir()} - known)
        rows += [{"evaluation": name, "state": UNFINISHED} for name in names]
        return self._table("evaluations", pd.DataFrame(rows or [{"evaluation": "", "state": NOT_EVALUATED}]))

    @cached_property
    def responses(self) -> pd.DataFrame:
        """samples.parquet of every complete evaluation: one row per response."""
        names = self.evaluations.query("state == @COMPLETE")["evaluation"]
        frames = [
            run_reading.read_evaluation(self.path / "evaluations" / name)[0].assign(evaluation=name) for name in names.tolist()
        ]
        return self._table("responses", pd.concat(frames, ignore_index=True) if frames else pd.DataFrame())

    @cached_property
    def parts(self) -> pd.DataFrame:
        """One row per part of the run: `state` "complete", "unfinished", "missing" or what is lacking, and the rows it has."""
        rows: list[dict[str, Any]] = [
            {"part": "config", "file": "config.yaml", "state": COMPLETE if self.config is not None else MISSING},
            {"part": "training", "file": "status.json", "state": self.state},
        ]
        trained = self.config is not None and not (self.status is not None and self.status.get("steps") == 0)
        for part in ("metrics", "timings", "curve", "samples"):
            count = len(getattr(self, part))
            if trained or count:
                state = (COMPLETE if self.state == COMPLETE else UNFINISHED) if count else MISSING
                rows.append({"part": part, "file": f"{part}.jsonl", "state": state, "rows": count})
        counts = self.responses.groupby("evaluation").size()
        rows += [
            {
                "part": f"evaluation {entry['evaluation']}".strip(),
                "file": f"evaluations/{entry['evaluation']}",
                "state": entry["state"],
                "rows": int(counts.get(entry["evaluation"], 0)),
            }
            for entry in self.evaluations.to_dict("records")
        ]
        return self._table("parts", pd.DataFrame(rows)).astype({"rows": "Int64"})

    def save(self, folder: Path | str) -> None:
        """Write every table as Parquet into `folder`, with tables.json that names the schema. Values that are not flat are JSON."""
        save_tables({name: getattr(self, name) for name in COLUMNS}, folder)

    def _table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        for column in COLUMNS[name]:
            if column not in table:
                table[column] = pd.Series([None] * len(table), dtype=object)
        table = table[[*COLUMNS[name], *(column for column in table.columns if column not in COLUMNS[name])]]
        own = pd.DataFrame({key: [self.facts[key]] * len(table) for key in RUN_COLUMNS}, index=table.index)
        return pd.concat([own, table.drop(columns=[key for key in RUN_COLUMNS if key in table])], axis=1)


@dataclass(frozen=True)
class ExperimentTables:
    """Tables of all runs of an experiment. cells: one row per (label, seed), missing ones included; runs: those that exist."""

    cells: pd.DataFrame
    runs: tuple[RunTables, ...]

    def stack(self, name: str) -> pd.DataFrame:
        """One table of all runs, by its name in `COLUMNS`."""
        if name not in COLUMNS:
            raise DataError(f"there is no table {name!r}; choose from: {', '.join(COLUMNS)}")
        return pd.concat([getattr(run, name) for run in self.runs], ignore_index=True)


def load_run(path: Path | str) -> RunTables:
    """One run directory, or one that holds evaluations only.

    Raises:
        DataError: there is no run at `path` (the message lists those below it), or its configuration is malformed. Tables raise
            it for their own files when they are read.
    """
    path = Path(path)
    config, status = run_reading.read_config(path), run_reading.read_status(path)
    evaluations = run_reading.list_evaluations(path)
    if config is None and status is None and not evaluations:
        below = [found.relative_to(path).as_posix() for found in run_reading.list_runs(path)] if path.is_dir() else []
        hint = f"; runs below it: {', '.join(below[:8])}" if below else "; give a run's directory (with config.yaml)"
        raise DataError(f"{path} is not a run{hint}")
    facts: dict[str, Any] = config or (run_reading.read_evaluation_meta(evaluations[0]) if evaluations else {})
    method = str(facts.get("method") or "unknown")
    if status is not None and status.get("steps") == 0:
        method = BASELINE_METHOD
    named = {"run": path.name, "label": str(facts.get("label") or method), "method": method, "seed": int(facts.get("seed", 0))}
    return RunTables(path, config, status, named)


def load_experiment(folders: Sequence[Path | str]) -> ExperimentTables:
    """Every run at or below the folders, and the grid that they form.

    Raises:
        DataError: see `statistics.experiment.read_experiment`.
    """
    cells = read_experiment(folders)
    return ExperimentTables(tables.runs(cells), tuple(load_run(cell.path) for cell in cells if cell.path is not None))


def joined(tokens: Sequence[str]) -> str:
    """Tokens as readable text, the marks that tokenizers use for spaces and line ends replaced."""
    return "".join(tokens).replace("\u2581", " ").replace("\u0120", " ").replace("\u010a", "\n")


# ------------------------------------------------------------------------------------------------------------------------------
# Saved tables


def save_tables(named: dict[str, pd.DataFrame], folder: Path | str) -> None:
    """Write tables as Parquet, and tables.json last, so that a folder without it is known to be unfinished."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SAVED).unlink(missing_ok=True)
    for name, table in named.items():
        flat = table.copy()
        for column in (name for name in flat if pd.api.types.is_object_dtype(flat[name])):
            if flat[column].map(lambda value: isinstance(value, dict | list)).any():
                flat[column] = flat[column].map(lambda value: None if value is None else json.dumps(value))
        flat.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / _SAVED).write_text(json.dumps({"schema": SCHEMA, "tables": list(named)}) + "\n", encoding="utf-8")


def read_tables(folder: Path | str) -> dict[str, pd.DataFrame]:
    """Tables that `RunTables.save` or `unified-rl show RUN out=FOLDER` wrote.

    Raises:
        DataError: they are missing or unfinished, or have a schema that this version does not know.
    """
    path = Path(folder) / _SAVED
    remedy = f"write them again with: unified-rl show RUN {shlex.quote(f'out={folder}')}"
    try:
        described = files.read_json(path)
        schema, names = described["schema"], described["tables"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is missing or malformed ({error}); {remedy}") from error
    if schema != SCHEMA:
        raise DataError(f"{path}: tables of schema {schema!r}, but this version reads {SCHEMA}; {remedy}")
    try:
        return {name: pd.read_parquet(Path(folder) / f"{name}.parquet") for name in names}
    except (OSError, ValueError) as error:
        raise DataError(f"a table in {folder} is missing or malformed ({error}); {remedy}") from error
