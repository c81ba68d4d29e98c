"""What benchmarks measured, one line of JSON a run with the commit and the machine, and how a run compares with the last."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unified_rl.base.errors import DataError
from unified_rl.records.provenance import git_state

#: Below the folder that the command runs in.
FILE = Path("experiments/results/bench.jsonl")
#: Part -> figure -> value. Figures whose name ends in `RATIO` were measured against another way in the same run.
Figures = Mapping[str, Mapping[str, float]]
RATIO = "ratio"


def entry(figures: Figures, threads: int) -> dict[str, Any]:
    """This run's line."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "date": now,
        **git_state(),
        "machine": machine,
        "threads": threads,
        "figures": {k: dict(v) for k, v in figures.items()},
    }


def read(file: Path) -> list[dict[str, Any]]:
    """The runs so far, oldest first; none where there is no file. Raises DataError for a line that is none of ours."""
    if not file.exists():
        return []
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise DataError(f"{file}: not a file of benchmarks, one line of JSON a run ({error}); move it away") from error


def append(file: Path, new: Mapping[str, Any]) -> None:
    """Add a run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(new) + "\n")


def compared(new: Mapping[str, Any], before: list[dict[str, Any]]) -> list[str]:
    """A line per figure, beside the last run that has it: ratios of any machine, times and rates of the same one only."""
    lines = []
    for part, figures in new["figures"].items():
        for name, value in figures.items():
            earlier = [run for run in before if name in run["figures"].get(part, {}) and _comparable(name, new, run)]
            line = f"{part}: {name} {value:,.4g}"
            if earlier:
                then = earlier[-1]["figures"][part][name]
                change = f", {value / then - 1:+.0%}" if then else ""
                line += f" ({then:,.4g} at {(earlier[-1]['commit'] or 'an unknown commit')[:7]}{change})"
            lines.append(line)
    return lines


def _comparable(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return name.endswith(RATIO) or all(one[what] == other[what] for what in ("machine", "threads"))


def _processor() -> str:
    """The processor's model, where the system says it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "an unknown processor"
