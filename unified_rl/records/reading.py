"""The run directory, read: plain functions, one per file that docs/run_directory.md describes. No torch.

A run may be read while it is being written: a last line torn by a kill is left out, and files that do not exist yet are empty
tables or None. Anything else that is wrong is a DataError that names the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.files import EVALUATIONS
from unified_rl.records import curve_points, evaluations, provenance, seals
from unified_rl.records.config_file import read_settings

EVALUATION_SCHEMA = 1
META = "meta.json"
#: In a folder with evaluations of a model that no run made: which one.
BASE_MODEL = "base_model.json"
SAMPLES = "samples.parquet"
LISTING = "samples"  # of meta.json: the extent of samples.parquet
SAMPLE_COLUMNS = ("problem_id", "slice", "split", "mode", "sample_index", "answer_class", "gold_class", "verdict")
META_FIELDS = ("method", "label", "seed", "step", "decoding", "samples_per_problem", "complete")
CURVE_FIELDS = ("step", "split", "slice", "problem_ids", "correct", "sampled_tokens", "trained_tokens")
#: Of the table: which answers `correct` is of (`curve_points.answers_of`).
CURVE_COLUMNS = (*CURVE_FIELDS, "answers")
_MOST_STEPS = 2**53
_SKIPPED = frozenset({"checkpoints", "evaluations"})


def list_runs(folder: Path | str) -> list[Path]:
    """Every directory at or below `folder` that holds a run or only evaluations (as the initial policy's does), sorted.

    Raises:
        DataError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the directory that the runs were written to")
    found, seen = [], set()
    pending = [folder]
    while pending:
        here = pending.pop()
        if here.resolve() in seen:  # a link that leads back
            continue
        seen.add(here.resolve())
        if any((here / name).exists() for name in ("config.yaml", "status.json", "evaluations")):
            found.append(here)
        pending += [child for child in here.iterdir() if child.is_dir() and child.name not in _SKIPPED and child.name[0] != "."]
    return sorted(found)


def read_config(run_dir: Path | str) -> dict[str, Any] | None:
    """The resolved configuration of a run, None where the directory holds none. Nothing in it is interpolated.

    Raises:
        DataError: config.yaml is not readable as YAML, or is not what status.json recorded.
    """
    path = Path(run_dir) / "config.yaml"
    seals.check_file(path.parent, path.name)
    if not path.exists():
        return None
    try:
        config = read_settings(path)
    except ConfigError as error:
        raise DataError(f"{error}, or leave this run out") from error
    for name, kind in (("method", str), ("label", str), ("seed", int)):
        if not isinstance(config.get(name, kind()), kind):
            raise DataError(f"{path}: {name} is not of type {kind.__name__}; restore it, or leave this run out")
    return config


def read_status(run_dir: Path | str) -> dict[str, Any] | None:
    """Where a run stands: `{"state", "step", "steps", "error"}`, None where it was never recorded.

    Raises:
        DataError: status.json is damaged, or missing where the rest of the run is there.
    """
    return seals.read_status(Path(run_dir))


def read_provenance(run_dir: Path | str) -> dict[str, Any] | None:
    """What a run was made of (command, git state, packages, inputs), None where it was never recorded.

    Raises:
        DataError: it is damaged.
    """
    seals.check_file(Path(run_dir), provenance.FILE)
    return provenance.read(Path(run_dir) / provenance.FILE)


def read_metrics(run_dir: Path | str) -> pd.DataFrame:
    """metrics.jsonl, one row per step; empty before the first step.

    Raises:
        DataError: a line is damaged, or holds something that is no number.
    """
    path = Path(run_dir) / "metrics.jsonl"
    rows = read_jsonl(path)
    for number, row in enumerate(rows, 1):
        wrong = next((name for name, value in row.items() if not isinstance(value, (int, float, NoneType))), None)
        if wrong is not None:
            raise DataError(f"{path}, entry {number}: {wrong[:60]!r} is not a number; restore the file, or train again")
    return pd.DataFrame(rows)


def read_curve(run_dir: Path | str) -> pd.DataFrame:
    """curve.jsonl, one row per (step, split, slice); columns `CURVE_COLUMNS`, of which `problem_ids` and `correct` hold lists.

    `correct` is 1 or 0 of greedy answers, and the share of right ones, in 0..1, of samples: `answers` says which.

    Raises:
        DataError: a line lacks a field, or has unequal numbers of problems and verdicts, or shares that are none.
    """
    path = Path(run_dir) / "curve.jsonl"
    rows = read_jsonl(path)
    for number, row in enumerate(rows, 1):
        _require(row, CURVE_FIELDS, f"{path}, entry {number}")
        wrong = curve_points.problem(row) if isinstance(row["problem_ids"], list) else "problem_ids is no list"
        if wrong:
            raise DataError(f"{path}, entry {number}: {wrong}; the run must be evaluated again")
        if len(row["problem_ids"]) != len(row["correct"]):
            raise DataError(
                f"{path}, entry {number}: {len(row['problem_ids'])} problem_ids but {len(row['correct'])} values in correct; "
                "the run must be evaluated again"
            )
        row["answers"] = curve_points.answers_of(row)
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))


def list_evaluations(run_dir: Path | str) -> list[Path]:
    """The evaluation directories of a run, by name; also those whose meta.json says that they are unfinished.

    Raises:
        DataError: one has lost its meta.json.
    """
    folder = Path(run_dir) / EVALUATIONS
    found = sorted(path for path in folder.glob("[!.]*") if path.is_dir()) if folder.is_dir() else []
    for path in found:
        if not (path / META).exists():
            raise DataError(f"{path / META} is missing; restore it, or delete {path} and evaluate the run again")
    return found


