"""Dumps of rollouts as one table: TRL's `completions_*.parquet`, verl's `STEP.jsonl`, our own samples, and records with tokens.

Nothing in a file is executed or unpickled. A record is a JSON object or a row of a Parquet file. It has a prompt (`prompt_id`,
`prompt` or `input`), a reward (`reward`, `score`, or beside an `advantage` any further columns of numbers, as TRL has them) and a
response: its text (`completion`, `output`, `response`) or its tokens, as numbers or texts (`token_ids`, `tokens`). Per token it may
have log-probs: `behaviour_logp` (the sampler's), `old_logp`, `logp`, `ref_logp`. It may say `truncated` or `finish`, `advantage`,
`step`.

In TRL's layout (`prompt`, `completion`, `advantage`, no tokens) there is no total: TRL has a column per reward function, under that
function's name, and trains on their sum. A column that is called `reward` or `score` there is one function's like any other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from unified_rl.base.errors import DataError
from unified_rl.base.terminal import one_line

TEXTS, TOKENS, PROMPTS = ("completion", "output", "response"), ("token_ids", "tokens"), ("prompt_id", "prompt", "input")
REWARDS = ("reward", "score")
PER_TOKEN = ("behaviour_logp", "old_logp", "logp", "ref_logp")
OTHER_NAMES = {"behaviour_logps": "behaviour_logp", "rollout_log_probs": "behaviour_logp", "old_log_probs": "old_logp"}
#: Columns of numbers beside an advantage that are no reward.
NO_REWARD = frozenset({"step", "advantage", "epoch", "prompt_id", "truncated"})
LONGEST = 1_000_000
#: Beyond it sums of squares over a file overflow.
LARGEST = 1e100
#: Above 0 a log-prob is none; the rest is what float16 and a temperature's division leave.
ROUNDING = 1e-3
#: More token ids than any vocabulary has.
MOST_IDS = 1 << 31


@dataclass
class Rollout:
    """One response of a dump.

    prompt: equal for responses to one prompt. prompt_text: as the model read it, where that is known. text, tokens: one of them at
    least. logps: per token, by name. where: file and line. rewards: the columns whose sum the reward is, in TRL's layout.
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
    rewards: tuple[str, ...] = ()


def read(path: Path) -> list[Rollout]:
    """All responses of a file, or of a folder's files in the order of their names.

    Raises:
        DataError: there is none, one is damaged, or a record lacks what it must have; one line with file, line and field.
    """
    files = sorted(one for one in path.iterdir() if one.suffix in (".jsonl", ".parquet")) if path.is_dir() else [path]
    files = [one for one in files if one.is_file()]  # a pipe would never end
    if not files:
        raise DataError(f"{one_line(path)} holds no rollouts; name a .jsonl or .parquet file, or a folder of them")
    keys: dict[str, tuple[str, str]] = {}
    found = [_rollout(row, where, keys) for file in files for row, where in _rows(file)]
    if not found:
        raise DataError(f"{one_line(path)} has no record in it")
    return found


def _rows(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    yield from _parquet(file) if file.suffix == ".parquet" else _jsonl(file)


def _jsonl(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{one_line(file)}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=partial(_object, where))
            except DataError:
                raise
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where} is not JSON ({_short(error)}); cut the file before it, or dump it again") from error
            if not isinstance(row, dict):
                raise DataError(f"{where} is no object of fields, but {type(row).__name__}")
            yield row, where


