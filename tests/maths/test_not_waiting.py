"""Between an update's first and last micro-batch nothing is read from the device, where the host would have to wait."""

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from cases import role_of
from ragged import ragged_batch
from test_gradients import CASES, LENGTH, case
from torch.overrides import TorchFunctionMode
from waiting import MICRO_BATCH, read_by

from unified_rl.base.types import ONE_RANK, Problem, Prompt
from unified_rl.config.axes import ImportanceConfig
from unified_rl.loop.surrogate import CompanionLoss, SurrogateLoss, aggregation_weights
from unified_rl.methods.importance import corrected
from unified_rl.methods.losses import LOSSES, of_role
from unified_rl.methods.signals import per_micro_batch
from unified_rl.models.attention import block_input
from unified_rl.models.policy_model import build_value_model
from unified_rl.models.reward_model import build_reward_model
from unified_rl.models.roles import policy_role, value_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import pack
from unified_rl.training.batch import Batch
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.reward_loss import RewardLoss
from unified_rl.training.reward_scores import as_sequence, reward_role
from unified_rl.training.torch_trainer import TorchTrainer


def by_blocks(decoder, packed):
    """What a GPU does in half precision, here on a CPU."""
    return block_input(decoder, packed).hidden(decoder)


def trainer(model, role):
    return TorchTrainer(model, role, AdamWOptions(1e-3, 10), Layout(20, 20))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("watched", [frozenset({0, 5}), pytest.param(frozenset(), marks=pytest.mark.long)])
def test_of_any_coefficient(name, watched):
    batch, coefficient, aggregation, *_ = case(name, seed=3)
    inputs = coefficient.prepare(batch.inputs)
    weights_B = None if coefficient.contains_weights else aggregation_weights(aggregation, inputs, LENGTH, "keep")
    unit_B = inputs.group_B.numpy() if coefficient.unit in ("pair", "group") else None
    loss = SurrogateLoss(coefficient, inputs, weights_B, watched)
    policy = trainer(batch.policy, role_of(coefficient, 0.8))
    if coefficient.unit == "batch":
        loss.fix(policy.outputs(batch.sequences))
    found, micro_batches = read_by(policy, batch.sequences, loss, unit_B)
    assert not found
    assert micro_batches > 1
    loss.gather(ONE_RANK)
    assert set(loss.seen) == watched


@pytest.mark.parametrize("options", [("truncated", "token"), ("masked", "sequence")])
def test_of_an_importance_correction(options):
    batch, coefficient, aggregation, *_ = case("grpo", seed=3)
    name, level = options
    inputs = replace(batch.inputs, behaviour_logp_BT=batch.inputs.old_logp_BT)
    method = corrected(coefficient, ImportanceConfig(name=name, level=level))
    inputs = method.prepare(inputs)
    loss = SurrogateLoss(method, inputs, aggregation_weights(aggregation, inputs, LENGTH, "keep"))
    found, micro_batches = read_by(trainer(batch.policy, policy_role(1.0)), batch.sequences, loss)
    assert not found
    assert micro_batches > 1


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.role == "policy"])
def test_of_a_loss_beside_the_terms(name):
    batch, coefficient, aggregation, *_ = case("grpo", seed=3)
    inputs = coefficient.prepare(batch.inputs)
    free = frozenset(one.output for one in per_micro_batch(LOSSES[name].differentiates))
    role = policy_role(1.0, differentiated=free, teacher=batch.reference)
    weights_B = aggregation_weights(aggregation, inputs, LENGTH, "keep")
    loss = SurrogateLoss(coefficient, inputs, weights_B, losses={LOSSES[name]: 0.5})
    found, micro_batches = read_by(trainer(batch.policy, role), batch.sequences, loss)
    assert not found
    assert micro_batches > 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_of_master_weights(dtype):
    """Gradients go to float32 masters, off the loss's scale, micro-batch by micro-batch."""
    batch = ragged_batch(0)
    policy = trainer(batch.policy.to(dtype), policy_role(1.0))
    found, micro_batches = read_by(policy, batch.sequences, lambda outputs, members: 1e-5 * outputs["logp"].sum())
    assert not found
    assert micro_batches > 1