def read_evaluation_meta(eval_dir: Path | str) -> dict[str, Any]:
    """meta.json of one evaluation.

    Raises:
        DataError: it is missing or damaged, lacks a field, or has a schema this version does not know.
    """
    path = Path(eval_dir) / META
    meta = seals.read_sealed(path, LISTING, "evaluate the run again")
    if meta.get("schema") != EVALUATION_SCHEMA:
        found = str(meta.get("schema"))[:40]
        raise DataError(f"{path}: schema {found} is not {EVALUATION_SCHEMA}, which this version reads; evaluate it again")
    _require(meta, META_FIELDS, str(path))
    kinds = {"decoding": dict, "problems": dict, "step": int, "samples_per_problem": int, "seed": int, "complete": bool}
    kinds |= {"coverage_problems": int, "coverage_samples": int}
    for name, kind in kinds.items():
        if name in meta and not isinstance(meta[name], kind):
            raise DataError(f"{path}: {name} is not of type {kind.__name__}; evaluate the run again")
    numbers = [*meta["decoding"].values(), *(meta.get("problems") or {}).values()]
    words = [meta["method"], meta["label"]]
    if not all(isinstance(item, (int, float, NoneType)) for item in numbers) or not all(
        isinstance(item, str) for item in words
    ):
        raise DataError(f"{path}: decoding and problems hold numbers, method and label words; evaluate the run again")
    return meta


def read_base_model(folder: Path | str) -> dict[str, str]:
    """Which model the evaluations of a folder are of: its `path`, a hash of its `content`, its `label`.

    Raises:
        DataError: base_model.json is damaged, or lacks one of them.
    """
    path = Path(folder) / BASE_MODEL
    try:
        facts = files.read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable ({error}); evaluate the model again into another folder") from error
    if not isinstance(facts, dict) or not all(isinstance(facts.get(name), str) for name in ("path", "content", "label")):
        raise DataError(f"{path} lacks path, content or label; evaluate the model again into another folder")
    return {name: facts[name] for name in ("path", "content", "label")}


def write_evaluation_meta(eval_dir: Path, meta: Mapping[str, Any], coming: Path | None = None) -> None:
    """Write meta.json of one evaluation, with the extent of its samples.parquet.

    Args:
        coming: the file that is about to take the place of samples.parquet; until it has, either is right.
    """
    known = seals.extent((eval_dir / SAMPLES).read_bytes())
    samples = seals.extent(coming.read_bytes()) | {"before": known} if coming else known
    facts = {**meta, "schema": EVALUATION_SCHEMA, LISTING: samples}
    files.write_json(eval_dir / META, seals.sealed(facts))


def read_evaluation(eval_dir: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Samples and meta data of one evaluation.

    Returns:
        One row per sampled response (columns in docs/run_directory.md; null `answer_class` where no answer was found), and
        meta.

    Raises:
        DataError: a file is missing, damaged, lacks a column, or holds other rows than meta.json says.
    """
    meta = read_evaluation_meta(eval_dir)
    path, known = Path(eval_dir) / SAMPLES, meta.get(LISTING)
    samples = read_samples(eval_dir, meta).to_pandas()
    missing = [name for name in SAMPLE_COLUMNS if name not in samples]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again")
    evaluations.check_seeds(samples, path)
    if meta["complete"] and known:
        evaluations.check_rows(samples, meta, path)
    return samples, meta


def read_samples(eval_dir: Path | str, meta: Mapping[str, Any]) -> pa.Table:
    """samples.parquet of one evaluation, as it is.

    Raises:
        DataError: it is missing, not readable, or not the file of which meta.json has the hash.
    """
    path, again = Path(eval_dir) / SAMPLES, f"restore it, or delete {eval_dir} and evaluate again"
    known = meta.get(LISTING)
    if not path.is_file():
        raise DataError(f"{path} is missing; evaluate the run again")
    found = seals.problem(path, known) if known else None
    if found and known and seals.problem(path, known.get("before")):
        raise DataError(f"{path} {found}; {again}")
    try:
        groups = parquet.read_metadata(path)
        size = sum(groups.row_group(place).total_byte_size for place in range(groups.num_row_groups))
        if size > files.LARGE_BYTES:
            raise OSError(f"its rows fill {size >> 30} GiB")
        return parquet.read_table(path, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); {again}") from error


def read_jsonl(path: Path | str) -> list[dict[str, Any]]:
    """The objects of a `.jsonl` file; [] if it does not exist. A last line without its newline that does not parse is left out.

    Raises:
        DataError: any other line is not a JSON object, or the file is not what status.json beside it recorded.
    """
    path = Path(path)
    seals.check_file(path.parent, path.name)
    try:
        text = files.read_large(path).decode("utf-8", errors="replace")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); restore it, or leave this run out") from error
    lines = text.split("\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # no newline after it: torn by a kill in the middle of a write
                break
            raise DataError(
                f"{path}, line {number} is not JSON ({error}); resume the run to repair it, or delete the line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number} is not a JSON object; delete the line")
        step = row.get("step", 0)
        if not isinstance(step, int) or not 0 <= step < _MOST_STEPS:
            raise DataError(f"{path}, line {number}: step is not a number of steps; delete the line")
        rows.append(row)
    return rows


def _require(row: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in row]
    if missing:
        raise DataError(f"{where} lacks {', '.join(missing)}; it must be written again by the stage that made it")
