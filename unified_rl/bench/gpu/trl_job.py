"""TRL's GRPOTrainer on the bench's model and prompts: a line of JSON per micro-batch. Run by `step.py` in a process of its own.

python -m unified_rl.bench.gpu.trl_job FOLDER cuda|cpu NEW_TOKENS MICRO,MICRO
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from unified_rl.bench.gpu.step import GROUP, PROMPTS
from unified_rl.methods.policy_gradient import Grpo

STEPS = 2


def main(folder: str, device: str, new_tokens: str, micros: str) -> None:
    for micro in map(int, micros.split(",")):
        try:
            print(json.dumps({"micro_batch": micro, **_trained(Path(folder), device, int(new_tokens), micro)}), flush=True)
        except torch.OutOfMemoryError:
            print(f"out of memory at a micro-batch of {micro}", file=sys.stderr)
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def _trained(folder: Path, device: str, new_tokens: int, micro: int) -> dict[str, Any]:
    """Seconds of the last of `STEPS` steps (the first one compiles and fills caches), and its peak memory."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if device == "cuda":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    gpu = device == "cuda"
    rows = [json.loads(line) for line in (folder / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16 if gpu else torch.float32)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(len(set(one)) % 7) for one in completions],
        args=_options(gpu, new_tokens, micro),
        train_dataset=Dataset.from_dict({"prompt": [row["question"] + "\n" for row in rows]}),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        callbacks=[Clock()],
    )
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    peak = torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0
    length = [entry["completions/mean_length"] for entry in trainer.state.log_history if "completions/mean_length" in entry]
    return {"seconds": ends[-1] - ends[-2], "peak_gib": peak, "mean_length": length[-1] if length else None}


def _options(gpu: bool, new_tokens: int, micro: int) -> Any:
    """The step's settings in TRL's words."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        report_to=[],
        save_strategy="no",
        max_steps=STEPS,
        learning_rate=1e-6,
        disable_tqdm=True,
        bf16=gpu,
        use_cpu=not gpu,
        gradient_checkpointing=False,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=PROMPTS * GROUP // micro,
        num_generations=GROUP,
        max_completion_length=new_tokens,
        temperature=1.0,
        beta=0.04,
        loss_type=Grpo().name,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
