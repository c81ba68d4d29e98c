"""Grading in items/s on two cores: ours (worker pool, limits) against math-verify called directly, one item after the other.

Two sets, both measured in one run. "solutions": the responses are the reference solutions of MATH test and real GSM8K traces, as
they are. "respelled": the answers of MATH test in another spelling (dfrac, braces, spaces, 5.0 for 5), so that no item is decided
by equal strings. Where the files are not at hand, generated responses take their place, and the output says so.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from math_verify import parse, verify

from unified_rl.grading import Grader, benchmark_policy
from unified_rl.grading.grade import grade_with

SHARED = Path(__file__).parents[3] / "shared" / "data"
WORKERS = 2
DIRECT_ITEMS = 400  # math-verify is timed on a sample: it takes some hundred times longer


def main() -> dict[str, float]:
    """Print a line per set and grader; the ratios by name."""
    figures = {}
    solutions, source = _solutions()
    print(f"data: {source}; {WORKERS} workers; math-verify on a sample of {DIRECT_ITEMS}")
    for name, records in (("solutions", solutions), ("respelled", _respelled(solutions))):
        ours = _ours(records)
        direct = _direct(random.Random(0).sample(records, min(DIRECT_ITEMS, len(records))))
        for grader, (items, seconds, correct) in (("ours", ours), ("math-verify", direct)):
            rate = f"{items:6d} items {seconds:7.2f} s {items / seconds:9.1f} items/s"
            print(f"{name:10s} {grader:12s} {rate}, {correct / items:.3f} correct")
        ratio = (ours[0] / ours[1]) / (direct[0] / direct[1])
        print(f"{name:10s} ours / math-verify: {ratio:.1f}")
        figures[f"{name}, answers per second ratio"] = ratio
    return figures


def _ours(records: list[dict]) -> tuple[int, float, int]:
    """(items, seconds, correct) with a grader that has not seen anything; its start is part of the time."""
    with Grader(benchmark_policy("math"), workers=WORKERS) as grader:
        start = time.perf_counter()
        correct = sum(one.correct for one in grade_with(grader, records))
        return len(records), time.perf_counter() - start, correct


def _direct(records: list[dict]) -> tuple[int, float, int]:
    """math-verify's own parse and verify, timers off."""
    start = time.perf_counter()
    correct = 0
    for record in records:
        gold = parse(f"${record['gold']}$", parsing_timeout=None)
        text = record.get("response") or f"${record['prediction']}$"
        correct += bool(verify(gold, parse(text, parsing_timeout=None), timeout_seconds=None))
    return len(records), time.perf_counter() - start, correct


def _solutions() -> tuple[list[dict], str]:
    """Records with gold and response, and where they are from."""
    if not SHARED.is_dir():
        draw = random.Random(0)
        made = [(f"\\frac{{{draw.randint(1, 99)}}}{{{draw.randint(100, 199)}}}", draw.randint(0, 9)) for _ in range(3000)]
        return [{"gold": g, "response": f"{'We compute. ' * n}The answer is $\\boxed{{{g}}}$."} for g, n in made], "generated"
    solutions = [{"gold": row["answer"], "response": row["solution"]} for row in _rows("math_test.jsonl")]
    traces = [{"gold": row["gt"], "response": row["code"][0]} for row in _rows("tora70b_gsm8k_test_traces.jsonl")]
    return solutions + traces, "MATH test solutions and GSM8K traces"


def _rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (SHARED / name).read_text(encoding="utf-8").splitlines()]


def _respelled(records: list[dict]) -> list[dict]:
    golds = sorted({record["gold"] for record in records})
    return [{"gold": gold, "prediction": other} for gold in golds if (other := _respell(gold)) != gold]


def _respell(gold: str) -> str:
    """The same answer, spelled differently."""
    if gold.lstrip("-").isdigit():
        return f"{gold}.0"
    return f"\\displaystyle{{{gold.replace(chr(92) + 'frac', chr(92) + 'dfrac').replace('+', ' + ')}}}"


if __name__ == "__main__":
    main()
