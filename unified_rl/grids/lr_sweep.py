"""The learning-rate sweep: the same rates for every method, judged on the validation split, one seed.

    python -m unified_rl.grids.lr_sweep [out=DIR] [methods=grpo,dpo] [workers=N]

The rate with the highest validation accuracy at the fixed final step (mean of both slices, greedy) is the one to write into the
stack's `methods` section. The seed is not one of those that results are reported on.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from unified_rl.grids.reproduce import FURTHER_METHODS, METHODS
from unified_rl.launch.cells import Cell
from unified_rl.launch.local import run_cells
from unified_rl.launch.resources import cores

RATES = (1e-5, 3e-5, 1e-4, 3e-4)
SEED = 1000
PROBLEMS = 200


def cells(methods: Sequence[str]) -> list[Cell]:
    """Every method at every rate; the curve is read at its last point only."""
    words = (f"seed={SEED}", "logging.curve_split=validation", f"logging.curve_problems={PROBLEMS}", "logging.curve_every=0")
    return [
        Cell(f"{method}-lr{rate:g}", (f"method={method}", f"trainer.learning_rate={rate}", *words), None)
        for method in methods
        for rate in RATES
    ]


def accuracy(run_dir: Path) -> dict[str, float]:
    """Validation accuracy at the last step, per slice."""
    entries = [json.loads(line) for line in (run_dir / "curve.jsonl").read_text(encoding="utf-8").splitlines()]
    last = max(entry["step"] for entry in entries)
    return {entry["slice"]: sum(entry["correct"]) / len(entry["correct"]) for entry in entries if entry["step"] == last}


def main(words: Sequence[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    folder = Path(given.get("out", "runs/lr_sweep"))
    methods = given["methods"].split(",") if "methods" in given else [*METHODS, *FURTHER_METHODS]
    workers = int(given.get("workers", cores()))
    words = ("method=sft", "label=SFT", f"seed={SEED}", "trainer.steps=0")
    run_cells([Cell("sft_policy", words, None)], folder, workers=1, threads=cores())
    failed = run_cells(cells(methods), folder, workers=workers, threads=max(1, cores() // workers))
    rows = []
    for method in methods:
        for rate in RATES:
            run_dir = folder / "runs" / f"{method}-lr{rate:g}"
            slices = accuracy(run_dir) if run_dir.name not in failed else {}
            mean = sum(slices.values()) / len(slices) if slices else float("nan")
            rows.append(
                {"method": method, "learning_rate": rate, **slices, "mean": mean, "problems_per_slice": PROBLEMS, "seed": SEED}
            )
    with (folder / "lr_sweep.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    for method in methods:
        best = max(
            (row for row in rows if row["method"] == method), key=lambda row: -1.0 if math.isnan(row["mean"]) else row["mean"]
        )
        print(
            f"{method:12s} best {best['learning_rate']:g}: "
            + json.dumps({k: round(v, 3) for k, v in best.items() if isinstance(v, float)})
        )
    print(f"recorded in {folder / 'lr_sweep.csv'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
