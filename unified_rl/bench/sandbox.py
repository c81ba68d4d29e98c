"""The sandbox in programs/s, and the real programs of a GSM8K evaluation run in it.

Throughput: 1,000 small honest programs (arithmetic; and with sympy in one of ten), sandbox warm; beside it, what the same machine
takes to start a plain Python process for each. Real programs: the tool-integrated traces of ToRA-70B; what they print is compared
with the output and prediction stored beside them.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from unified_rl.base.errors import DataError
from unified_rl.grading import grade
from unified_rl.isolation.sandbox import Sandbox

TRACES = Path(__file__).parents[3] / "shared" / "data" / "tora70b_gsm8k_test_traces.jsonl"
WORKERS = 2
PROGRAMS = 1000
PLAIN_PROGRAMS = 50
_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
_OUTPUT = re.compile(r"```output\n(.*?)```", re.DOTALL)


class Trace(NamedTuple):
    """A stored program with what it printed then (None where that was not kept), the prediction made of it, and the gold answer."""

    program: str
    output: str | None
    prediction: str
    gold: str


def main() -> dict[str, float]:
    """Print the protections, the throughput, and the counts of the real programs; the rates by name."""
    figures = {}
    with Sandbox(workers=WORKERS) as sandbox:
        print(sandbox.describe())
        for name, share in (("arithmetic", 0.0), ("one in ten with sympy", 0.1)):
            seconds = _timed(sandbox, small_programs(PROGRAMS, share))
            figures[f"{name}, programs per second"] = PROGRAMS / seconds
            print(f"{name}: {PROGRAMS} programs, {WORKERS} workers, {seconds:.2f} s, {PROGRAMS / seconds:.0f} programs/s")
        rate = _plain(small_programs(PLAIN_PROGRAMS, 0.0))
        print(f"a new Python process each, no protection, one at a time: {rate:.0f} programs/s")
        if not TRACES.exists():
            print("real programs: not at hand")
            return figures
        start = time.perf_counter()
        counts = reproduced(sandbox, read_traces(TRACES))
        print(f"real programs: {counts}, {time.perf_counter() - start:.1f} s with grading")
    return figures


def small_programs(count: int, with_sympy: float) -> list[str]:
    """Programs of a few lines, no two alike; `with_sympy` is the share that solves an equation with sympy."""
    draw = random.Random(0)
    programs = []
    for index in range(count):
        a, b = draw.randrange(2, 1000), draw.randrange(2, 1000)
        if index < count * with_sympy:
            programs.append(f"import sympy\nx = sympy.symbols('x')\nprint(sympy.solve({a} * x - {a * b})[0])")
        else:
            programs.append(
                f"def answer():\n    prices = [{a} + i for i in range({b})]\n    return sum(prices) // {b}\n\nprint(answer())"
            )
    draw.shuffle(programs)
    return programs


def _timed(sandbox: Sandbox, programs: Sequence[str]) -> float:
    sandbox.run(["print(1)", "import sympy"] * 8 * WORKERS)  # workers and their parents are up
    start = time.perf_counter()
    results = sandbox.run(programs)
    seconds = time.perf_counter() - start
    failed = [result for result in results if result.status != "ok"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(programs)} programs failed: {failed[0]}")
    return seconds


def _plain(programs: Sequence[str]) -> float:
    start = time.perf_counter()
    for program in programs:
        subprocess.run([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.DEVNULL, check=True)
    return len(programs) / (time.perf_counter() - start)


def read_traces(path: Path) -> list[Trace]:
    """The program of each trace."""
    traces = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        text = record["code"][0]
        code, output = _CODE.search(text), _OUTPUT.search(text)
        if code is None:
            raise DataError(f"{path}: a trace without a program: {text[:80]!r}")
        traces.append(Trace(code[1], output[1] if output else None, record["pred"][0], record["gt"]))
    return traces


def reproduced(sandbox: Sandbox, traces: Sequence[Trace]) -> dict[str, int]:
    """Counts: by status; those that print what they did then; whose last line equals the prediction; or the gold answer."""
    results = sandbox.run([trace.program for trace in traces])
    printed = [result.stdout.strip().rpartition("\n")[2] or None for result in results]
    right = {}
    for name, golds in (("prediction", [one.prediction for one in traces]), ("gold", [one.gold for one in traces])):
        records = [{"gold": gold, "prediction": text} for gold, text in zip(golds, printed, strict=True)]
        right[name] = sum(one.correct for one in grade(records))
    same = sum(
        trace.output is not None and trace.output.strip() == r.stdout.strip() for trace, r in zip(traces, results, strict=True)
    )
    by_status: Counter[str] = Counter(one.status for one in results)
    return {
        "programs": len(traces),
        **dict(sorted(by_status.items())),
        "stored output": same,
        "stored prediction": right["prediction"],
        "gold": right["gold"],
        "stored prediction is gold": sum(
            one.correct for one in grade([{"gold": t.gold, "prediction": t.prediction} for t in traces])
        ),
    }


if __name__ == "__main__":
    main()