def _object(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _named_once([name for name, _ in pairs], where)
    return dict(pairs)


def _parquet(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = one_line(file)
    try:
        opened = pq.ParquetFile(file)
        _named_once(opened.schema_arrow.names, name)
        number = 0
        for batch in opened.iter_batches(batch_size=4096):
            for row in _values(batch, name):
                number += 1
                yield row, f"{name}, row {number}"
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} is no Parquet file, or a damaged one ({_short(error)}); dump it again") from error


def _values(batch: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a batch.

    Raises:
        DataError: a column has what Python cannot hold: text that is no UTF-8, a date beyond its last.
    """
    columns = {}
    for column in batch.schema.names:
        try:
            columns[column] = batch.column(column).to_pylist()
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{name}: column {one_line(column)} cannot be read ({_short(error)}); dump it again without"
            ) from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _named_once(names: Sequence[str], where: str) -> None:
    """Refuse two fields of one name, of which nobody knows which is meant."""
    ours = [OTHER_NAMES.get(name, name) for name in names]
    if len(set(ours)) < len(ours):
        twice = next(one for one in ours if ours.count(one) > 1)
        raise DataError(f"{where} has {one_line(twice)} twice; dump it again with one of them")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _rollout(row: Mapping[str, Any], where: str, keys: dict[str, tuple[str, str]]) -> Rollout:
    """A record checked. keys: of the prompts so far, with what they were read from."""
    row = {OTHER_NAMES.get(name, name): value for name, value in row.items()}
    tokens = _first(row, TOKENS)
    text = _first(row, TEXTS)
    if tokens is None and text is None:
        raise DataError(f"{where} has no response: none of {', '.join((*TEXTS, *TOKENS))}")
    summed = _reward_columns(row, where)
    reward = sum(_number(row[name], name, where) for name in summed)
    found = Rollout(_prompt(row, where, keys), reward, _whole(row.get("step", 0), "step", where), where)
    found.rewards = summed if len(summed) > 1 else ()
    found.text = None if text is None else _text(text, "the response", where)
    asked = next((row[name] for name in ("prompt", "input") if isinstance(row.get(name), str)), None)
    found.prompt_text = None if asked is None else _text(asked, "prompt", where)
    if tokens is not None:
        found.tokens = _tokens(_list(tokens, "token_ids", where), where)
    for name in PER_TOKEN:
        if row.get(name) is not None:
            found.logps[name] = _logps(row[name], name, found.tokens or [], where)
    found.truncated = _truncated(row, where)
    if row.get("advantage") is not None:
        found.advantage = _number(row["advantage"], "advantage", where)
    return found


def _logps(value: Any, name: str, tokens: Sequence[Any], where: str) -> list[float]:
    found = [_number(one, name, where) for one in _list(value, name, where)]
    if len(found) != len(tokens):
        raise DataError(f"{where}: {name} has {len(found)} entries, but there are {len(tokens)} tokens")
    if found and max(found) > ROUNDING:
        raise DataError(
            f"{where}: {name} has {max(found):g}, and no log-prob is above 0; dump natural logarithms of probabilities"
        )
    return found


def _truncated(row: Mapping[str, Any], where: str) -> bool | None:
    said, finish = row.get("truncated"), _first(row, ("finish", "finish_reason"))
    if said is not None and not isinstance(said, bool) and not (isinstance(said, int) and said in (0, 1)):
        raise DataError(f"{where}: truncated is {str(said)[:40]!r}, neither true nor false")
    return None if said is None and finish is None else bool(said) or finish == "length"


def _tokens(values: list[Any], where: str) -> list[int] | list[str]:
    if values and all(isinstance(value, str) for value in values):
        return [_text(value, "token_ids", where) for value in values]
    found = [_whole(value, "token_ids", where) for value in values]
    if found and not (min(found) >= 0 and max(found) < MOST_IDS):
        wrong = next(value for value in found if not 0 <= value < MOST_IDS)
        raise DataError(f"{where}: token_ids has {wrong}, which is no token's number; dump the response's tokens alone")
    return found


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _prompt(row: Mapping[str, Any], where: str, keys: dict[str, tuple[str, str]]) -> str:
    name = next((name for name in PROMPTS if row.get(name) is not None), None)
    if name is None:
        raise DataError(f"{where} has no prompt: none of {', '.join(PROMPTS)}, by which responses are grouped")
    value = row[name]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a table with a gap has its whole numbers as these
    if isinstance(value, bool | float) or (name == "prompt_id" and not isinstance(value, str | int)):
        raise DataError(f"{where}: {name} is {str(value)[:40]!r}, neither a text nor a whole number")
    key, kind = _text(value, name, where), f"{name} as {'a number' if isinstance(value, int) else 'text'}"
    known, first = keys.setdefault(key, (kind, where))
    if known != kind:  # 1 and "1": one prompt, or two?
        raise DataError(f"{where} has {key[:40]!r} from {kind}, and {first} from {known}; dump one of them for all responses")
    return key


def _text(value: Any, name: str, where: str) -> str:
    """A text, or a chat (a list of messages) as one.

    Raises:
        DataError: it has half of a surrogate pair, which no file or tokenizer takes.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: {name} has half of a character (a lone surrogate); dump it as UTF-8") from error
    return text


def _reward_columns(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The fields whose sum is the reward."""
    of_trl = {"prompt", "completion", "advantage"} <= row.keys() and not {"prompt_id", *TOKENS} & row.keys()
    one = next((name for name in REWARDS if row.get(name) is not None), None)
    if one is not None and not of_trl:
        return (one,)
    numbers = tuple(
        name
        for name, value in row.items()
        if "advantage" in row and name not in NO_REWARD and isinstance(value, int | float) and not isinstance(value, bool)
    )
    if one is not None and one not in numbers:
        numbers = (one, *numbers)
    if not numbers:
        raise DataError(f"{where} has no reward: none of {', '.join(REWARDS)}, nor columns of numbers beside an advantage")
    return numbers


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool | int | float) and abs(value) <= LARGEST:
        return float(value)
    large = isinstance(value, int | float) and LARGEST < abs(value) < math.inf
    what = f"beyond {LARGEST:g}, where sums overflow" if large else "not a finite number"
    raise DataError(f"{where}: {one_line(name)} is {str(value)[:40]!r}, {what}")


def _whole(value: Any, name: str, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62:
        return value
    raise DataError(f"{where}: {name} has {str(value)[:40]!r}, not a whole number")


def _list(value: Any, name: str, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > LONGEST:
        raise DataError(f"{where}: {name} is no list of at most {LONGEST:,} entries, one per token")
    return value
