"""`unified-rl bench gpu`: all parts in one run of less than four minutes, a line per result, and the results as JSON.

    unified-rl bench gpu                           on cuda; exits with 2 where there is no CUDA device
    unified-rl bench gpu shape=7b out=gpu.json
    unified-rl bench gpu device=cpu shape=tiny     the same code without a GPU

A part that fails, dies or has not the memory says so, and the others go on; one that there is no time for is named as not measured.
The file is written anew after each result: what was measured is kept whatever happens then.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from unified_rl.base import files
from unified_rl.bench.gpu.device import device_name
from unified_rl.bench.gpu.goals import verdicts
from unified_rl.bench.gpu.models import STACKS
from unified_rl.bench.gpu.schedule import BUDGET, LEAST, Task, allowed, tasks
from unified_rl.bench.gpu.workers import Worker, not_measured
from unified_rl.planning.gpus import GIB
from unified_rl.records.provenance import code_hash, git_state

NO_CUDA = 2
#: Where results are kept, below the folder that the command runs in.
FOLDER = Path("experiments/results/gpu")
#: Whose versions decide what is measured; those that are not installed are named as such.
PACKAGES = ("torch", "triton", "transformers", "deepspeed", "trl", "vllm")


def run(kind: str, shapes: Sequence[str], parts: Sequence[str], rounds: int, out: Path | None) -> int:
    """Measure and print; returns the exit status.

    Args:
        kind: cuda or cpu. shapes: names of `STACKS`, or tiny; () = all but tiny. parts: of `PARTS`; () = all.
        out: JSON file for the results; None = a file in `FOLDER` named by the device and the commit, on a GPU only.
    """
    if kind == "cuda" and not torch.cuda.is_available():
        print("bench gpu: no CUDA device here; run it on a machine with one (or device=cpu shape=tiny)", file=sys.stderr)
        return NO_CUDA
    start, facts = time.monotonic(), what_is_measured(torch.device(kind))
    print(f"{facts['device']}, torch {torch.__version__}, commit {facts['commit']}", flush=True)
    out = out or (FOLDER / _file_name(facts) if kind == "cuda" else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    worker = Worker([sys.executable, "-m", "unified_rl.bench.gpu.worker", kind, str(rounds)])
    try:
        for result in _results(tasks(list(shapes or STACKS), parts), worker, start):
            results.append(result)
            print(line(result), flush=True)
            _keep(out, facts, results, start)
    finally:
        worker.end()
    print(f"measured in {time.monotonic() - start:.0f} s", flush=True)
    if kind == "cuda":
        print("goals, as set for an H100:", *verdicts(results), sep="\n", flush=True)
    _keep(out, facts | {"whole": True}, results, start)
    return 0


def _results(every: Sequence[Task], worker: Worker, start: float) -> Iterator[dict[str, Any]]:
    """Each task's, in order, within the budget."""
    for place, task in enumerate(every):
        seconds = allowed(BUDGET - (time.monotonic() - start), task, every[place + 1 :])
        if seconds < LEAST:
            yield not_measured(asdict(task), f"the {BUDGET:.0f} s of the run leave no time for it")
        else:
            yield from worker.results(asdict(task), seconds)


def what_is_measured(device: torch.device) -> dict[str, Any]:
    """Device, versions and code: what a result cannot be read without. "whole": whether the run came to its end."""
    memory = torch.cuda.get_device_properties(device).total_memory / GIB if device.type == "cuda" else None
    return {
        "device": device_name(device),
        "device_gib": memory,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        **git_state(),
        "code": code_hash(),  # where there is no repository around it, this alone says which code it was
        "whole": False,
    }


def line(result: dict[str, Any]) -> str:
    """A result as one line."""
    rest = {key: value for key, value in result.items() if key not in ("shape", "what")}
    cells = [f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in rest.items()]
    return f"{result['shape']:>5} {result['what']}: " + ", ".join(cells)


def _keep(out: Path | None, facts: dict[str, Any], results: list[dict[str, Any]], start: float) -> None:
    if out:
        files.write_json(out, {**facts, "seconds": time.monotonic() - start, "results": results})


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _file_name(facts: dict[str, Any]) -> str:
    name = "".join(letter if letter.isalnum() else "_" for letter in facts["device"])
    return f"{name}_{(facts['commit'] or facts['code'])[:7]}.json".lower()
