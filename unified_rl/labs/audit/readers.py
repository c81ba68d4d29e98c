"""Dumps of rollouts as one table: TRL's `completions_*.parquet`, verl's `STEP.jsonl`, our own samples, and records with tokens.

Nothing in a file is executed or unpickled. A record is a JSON object or a row of a Parquet file. It has a prompt (`prompt_id`,
`prompt` or `input`), a reward (`reward`, `score`, or beside an `advantage` any further columns of numbers, as TRL has them) and a
response: its text (`completion`, `output`, `response`) or its tokens, as numbers or texts (`token_ids`, `tokens`). Per token it may
have log-probs: `behaviour_logp` (the sampler's), `old_logp`, `logp`, `ref_logp`. It may say `truncated` or `finish`, `advantage`,
`step`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_rl.base.errors import DataError

TEXTS, TOKENS, PROMPTS = ("completion", "output", "response"), ("token_ids", "tokens"), ("prompt_id", "prompt", "input")
REWARDS = ("reward", "score")
PER_TOKEN = ("behaviour_logp", "old_logp", "logp", "ref_logp")
OTHER_NAMES = {"behaviour_logps": "behaviour_logp", "rollout_log_probs": "behaviour_logp", "old_log_probs": "old_logp"}
#: Columns of numbers of TRL's dump that are no reward.
NO_REWARD = frozenset({"step", "advantage", "epoch"})
LONGEST = 1_000_000


@dataclass
class Rollout:
    """One response of a dump.

    prompt: equal for responses to one prompt. prompt_text: as the model read it, where that is known. text, tokens: one of them at
    least. logps: per token, by name. where: file and line.
    """

    prompt: str
    reward: float
    step: int
    where: str
    prompt_text: str | None = None
    text: str | None = None
    tokens: list[int] | list[str] | None = None
    logps: dict[str, list[float]] = field(default_factory=dict)
    truncated: bool | None = None
    advantage: float | None = None


def read(path: Path) -> list[Rollout]:
    """All responses of a file, or of a folder's files in the order of their names.

    Raises:
        DataError: there is none, one is damaged, or a record lacks what it must have; one line with file, line and field.
    """
    files = sorted(one for one in path.iterdir() if one.suffix in (".jsonl", ".parquet")) if path.is_dir() else [path]
    files = [one for one in files if one.is_file()]  # a pipe would never end
    if not files:
        raise DataError(f"{path} holds no rollouts; name a .jsonl or .parquet file, or a folder of them")
    found = [_rollout(row, where) for file in files for row, where in _rows(file)]
    if not found:
        raise DataError(f"{path} has no record in it")
    return found


def _rows(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    yield from _parquet(file) if file.suffix == ".parquet" else _jsonl(file)


def _jsonl(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where} is not JSON ({_short(error)}); cut the file before it, or dump it again") from error
            if not isinstance(row, dict):
                raise DataError(f"{where} is no object of fields, but {type(row).__name__}")
            yield row, where


def _parquet(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
        number = 0
        for batch in opened.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                number += 1
                yield row, f"{file}, row {number}"
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is no Parquet file, or a damaged one ({_short(error)}); dump it again") from error


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _rollout(row: Mapping[str, Any], where: str) -> Rollout:
    row = {OTHER_NAMES.get(name, name): value for name, value in row.items()}
    tokens = _first(row, TOKENS)
    text = _first(row, TEXTS)
    if tokens is None and text is None:
        raise DataError(f"{where} has no response: none of {', '.join((*TEXTS, *TOKENS))}")
    found = Rollout(_prompt(row, where), _reward(row, where), _whole(row.get("step", 0), "step", where), where)
    found.text = None if text is None else _text(text)
    found.prompt_text = next((row[name] for name in ("prompt", "input") if isinstance(row.get(name), str)), None)
    if tokens is not None:
        found.tokens = _tokens(_list(tokens, "token_ids", where), where)
    for name in PER_TOKEN:
        if row.get(name) is not None:
            found.logps[name] = [_number(value, name, where) for value in _list(row[name], name, where)]
            if found.tokens is None or len(found.logps[name]) != len(found.tokens):
                raise DataError(
                    f"{where}: {name} has {len(found.logps[name])} entries, but there are {len(found.tokens or [])} tokens"
                )
    finish = _first(row, ("finish", "finish_reason"))
    if row.get("truncated") is not None or finish is not None:
        found.truncated = bool(row.get("truncated")) or finish == "length"
    if row.get("advantage") is not None:
        found.advantage = _number(row["advantage"], "advantage", where)
    return found


def _tokens(values: list[Any], where: str) -> list[int] | list[str]:
    if values and all(isinstance(value, str) for value in values):
        return values
    return [_whole(value, "token_ids", where) for value in values]


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _prompt(row: Mapping[str, Any], where: str) -> str:
    value = _first(row, PROMPTS)
    if value is None:
        raise DataError(f"{where} has no prompt: none of {', '.join(PROMPTS)}, by which responses are grouped")
    return _text(value)


def _text(value: Any) -> str:
    """A text, or a chat (a list of messages) as one."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _reward(row: Mapping[str, Any], where: str) -> float:
    value = _first(row, REWARDS)
    if value is not None:
        return _number(value, "reward", where)
    numbers = {
        name: value
        for name, value in row.items()
        if "advantage" in row and name not in NO_REWARD and isinstance(value, int | float) and not isinstance(value, bool)
    }
    if not numbers:
        raise DataError(f"{where} has no reward: none of {', '.join(REWARDS)}, nor columns of numbers beside an advantage")
    return sum(_number(value, name, where) for name, value in numbers.items())


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise DataError(f"{where}: {name} is {str(value)[:40]!r}, not a finite number")


def _whole(value: Any, name: str, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62:
        return value
    raise DataError(f"{where}: {name} has {str(value)[:40]!r}, not a whole number")


def _list(value: Any, name: str, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > LONGEST:
        raise DataError(f"{where}: {name} is no list of at most {LONGEST:,} entries, one per token")
    return value
