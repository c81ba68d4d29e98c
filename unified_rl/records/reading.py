"""The run directory, read: plain functions, one per file that docs/run_directory.md describes. No torch.

A run may be read while it is being written: a last line torn by a kill is left out, and files that do not exist yet are empty
tables or None. Anything else that is wrong is a DataError that names the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unified_rl.base.errors import DataError

EVALUATION_SCHEMA = 1
SAMPLE_COLUMNS = ("problem_id", "slice", "split", "mode", "sample_index", "answer_class", "gold_class", "verdict")
META_FIELDS = ("method", "label", "seed", "step", "decoding", "samples_per_problem", "complete")
CURVE_FIELDS = ("step", "split", "slice", "problem_ids", "correct", "sampled_tokens", "trained_tokens")
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
    """The resolved configuration of a run, None where the directory holds none.

    Raises:
        DataError: config.yaml is not readable as YAML.
    """
    path = Path(run_dir) / "config.yaml"
    if not path.exists():
        return None
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise DataError(f"{path} is not a readable configuration ({error}); restore it or leave this run out") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} holds no configuration; restore it or leave this run out")
    return {str(name): value for name, value in config.items()}


def read_status(run_dir: Path | str) -> dict[str, Any] | None:
    """Where a run stands: `{"state", "step", "steps", "error"}`, None where it was never recorded."""
    path = Path(run_dir) / "status.json"
    return _read_json(path) if path.exists() else None


def read_provenance(run_dir: Path | str) -> dict[str, Any] | None:
    """What a run was made of (command, git state, packages, inputs), None where it was never recorded."""
    path = Path(run_dir) / "provenance.json"
    return _read_json(path) if path.exists() else None


def read_metrics(run_dir: Path | str) -> pd.DataFrame:
    """metrics.jsonl, one row per step; empty before the first step."""
    return pd.DataFrame(read_jsonl(Path(run_dir) / "metrics.jsonl"))


def read_curve(run_dir: Path | str) -> pd.DataFrame:
    """curve.jsonl, one row per (step, split, slice); columns `CURVE_FIELDS`, of which `problem_ids` and `correct` hold lists.

    Raises:
        DataError: a line lacks a field, or has unequal numbers of problems and verdicts.
    """
    path = Path(run_dir) / "curve.jsonl"
    rows = read_jsonl(path)
    for number, row in enumerate(rows, 1):
        _require(row, CURVE_FIELDS, f"{path}, entry {number}")
        if len(row["problem_ids"]) != len(row["correct"]):
            raise DataError(
                f"{path}, entry {number}: {len(row['problem_ids'])} problem_ids but {len(row['correct'])} values in correct; "
                "the run must be evaluated again"
            )
    return pd.DataFrame(rows, columns=list(CURVE_FIELDS))


def list_evaluations(run_dir: Path | str) -> list[Path]:
    """The evaluation directories of a run, by name; also the unfinished ones, as long as they have a meta.json."""
    return sorted(path.parent for path in (Path(run_dir) / "evaluations").glob("*/meta.json"))


def read_evaluation_meta(eval_dir: Path | str) -> dict[str, Any]:
    """meta.json of one evaluation.

    Raises:
        DataError: it is missing or malformed, lacks a field, or has a schema this version does not know.
    """
    path = Path(eval_dir) / "meta.json"
    meta = _read_json(path)
    if meta.get("schema") != EVALUATION_SCHEMA:
        raise DataError(
            f"{path}: schema {meta.get('schema')!r} is not {EVALUATION_SCHEMA}, which this version reads; evaluate it again"
        )
    _require(meta, META_FIELDS, str(path))
    return meta


def read_evaluation(eval_dir: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Samples and meta data of one evaluation.

    Returns:
        One row per sampled response (columns in docs/run_directory.md; null `answer_class` where no answer was found), and
        meta.

    Raises:
        DataError: a file is missing, torn, or lacks a column.
    """
    meta = read_evaluation_meta(eval_dir)
    path = Path(eval_dir) / "samples.parquet"
    if not path.exists():
        raise DataError(f"{path} is missing; evaluate the run again")
    try:
        samples = parquet.read_table(path, use_threads=False).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({error}); delete {Path(eval_dir)} and evaluate again"
        ) from error
    missing = [name for name in SAMPLE_COLUMNS if name not in samples]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again")
    return samples, meta


def read_jsonl(path: Path | str) -> list[dict[str, Any]]:
    """The objects of a `.jsonl` file; [] if it does not exist. A last line without its newline that does not parse is left out.

    Raises:
        DataError: any other line is not a JSON object.
    """
    path = Path(path)
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", errors="replace")
    lines = text.split("\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # no newline after it: torn by a kill in the middle of a write
                break
            raise DataError(
                f"{path}, line {number} is not JSON ({error}); resume the run to repair it, or delete the line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number} is not a JSON object; delete the line")
        rows.append(row)
    return rows


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or not JSON ({error}); restore it, or run that stage again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} does not hold a JSON object; restore it, or run that stage again")
    return value


def _require(row: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in row]
    if missing:
        raise DataError(f"{where} lacks {', '.join(missing)}; it must be written again by the stage that made it")
