"""The process that measures parts of `unified-rl bench gpu`: a task as a line of JSON comes in, results as lines of JSON go out.

`python -m unified_rl.bench.gpu.worker DEVICE ROUNDS`. After a failure it ends itself: an error on a GPU spoils its process for what
comes next, and the caller starts another.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from unified_rl.bench.gpu import attention, decoding, deepspeed_update, head, step, training
from unified_rl.bench.gpu.workers import DONE, ENDS, not_measured

#: Of its seconds, those that a part's own processes may take: the rest is for it to say what they found.
SHARE = 0.9


def main(kind: str, rounds: str) -> None:
    """Measure until there are no more tasks, or one fails."""
    for line in sys.stdin:
        task = json.loads(line)
        failed = False
        for result in measured(task, torch.device(kind), int(rounds)):
            failed = failed or "failed" in result
            print(json.dumps(result), flush=True)
        print(ENDS if failed else DONE, flush=True)
        if failed:
            return


def measured(task: Mapping[str, Any], device: torch.device, rounds: int) -> Iterator[dict[str, Any]]:
    """A task's results, or why there are none ("failed": nothing more should be measured in this process)."""
    part, name, end = task["part"], task["shape"], time.monotonic() + SHARE * task["seconds"]

    def left() -> float:
        return end - time.monotonic()

    ways = {
        "training": lambda: training.measure(name, task["way"], device, rounds),
        "head": lambda: head.measure(name, device, rounds),
        "attention": lambda: attention.measure(name, device, rounds),
        "decoding": lambda: decoding.measure(name, device, rounds),
        "step": lambda: step.measure(name, device, left),
        "deepspeed": lambda: deepspeed_update.measure(name, device, rounds, left()),
    }
    try:
        yield from ways[part]()
    except torch.OutOfMemoryError:
        yield not_measured(task, "out of memory")
    except Exception as error:  # whatever a driver, compiler or library throws: the other parts are still measured
        traceback.print_exc(limit=-4)
        yield not_measured(task, f"{type(error).__name__}: {str(error)[:300]}") | {"failed": True}
    finally:
        gc.collect()
        if device.type == "cuda":
            _give_back()


def _give_back() -> None:
    """Memory to the device; on one whose context is broken this fails too, and has been said."""
    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:
        print(f"  {str(error).splitlines()[0]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
