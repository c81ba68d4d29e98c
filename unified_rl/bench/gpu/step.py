"""A whole GRPO step by phase, KL on, and the same work by TRL's GRPOTrainer where that is installed, in one sitting.

Each contestant runs in a process of its own, on the same weights and prompts; every response has the full length. TRL samples with
transformers and is given its best of several micro-batches; TRL with vLLM is not measured.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from unified_rl.bench.gpu.jobs import printed_by
from unified_rl.bench.gpu.models import dtype_on
from unified_rl.bench.gpu.step_world import write_world

PROMPTS, GROUP = 32, 8
#: (new tokens, steps, TRL's micro-batches) by shape.
LARGE = 200, 3, (32, 64, 16)
TINY = 8, 2, (32,)
#: Most seconds that TRL's micro-batches may take together; those that are done by then count.
TRL_SECONDS = 90.0
#: Phases of a step, and what the run directory calls them.
PHASES = {"sampling": "source", "log_probs": "prepare", "update": "update"}


def measure(name: str, device: torch.device, left: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """Ours, then TRL's. Each ends with its share of the seconds that are `left`."""
    new_tokens, steps, micros = TINY if name == "tiny" else LARGE
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_world(folder, name, device)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        ours = _ours(folder, name, device, new_tokens, steps, 0.6 * left())
        yield {"what": "GRPO step", "shape": name, "by": "unified_rl", **ours}
        if importlib.util.find_spec("trl") is None:
            yield {"what": "GRPO step", "shape": name, "by": "TRL", "not_measured": "trl is not installed"}
            return
        theirs = _trl(folder, device, new_tokens, micros, min(TRL_SECONDS, 0.9 * left()))
        yield {"what": "GRPO step", "shape": name, "by": "TRL, transformers' sampling", **theirs, "with_vllm": "not measured"}
        if "seconds" in ours and "seconds" in theirs:
            yield {"what": "GRPO step", "shape": name, "speed_over_trl": theirs["seconds"] / ours["seconds"]}


def _ours(folder: Path, name: str, device: torch.device, new_tokens: int, steps: int, limit: float) -> dict[str, Any]:
    """Median seconds of the steps after the first, by phase."""
    run_dir, tiny = folder / "run", name == "tiny"
    words = [
        "method=grpo",
        "stack=qwen2_5_0_5b",
        "init=base",
        "trainer=torch",
        "generator=torch",
        f"model.path={folder / 'model'}",
        f"model.device={device.type}",
        f"model.dtype={str(dtype_on(device)).removeprefix('torch.')}",
        "task.template='{question}\\n'",
        f"data.path={folder / 'data'}",
        "data.prompts=256",
        f"rollout.prompts_per_step={PROMPTS}",
        f"rollout.responses_per_prompt={GROUP}",
        f"generator.max_new_tokens={new_tokens}",
        f"generator.max_concurrent_sequences={PROMPTS * GROUP}",
        f"trainer.steps={steps}",
        f"trainer.micro_batch_tokens={2048 if tiny else 8192}",
        f"trainer.compiled={'true' if device.type == 'cuda' else 'false'}",
        "trainer.learning_rate=1e-6",
        "logging.curve_every=0",
        "logging.curve_problems=0",
        "logging.samples=0",
        "logging.checkpoint_every=0",
        f"artifacts={folder / 'artifacts'}",
        f"run_dir={run_dir}",
    ]
    printed = printed_by([sys.executable, "-m", "unified_rl.cli", "train", *words], limit)
    file = run_dir / "timings.jsonl"
    if not file.exists():
        return {"not_measured": f"no step: {printed.why}"}
    timings = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()][1:]
    if not timings:
        return {"not_measured": f"one step only, which compiles and fills caches: {printed.why}"}
    found = {phase: statistics.median(step[key] for step in timings) for phase, key in PHASES.items()}
    return {"seconds": sum(found.values()), **found, "response_tokens": PROMPTS * GROUP * new_tokens, "steps": len(timings)}


def _trl(folder: Path, device: torch.device, new_tokens: int, micros: tuple[int, ...], limit: float) -> dict[str, Any]:
    """TRL's best micro-batch; what was printed before the time was over counts."""
    words = [str(folder), device.type, str(new_tokens), ",".join(map(str, micros))]
    printed = printed_by([sys.executable, "-m", "unified_rl.bench.gpu.trl_job", *words], limit)
    found = [json.loads(line) for line in printed.text.splitlines() if line.startswith('{"micro_batch"')]
    if not found:
        return {"not_measured": printed.why or "no micro-batch had the memory"}
    return min(found, key=lambda one: one["seconds"]) | {"micro_batches_tried": [one["micro_batch"] for one in found]}
