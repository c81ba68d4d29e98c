"""Cycles of DeepSpeed training and vLLM sampling in one job, as a program: `torchrun ... vllm_job.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import vllm_tiny as tiny

from unified_rl.config.engines import DeepSpeedConfig
from unified_rl.training.deepspeed_trainer import DeepSpeedTrainer
from unified_rl.training.ranks import DividedGenerator, join_ranks
from unified_rl.training.weight_sync import SyncedGenerator, WeightPush


def cycles(folder: Path, zero_stage: int, ranks) -> dict[str, list[float]]:
    """Sample, compare, update, three times. Returns the largest differences to the trainer, and the probes'."""
    model = tiny.tiny_model(folder / f"rank{ranks.rank}-stage{zero_stage}", tied=zero_stage == 3)
    ranks.barrier()  # transformers lets the first rank alone write whole folders
    trainer = DeepSpeedTrainer(
        model, *tiny.trainer_parts(), DeepSpeedConfig(zero_stage=zero_stage, bucket_elements=10_000), ranks
    )
    sampler = tiny.sampler(folder / f"rank0-stage{zero_stage}")
    push = WeightPush(sampler, trainer, tiny.PROMPTS[:2], tiny.DECODING, ranks=ranks)
    generator = SyncedGenerator(DividedGenerator(sampler, ranks), push)
    found: dict[str, list[float]] = {"sampler": [], "probe": [], "moved": []}
    for _ in range(3):
        responses = generator.generate(tiny.PROMPTS, tiny.SEEDS, tiny.DECODING, trainer.updates)
        found["sampler"].append(float(tiny.largest_difference(trainer, tiny.PROMPTS, responses)))
        found["probe"].append(push.metrics()["sync/max_logp_difference"])
        tiny.some_update(trainer, tiny.PROMPTS, responses)
        found["moved"].append(float(tiny.largest_difference(trainer, tiny.PROMPTS, responses)))
    sampler.close()
    ranks.barrier()
    return found


def main(folder: Path) -> None:
    ranks = join_ranks()
    found = {str(stage): cycles(folder, stage, ranks) for stage in (3, 2)}
    if ranks.first:
        (folder / "found.json").write_text(json.dumps(found))
    ranks.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
