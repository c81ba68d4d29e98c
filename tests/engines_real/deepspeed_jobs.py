"""What the DeepSpeed tests run on several ranks, as a program: `torchrun ... deepspeed_jobs.py JOB.json`.

A job is a mapping with `out`, where the first rank writes what it found, and the lists to loop over. One launch does many methods.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1]))

from maths.test_gradients import CASES, LENGTH
from ragged import ragged_batch

from unified_rl.base.types import ONE_RANK
from unified_rl.config.engines import DeepSpeedConfig
from unified_rl.loop.surrogate import CompanionLoss, SurrogateLoss, aggregation_weights
from unified_rl.methods.losses import of_role
from unified_rl.models.policy_model import build_value_model
from unified_rl.models.reward_model import build_reward_model
from unified_rl.models.roles import policy_role, value_role
from unified_rl.packing.layout import Layout
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.protocol import UpdateReport
from unified_rl.training.ranks import join_ranks
from unified_rl.training.reward_loss import RewardLoss
from unified_rl.training.reward_scores import reward_role
from unified_rl.training.shares import share_of_units
from unified_rl.training.torch_trainer import TorchTrainer
from unified_rl.training.weight_sync import whole_weights

OPTIONS = AdamWOptions(
    learning_rate=1e-3, total_updates=8, schedule="linear", warmup_updates=2, weight_decay=0.1, max_grad_norm=0.3
)
#: A weight of 0.1 is moved by a hundredth of what bfloat16 can tell apart there.
SMALL_STEPS, SMALL_UPDATES = AdamWOptions(learning_rate=1e-6, total_updates=1000), 40
LAYOUT = Layout(row_tokens=20, micro_batch_tokens=20)
VALUE, REWARD = "value model", "reward model"


class Problem:
    """A method on a ragged batch in float32: a model of its own, and the loss."""

    def __init__(self, method: str) -> None:
        coefficient, aggregation, _, process, pairs = CASES[{VALUE: "ppo", REWARD: "sft"}.get(method, method)]
        batch = ragged_batch(seed=4, groups=5, group_size=3, pairs=pairs)
        inputs = coefficient.prepare(
            batch.inputs if process else replace(batch.inputs, step_rewards_BT=None, step_ends_BT=None)
        )
        weights = None if coefficient.contains_weights else aggregation_weights(aggregation, inputs, LENGTH, "keep")
        self.sequences, policy = batch.sequences, batch.policy.float()
        self.unit = inputs.group_B.numpy() if coefficient.unit in ("pair", "group") else None
        self._batch_unit = coefficient.unit == "batch"
        if method == VALUE:
            self.model, self.role = build_value_model(policy), value_role()
            self._loss = lambda: CompanionLoss(of_role("value"), inputs, weights)
        elif method == REWARD:
            self.model, self.role = build_reward_model(policy), reward_role
            ends = [np.array([len(sequence.response_ids) - 2]) for sequence in self.sequences]
            self._loss = lambda: RewardLoss(ends, [np.array([index % 2]) for index in range(len(ends))])
        else:
            self.model, self.role = policy, policy_role(1.0)
            self._loss = lambda: SurrogateLoss(coefficient, inputs, weights)

    def update(self, trainer: Any):
        loss = self._loss()
        if self._batch_unit:
            loss.fix(trainer.outputs(self.sequences))
        return trainer.update(self.sequences, loss, self.unit)


def deepspeed_trainer(problem: Problem, ranks=ONE_RANK, options: AdamWOptions = OPTIONS, **settings: Any):
    from unified_rl.training.deepspeed_trainer import DeepSpeedTrainer

    config = DeepSpeedConfig(**{"whole_below": 0, "bucket_elements": 10_000, **settings})
    return DeepSpeedTrainer(problem.model, problem.role, options, LAYOUT, config, ranks)


def vector(tensors) -> torch.Tensor:
    return torch.cat([tensor.detach().float().flatten() for tensor in tensors])


def whole_parameters(trainer) -> torch.Tensor:
    return vector(weight for _, weight in whole_weights(trainer.model))


def compare(job: dict[str, Any], ranks) -> dict[Any, Any]:
    """For every method and settings, and for GRPO's variants: what `record` says; and the ranks' numbers of micro-batches."""
    found = {
        (method, json.dumps(settings)): deepspeed_run(method, settings, job["updates"], ranks)
        for method in job["methods"]
        for settings in job["settings"]
    }
    found |= {
        ("grpo", json.dumps(settings)): deepspeed_run("grpo", settings, job["updates"], ranks) for settings in job["variants"]
    }
    return {**found, "passes": ranks.gather(micro_batches(Problem("grpo"), ranks))}


def micro_batches(problem: Problem, ranks) -> int:
    rows = share_of_units(problem.sequences, problem.unit, ranks)
    unit = None if problem.unit is None else problem.unit[rows]
    return len(LAYOUT.pack([problem.sequences[row] for row in rows], unit, torch.device("cpu")))


def deepspeed_run(method: str, settings: dict[str, Any], updates: int, ranks) -> dict[str, Any]:
    problem = Problem(method)
    trainer = deepspeed_trainer(problem, ranks, **settings)
    reports = [problem.update(trainer)]
    first = vector(first_moments(trainer, settings["zero_stage"]))
    reports += [problem.update(trainer) for _ in range(updates - 1)]
    return record(first, reports, whole_parameters(trainer), trainer.outputs(problem.sequences))


def torch_run(method: str, updates: int, folder: Path) -> dict[str, Any]:
    problem = Problem(method)
    trainer = TorchTrainer(problem.model, problem.role, OPTIONS, LAYOUT)
    reports = [problem.update(trainer)]
    trainer.save(folder / "state.safetensors")
    state = load_file(folder / "state.safetensors")
    first = vector(state[f"exp_avg/{name}"] for name, _ in problem.model.named_parameters())
    reports += [problem.update(trainer) for _ in range(updates - 1)]
    return record(first, reports, vector(problem.model.parameters()), trainer.outputs(problem.sequences))


def record(first: torch.Tensor, reports: list[UpdateReport], weights: torch.Tensor, outputs: dict[str, torch.Tensor]):
    """first: Adam's mean after one update, which is that update's clipped gradient times 1 - beta1."""
    return {
        "first": first,
        "norms": [report.grad_norm for report in reports],
        "losses": [report.loss for report in reports],
        "rates": [report.learning_rate for report in reports],
        "weights": weights,
        "outputs": {name: values.cpu() for name, values in outputs.items()},
    }


def first_moments(trainer, zero_stage: int) -> list[torch.Tensor]:
    from deepspeed.utils import safe_get_full_optimizer_state

    if zero_stage == 0:
        return [trainer._engine.optimizer.state[parameter]["exp_avg"] for parameter in trainer.model.parameters()]
    return [safe_get_full_optimizer_state(parameter, "exp_avg") for parameter in trainer.model.parameters()]


def save(job: dict[str, Any], ranks) -> dict[Any, Any]:
    """Two updates under every settings, saved below `folder`."""
    for settings in job["settings"]:
        problem = Problem("grpo")
        trainer = deepspeed_trainer(problem, ranks, **settings)
        for _ in range(2):
            problem.update(trainer)
        folder = Path(job["folder"]) / place(settings)
        trainer.save(folder / "optimizer")
        whole = trainer.whole_model()
        if ranks.first:
            whole.save_pretrained(folder / "policy")
    return {}


def resume(job: dict[str, Any], ranks) -> dict[Any, Any]:
    """Two updates more, from what `save` left below `folder`."""
    found = {}
    for settings in job["settings"]:
        problem = Problem("grpo")
        folder = Path(job["folder"]) / place(settings)
        problem.model.load_state_dict(load_file(folder / "policy" / "model.safetensors"))
        trainer = deepspeed_trainer(problem, ranks, **settings)
        trainer.load(folder / "optimizer")
        loaded = trainer.updates
        reports = [problem.update(trainer) for _ in range(2)]
        found[place(settings)] = {
            "updates": (loaded, trainer.updates),
            "weights": whole_parameters(trainer),
            "rates": [report.learning_rate for report in reports],
            "norms": [report.grad_norm for report in reports],
        }
    return found


def families(job: dict[str, Any], ranks) -> dict[Any, Any]:
    """Models that transformers alone has written, two updates on, saved again; under every settings."""
    for name in job["models"]:
        for settings in job["settings"]:
            trained = train_family(
                Path(job["folder"]) / name, lambda problem, s=settings: deepspeed_trainer(problem, ranks, **s)
            )
            whole = trained.whole_model()
            if ranks.first:
                whole.save_pretrained(Path(job["folder"]) / f"{name}_{place(settings)}")
    return {}


def train_family(folder: Path, make: Callable[[Problem], Any]) -> Any:
    problem = Problem("grpo")
    problem.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trainer = make(problem)
    for _ in range(2):
        problem.update(trainer)
    return trainer


def precision(job: dict[str, Any], ranks) -> dict[Any, Any]:
    """Updates far below bfloat16's resolution, under each settings: the weights, and how far their float32 masters moved."""
    from deepspeed.utils import safe_get_full_fp32_param

    found = {}
    for settings in job["settings"]:
        problem = in_bfloat16()
        before = vector(problem.model.parameters())
        trainer = deepspeed_trainer(problem, ranks, SMALL_STEPS, **settings)
        for _ in range(SMALL_UPDATES):
            problem.update(trainer)
        masters = vector(safe_get_full_fp32_param(parameter) for parameter in trainer.model.parameters())
        found[place(settings)] = {"moved": masters - before, "masters": masters, "weights": whole_parameters(trainer)}
    return found


def in_bfloat16() -> Problem:
    problem = Problem("sft")
    problem.model.to(torch.bfloat16)
    return problem


def place(settings: dict[str, Any]) -> str:
    return "_".join(map(str, settings.values()))


JOBS = {"compare": compare, "save": save, "resume": resume, "families": families, "precision": precision}


def main() -> None:
    torch.set_num_threads(1)
    job = json.loads(Path(sys.argv[1]).read_text())
    ranks = join_ranks()
    found = JOBS[job["job"]](job, ranks)
    if ranks.first:
        torch.save(found, job["out"])
    ranks.barrier()


if __name__ == "__main__":
    main()
