"""`unified-rl bench gpu`: all parts in one run of less than four minutes, a line per result, and the results as JSON.

    unified-rl bench gpu                           on cuda; exits with 2 where there is no CUDA device
    unified-rl bench gpu shape=7b out=gpu.json
    unified-rl bench gpu device=cpu shape=tiny     the same code without a GPU

A part that fails or has not the memory says so, and the others go on; a part that the time does not allow is named as not measured.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unified_rl.bench.gpu import attention, decoding, deepspeed_update, head, step, training
from unified_rl.bench.gpu.device import device_name
from unified_rl.bench.gpu.models import STACKS
from unified_rl.records.provenance import git_state

NO_CUDA = 2
#: Where results are kept, below the folder that the command runs in.
FOLDER = Path("experiments/results/gpu")
#: Seconds that the whole run may take.
BUDGET = 230.0

Results = Iterator[dict[str, Any]]


def run(kind: str, shapes: Sequence[str], parts: Sequence[str], rounds: int, out: Path | None) -> int:
    """Measure and print; returns the exit status.

    Args:
        kind: cuda or cpu. shapes: names of `STACKS`, or tiny; () = all but tiny. parts: of `PARTS`; () = all.
        out: JSON file for the results; None = a file in `FOLDER` named by the device and the commit, on a GPU only.
    """
    if kind == "cuda" and not torch.cuda.is_available():
        print("bench gpu: no CUDA device here; run it on a machine with one (or device=cpu shape=tiny)", file=sys.stderr)
        return NO_CUDA
    device, start = torch.device(kind), time.monotonic()
    state = git_state()
    print(f"{device_name(device)}, torch {torch.__version__}, commit {state['commit']}", flush=True)
    results: list[dict[str, Any]] = []
    for part, name, measure in _plan(list(shapes or STACKS), device, rounds, start):
        if parts and part not in parts:
            continue
        for result in _guarded(part, name, measure, start):
            results.append(result)
            print(line(result), flush=True)
    seconds = time.monotonic() - start
    print(f"measured in {seconds:.0f} s", flush=True)
    out = out or (FOLDER / _file_name(device, state) if kind == "cuda" else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        facts = {"device": device_name(device), "torch": torch.__version__, **state, "seconds": seconds, "results": results}
        out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 0


def _plan(
    shapes: Sequence[str], device: torch.device, rounds: int, start: float
) -> Iterator[tuple[str, str, Callable[[], Results]]]:
    """(part, shape, what measures it). Parts of one shape take the largest, the middle or the smallest that is asked for."""

    def left() -> float:
        return BUDGET - (time.monotonic() - start)

    largest, middle, smallest = shapes[0], shapes[len(shapes) // 2], shapes[-1]
    yield "decoding", smallest, partial(decoding.measure, smallest, device, rounds)
    yield "step", smallest, lambda: step.measure(smallest, device, left)
    for name in reversed(shapes):
        yield "training", name, partial(training.measure, name, device, rounds)
        yield "head", name, partial(head.measure, name, device, rounds)
    yield "attention", largest, partial(attention.measure, largest, device, rounds)
    yield "deepspeed", middle, lambda: deepspeed_update.measure(middle, device, rounds, left())


PARTS = ("training", "head", "attention", "decoding", "step", "deepspeed")


def _guarded(part: str, name: str, measure: Callable[[], Results], start: float) -> Results:
    """A part's results, or why there are none."""
    if time.monotonic() - start > BUDGET:
        yield {"what": part, "shape": name, "not_measured": f"{BUDGET:.0f} s are over"}
        return
    try:
        yield from measure()
    except torch.OutOfMemoryError:
        yield {"what": part, "shape": name, "not_measured": "out of memory"}
    except Exception as error:  # whatever a driver, compiler or library throws: the other parts are still measured
        traceback.print_exc(limit=-4)
        yield {"what": part, "shape": name, "not_measured": f"{type(error).__name__}: {str(error)[:300]}"}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def line(result: dict[str, Any]) -> str:
    """A result as one line."""
    rest = {key: value for key, value in result.items() if key not in ("shape", "what")}
    cells = [f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in rest.items()]
    return f"{result['shape']:>5} {result['what']}: " + ", ".join(cells)


def _file_name(device: torch.device, state: dict[str, Any]) -> str:
    name = "".join(letter if letter.isalnum() else "_" for letter in device_name(device))
    return f"{name}_{(state['commit'] or 'unknown')[:7]}.json".lower()