def test_of_the_value_loss():
    batch, coefficient, *_ = case("ppo", seed=3)
    inputs = coefficient.prepare(batch.inputs)
    loss = CompanionLoss(of_role("value"), inputs, aggregation_weights("sequence_mean", inputs, 1, "keep"))
    found, micro_batches = read_by(trainer(build_value_model(batch.policy), value_role()), batch.sequences, loss)
    assert not found
    assert micro_batches > 1


def test_of_the_reward_models_loss():
    batch = ragged_batch(0)
    prompts = [Prompt(Problem(str(i), "", ""), tuple(one.prompt_ids.tolist())) for i, one in enumerate(batch.sequences)]
    sequences = [as_sequence(prompt, one.response_ids) for prompt, one in zip(prompts, batch.sequences, strict=True)]
    loss = RewardLoss(
        [np.array([len(one.response_ids) - 1]) for one in batch.sequences], [np.array([i % 2]) for i in range(12)]
    )
    found, micro_batches = read_by(trainer(build_reward_model(batch.policy), reward_role), sequences, loss)
    assert not found
    assert micro_batches > 1


def test_of_the_block_masks():
    """Rows become one row, and segments a block mask, while earlier micro-batches are still on their way."""
    batch = ragged_batch(0)
    policy = trainer(batch.policy, policy_role(1.0, by_blocks))
    found, micro_batches = read_by(policy, batch.sequences, lambda outputs, members: outputs["logp"].sum())
    assert not found
    assert micro_batches > 1


class _Copies(TorchFunctionMode):
    """Copies to a device that is not here: what was asked of each. Pinned memory needs the device as well; it is marked instead."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self._pinned = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name == "pin_memory":
            pinned = args[0].clone()
            self._pinned.add(id(pinned))
            return pinned
        if name == "to" and torch.device("cuda") in args:
            self.asked.append((id(args[0]) in self._pinned, (kwargs or {}).get("non_blocking", False)))
            return args[0]
        return func(*args, **(kwargs or {}))


def test_a_gpu_takes_micro_batches_from_pinned_memory_while_the_host_goes_on():
    (packed, *_) = pack(ragged_batch(0).sequences)
    with _Copies() as copies:
        moved = packed.to("cuda")
    tensors = [field.name for field in fields(packed) if isinstance(getattr(packed, field.name), torch.Tensor)]
    assert copies.asked == [(True, True)] * len(tensors)
    assert all(torch.equal(getattr(moved, name), getattr(packed, name)) for name in tensors)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_nothing_waits(dtype):
    """By torch's own account of what synchronises, from the first micro-batch's loss to the last one's backward pass."""
    batch, seen = ragged_batch(0), []
    policy = trainer(batch.policy.to("cuda", dtype), policy_role(1.0))

    def loss(outputs, members):
        seen.append(MICRO_BATCH)
        torch.cuda.set_sync_debug_mode("warn")
        return outputs["logp"].sum()

    policy.update(batch.sequences, loss)
    torch.cuda.set_sync_debug_mode("default")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        policy._backward(Batch.of(batch.sequences), loss, None)
        torch.cuda.set_sync_debug_mode("default")
    assert len(seen) > 2
    assert not [str(warning.message) for warning in found if "synchroniz" in str(warning.message)]


def test_what_reads_is_found():
    """Each of the ways in which a loss might read is seen."""
    batch = ragged_batch(0)
    ways = {
        "_local_scalar_dense": lambda logp: logp * logp.sum().item(),
        "index": lambda logp: logp[logp < 0],
        "nonzero": lambda logp: logp * len((logp < 0).nonzero()),
        "tolist": lambda logp: logp * len(logp.detach().tolist()),
        "_unique2": lambda logp: logp * len(logp.detach().unique()),
    }
    for name, way in ways.items():
        found, _ = read_by(
            trainer(batch.policy, policy_role(1.0)),
            batch.sequences,
            lambda outputs, members, way=way: way(outputs["logp"]).sum(),
        )
        assert name in found
