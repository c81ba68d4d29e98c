"""At fixed settings an update's memory is a micro-batch's, however many responses a group has and micro-batches an update."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from live_bytes import peak_bytes

from unified_rl.bench.gpu.models import TINY, random_model
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.methods.base import Inputs
from unified_rl.methods.policy_gradient import Grpo
from unified_rl.models.attention import block_input
from unified_rl.models.forward import Forward, plain_forward
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.batch import Batch
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.torch_trainer import TorchTrainer

PROMPT, RESPONSE = 24, 40


def rollout(prompts: int, group: int) -> tuple[Batch, Inputs]:
    """Responses of equal length to random prompts, every other one rewarded."""
    random = np.random.default_rng(0)
    ids = [random.integers(3, TINY.vocabulary, PROMPT) for _ in range(prompts)]
    batch = Batch(
        [TokenSequence(ids[i], random.integers(3, TINY.vocabulary, RESPONSE)) for i in range(prompts) for _ in range(group)]
    )
    size = prompts * group
    known = torch.full((size, RESPONSE), -6.0)
    inputs = Inputs(
        response_mask_BT=torch.ones(size, RESPONSE, dtype=torch.bool),
        group_B=torch.arange(prompts).repeat_interleave(group),
        rewards_B=(torch.arange(size) % 2).float(),
        correct_B=(torch.arange(size) % 2).float(),
        truncated_B=torch.zeros(size, dtype=torch.bool),
        behaviour_logp_BT=known,
        old_logp_BT=known,
        ref_logp_BT=known,
    )
    return batch, Grpo().prepare(inputs)


def by_blocks(decoder, packed):
    """What a GPU does in half precision, here on a CPU."""
    return block_input(decoder, packed).hidden(decoder)


def update_bytes(forward: Forward, prompts: int, group: int) -> tuple[int, int]:
    """Peak bytes of an update whose rows are laid out and whose optimiser has its state; and its micro-batches."""
    torch.manual_seed(0)
    model = random_model(TINY, torch.float32, torch.device("cpu"))
    trainer = TorchTrainer(model, policy_role(1.0, forward), AdamWOptions(1e-6, 10), Layout(128, 256))
    batch, inputs = rollout(prompts, group)
    weights_B = aggregation_weights("sequence_mean", inputs, 1, "keep")

    def update() -> None:
        loss = SurrogateLoss(Grpo(), inputs, weights_B)
        trainer.update(batch, loss)
        loss.record.metrics()

    update()
    (share,) = batch._shares.values()
    return min(peak_bytes(update) for _ in range(2)), len(share.micro_batches)


@pytest.mark.long
@pytest.mark.parametrize(
    "more", [{"prompts": 2, "group": 192}, {"prompts": 48, "group": 8}], ids=["larger groups", "more prompts"]
)
@pytest.mark.parametrize("forward", [plain_forward, by_blocks], ids=["dense masks", "block masks"])
def test_an_updates_memory_is_that_of_a_micro_batch(forward, more):
    few, micro_batches = update_bytes(forward, prompts=2, group=8)
    many, more_micro_batches = update_bytes(forward, **more)
    assert more_micro_batches >= 20 * micro_batches
    # What may grow are scalars: a loss and some thirty sums to be read at the end, a few hundred bytes for each micro-batch.
    assert many - few < 600 * (more_micro_batches - micro_batches)
    assert few > 2_000_000  # the activations are in it
