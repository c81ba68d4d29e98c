"""Responses for the page's browser of samples: each as a text of JSON that can stand inside a page, made once, when it is read.

What a model wrote is hostile: it goes into the page as data alone, in ASCII without `<`, `>` or `&`, and its length is bounded.

    logged by training: {c: run, s: step, i: prompt's id, p: prompt, t: [token], k: {term: [number]}, l: [log-prob], r: reward,
                         v: verdict, f: finish, e: [ends of steps], w: [rewards of steps]}
    of an evaluation:   {c: run, n: its name, i: problem's id, m: mode, x: text, a: answer, g: gold, v: verdict, f: finish}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from unified_rl.base.errors import DataError
from unified_rl.records import reading
from unified_rl.statistics.load import joined

#: Responses in a page, and the characters that they take up in it, at most. Of one run's log, so many of its latest are kept.
MOST_SAMPLES, MOST_CHARACTERS, KEPT_SAMPLES = 10_000, 24 << 20, 2_000
#: Of one response: characters of a text, tokens.
LONGEST_TEXT, MOST_TOKENS = 8_000, 2_000
#: In a block of JSON that the page reads at a time.
BLOCK = 200
TERMS = 12
VERDICTS = ("correct", "incorrect", "unparsable", "timeout")


@dataclass(frozen=True)
class Shown:
    """A response of the page. run: its place in the list of runs. where: its step, or the name of its evaluation. text: JSON."""

    run: int
    where: str
    text: str


@dataclass(frozen=True)
class Chosen:
    """The responses that a page has room for. blocks: lists of JSON. count: of all. places: their steps and evaluations."""

    blocks: tuple[str, ...]
    count: int
    places: tuple[str, ...]


def choose(found: Iterable[Shown]) -> Chosen:
    """The first responses, as many as a page has room for, in blocks of `BLOCK`; the last one may hold fewer."""
    texts: list[str] = []
    places: dict[str, None] = {}
    size = 0
    for one in found:
        size += len(one.text)
        if len(texts) == MOST_SAMPLES or size > MOST_CHARACTERS:
            break
        texts.append(f'{{"c":{one.run},{one.text}')
        places.setdefault(one.where)
    blocks = (texts[first : first + BLOCK] for first in range(0, len(texts), BLOCK))
    return Chosen(tuple(f"[{','.join(block)}]" for block in blocks), len(texts), tuple(places))


def embedded(value: Any) -> str:
    """JSON that can stand inside a `<script>` of data: ASCII, and nothing that HTML reads. Not finite numbers are null."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_logged(row: Mapping[str, Any]) -> str:
    """An entry of samples.jsonl, without the brace that opens it: `choose` puts the run before it."""
    tokens = row.get("tokens")
    tokens = [_text(joined([str(token)]), 200) for token in tokens[:MOST_TOKENS]] if isinstance(tokens, list) else []
    terms = row.get("coefficient")
    terms = {} if not isinstance(terms, Mapping) else dict(list(terms.items())[:TERMS])
    facts = {
        "s": row.get("step"),
        "i": _text(row.get("prompt_id"), 200),
        "p": _text(row.get("prompt")),
        "t": tokens,
        "k": {_text(name, 60): found for name, values in terms.items() if (found := _numbers(values, len(tokens)))},
        "l": _numbers(row.get("logp"), len(tokens)),
        "r": _number(row.get("reward")),
        "v": _text(row.get("verdict"), 40),
        "f": _text(row.get("finish"), 40),
        "e": _numbers(row.get("step_ends")),
        "w": _numbers(row.get("step_rewards")),
    }
    return embedded(facts)[1:]


def term_names(row: Mapping[str, Any]) -> list[str]:
    """The terms of an entry's coefficient, as the page names them."""
    terms = row.get("coefficient")
    return [str(_text(name, 60)) for name in list(terms)[:TERMS]] if isinstance(terms, Mapping) else []


def evaluated(run: int, run_dir: Path, most: int) -> Iterator[Shown]:
    """The responses of a run's last complete evaluation, at most so many: the greedy ones first.

    What cannot be read has none: the table of runs says what is wrong with it.
    """
    try:
        found = [path for path in reading.list_evaluations(run_dir) if reading.read_evaluation_meta(path)["complete"]]
        if not found or most <= 0:
            return
        rows = _first_rows(reading.read_samples(found[-1], reading.read_evaluation_meta(found[-1])), most)
    except (DataError, OSError, ValueError, KeyError):
        return
    for row in rows:
        facts: dict[str, Any] = {
            "n": found[-1].name[:80],
            "i": _text(row.get("problem_id"), 200),
            "m": _text(row.get("mode"), 20),
            "x": _text(row.get("text")),
            "a": _text(row.get("answer"), 400),
            "g": _text(row.get("gold"), 400),
            "v": _text(row.get("verdict"), 40),
            "f": _text(row.get("finish"), 40),
        }
        yield Shown(run, facts["n"], embedded(facts)[1:])


def _first_rows(samples: pa.Table, most: int) -> list[dict[str, Any]]:
    """So many rows of a table of responses, greedy ones first, then the first samples of every problem."""
    columns = ["problem_id", "mode", "sample_index", "text", "answer", "gold", "verdict", "finish"]
    table = samples.select(columns).to_pandas()
    order = table.assign(sampled=table["mode"] != "greedy").sort_values(["sampled", "sample_index"], kind="stable")
    return order.head(most).to_dict("records")


def _text(value: Any, longest: int = LONGEST_TEXT) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]} [{len(text) - longest} more characters]"


def _number(value: Any) -> float | None:
    """To four digits; None for what is no number."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    return float(f"{value:.4g}") if known else None


def _numbers(values: Any, length: int | None = None) -> Sequence[float | None] | None:
    """A list of numbers; None for what is none, or does not go with so many tokens."""
    if not isinstance(values, list):
        return None
    found = [_number(value) for value in values[:MOST_TOKENS]]
    return found if length is None or len(found) == length else None
