"""`unified-rl grade FILE.jsonl [setting=value ...]`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.grading.extract import FORMATS
from unified_rl.grading.grade import Grader, Verdicted, check_field, grade_with
from unified_rl.grading.policies import BENCHMARKS, GradingPolicy, benchmark_policy
from unified_rl.isolation import Limits

BLOCK = 2000  # records graded together: output appears while a long file is graded
USAGE = "grade needs one file of JSON records: unified-rl grade FILE.jsonl [setting=value ...]"


def run(words: Sequence[str], as_json: bool) -> None:
    """Grade a file (`-`: standard input) and print verdicts and a summary.

    Settings: `policy` (a benchmark's name), any setting of `GradingPolicy`, `format`, `seconds`, `memory_mb`, `workers`, and
    `explain` ("true": how both answers were read, and what the verdict rests on, behind each verdict).
    With --json standard output is one record per input, in order, and the summary goes to standard error.
    """
    paths = [word for word in words if "=" not in word]
    if len(paths) != 1:
        raise ConfigError(USAGE)
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    explained = _explained(settings)
    grader, format = make_grader(settings)
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    with grader:
        for block in _blocks(Path(paths[0])):
            verdicts = grade_with(grader, block, format)
            reasons = _explanations(grader, block, verdicts) if explained else [None] * len(block)
            for graded, reason in zip(verdicts, reasons, strict=True):
                counts[graded.verdict] += 1
                print(_line(graded, as_json, reason))
    seconds = time.perf_counter() - start
    total = sum(counts.values())
    shares = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("correct", "incorrect", "unparsable", "timeout"))
    sys.stdout.flush()
    print(
        f"{total} items: {shares}; {seconds:.2f} s, {total / max(seconds, 1e-9):.0f} items/s",
        file=sys.stderr if as_json else None,
    )


def _explained(settings: dict[str, str]) -> bool:
    """Takes `explain` out of the settings."""
    value = settings.pop("explain", "false")
    if value not in ("true", "false"):
        raise ConfigError(f"explain={value} must be true or false")
    return value == "true"


def _explanations(grader: Grader, block: list[dict[str, Any]], verdicts: Sequence[Verdicted]) -> list[dict[str, Any] | None]:
    """One for each record that has a gold answer and an extracted one of a length that was graded."""
    pairs: dict[int, tuple[str, str]] = {
        place: (str(record["gold"]), verdict.extracted)
        for place, (record, verdict) in enumerate(zip(block, verdicts, strict=True))
        if record.get("gold") is not None and verdict.extracted and verdict.verdict in ("correct", "incorrect")
    }
    found = dict(zip(pairs, grader.explain(pairs.values()), strict=True))
    return [found.get(place) for place in range(len(block))]


def make_grader(settings: dict[str, str]) -> tuple[Grader, Any]:
    """A grader and the extraction format from command-line settings. Raises ConfigError, naming the setting."""
    settings = dict(settings)
    format = settings.pop("format", "auto")
    if format not in FORMATS:
        raise ConfigError(f"format={format} is unknown; choose one of {', '.join(FORMATS)}")
    limits = Limits(_number(settings, "seconds", 5.0, float), int(_number(settings, "memory_mb", 2048, int)) << 20)
    workers = _number(settings, "workers", 0, int) or None
    benchmark = settings.pop("policy", "default")
    defaults = {field.name: field.default for field in fields(GradingPolicy)}
    changes = {name: _convert(name, value, defaults.get(name)) for name, value in settings.items()}
    return Grader(benchmark_policy(benchmark, **changes), limits, workers), format


def _number(settings: dict[str, str], name: str, default: float, kind: type) -> Any:
    value = settings.pop(name, default)
    try:
        number = kind(value)
    except ValueError as error:
        raise ConfigError(f"{name}={value} must be a number") from error
    if not 0 <= number < 1e9 or (name != "workers" and number == 0):
        raise ConfigError(f"{name}={value} must be positive")
    return number


def _convert(name: str, value: str, default: Any) -> Any:
    if isinstance(default, int | float):
        try:
            return type(default)(value)
        except ValueError as error:
            raise ConfigError(f"{name}={value} must be a number") from error
    return value


def _blocks(path: Path) -> Iterator[list[dict[str, Any]]]:
    if str(path) != "-" and (not path.exists() or path.is_dir()):
        raise DataError(f"{path} does not exist; give a file with one JSON record per line, or - for standard input")
    block: list[dict[str, Any]] = []
    source = sys.stdin.fileno() if str(path) == "-" else path
    with open(source, encoding="utf-8-sig", errors="surrogateescape", newline="\n", closefd=source is path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                block.append(_record(f"{path}, line {number}", line))
            if len(block) == BLOCK:
                yield block
                block = []
    if block:
        yield block


def _record(place: str, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not a JSON record ({error}); mend or drop the line") from error
    if not isinstance(record, dict):
        raise DataError(f"{place}: a JSON {type(record).__name__}, where a record with 'gold' and 'prediction' is needed")
    if "prediction" not in record and "response" not in record:
        raise DataError(f"{place}: neither 'prediction' nor 'response' in the record; add one of them")
    for field in ("gold", "prediction", "response"):
        check_field(place, record, field)
    return record


def _line(graded: Verdicted, as_json: bool, explanation: dict[str, Any] | None) -> str:
    if not as_json:
        name = "-" if graded.id is None else graded.id
        line = f"{name}\t{graded.verdict}\t{json.dumps(graded.extracted)}"
        return line if explanation is None else line + _told(explanation)
    row = {} if graded.id is None else {"id": graded.id}
    row |= {"extracted": graded.extracted, "correct": graded.correct, "verdict": graded.verdict}
    row |= {"reason": graded.reason} if graded.reason else {}
    return json.dumps(row | ({"explanation": explanation} if explanation else {}))


def _told(explanation: dict[str, Any]) -> str:
    """An explanation as indented lines."""
    sides = [(side, explanation[side]) for side in ("gold", "prediction") if side in explanation]
    lines = [f"\n    {side}: {read['reader']}: {read['value']}" for side, read in sides]
    return "".join([*lines, f"\n    rests on: {explanation['rests_on']}"])


__all__ = ["BENCHMARKS", "make_grader", "run"]
