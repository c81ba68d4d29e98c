"""For every method: the coefficient's gradient through a real model equals autograd of the method's own textbook objective.

float64, random ragged batches, 1e-9 relative; and the same under any packing, micro-batch split and order of the sequences.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import CASES, LENGTH, gspo_objective, role_of
from ragged import gradient, ragged_batch, token_logps

from unified_rl import coefficients as c
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.ops.terms import coefficient as total
from unified_rl.packing.packed_rows import Members, pack


def our_gradient(batch, coefficient, aggregation, *, row_tokens=40, micro_batch_tokens=80, order=None):
    """The gradient of the objective by way of packing, named terms, weights and the surrogate, summed over micro-batches."""
    order = torch.arange(len(batch.sequences)) if order is None else order
    inputs = coefficient.prepare(batch.inputs.rows(order.to(batch.inputs.group_B.device)))
    sequences = [batch.sequences[i] for i in order.tolist()]
    weights = None if coefficient.contains_weights else aggregation_weights(aggregation, inputs, LENGTH, "keep")
    loss = SurrogateLoss(coefficient, inputs, weights)
    if coefficient.unit == "batch":
        logp = torch.nn.utils.rnn.pad_sequence([token_logps(batch.policy, s) for s in sequences], batch_first=True)
        loss.fix({"logp": logp.detach(), "entropy": inputs.entropy_BT})
    unit = inputs.group_B.cpu().numpy() if coefficient.unit in ("pair", "group") else None
    batch.policy.zero_grad()
    width, role = inputs.response_mask_BT.shape[1], role_of(coefficient)
    for packed in pack(sequences, row_tokens=row_tokens, micro_batch_tokens=micro_batch_tokens, unit_B=unit):
        here = packed.to(inputs.group_B.device)
        outputs = {name: here.scatter(v, width) for name, v in role(batch.policy, here).items()}
        loss(outputs, here.members()).backward()
    return -gradient(batch.policy)


def textbook_gradient(batch, objective):
    batch.policy.zero_grad()
    logp = [token_logps(batch.policy, sequence) for sequence in batch.sequences]
    lengths = [len(lp) for lp in logp]
    old, ref = (
        [row[:n] for row, n in zip(x, lengths, strict=True)] for x in (batch.inputs.old_logp_BT, batch.inputs.ref_logp_BT)
    )
    objective(batch, logp, old, ref).backward()
    return gradient(batch.policy)


def case(name, seed, drift=0.03):
    coefficient, aggregation, objective, process, pairs = CASES[name]
    batch = ragged_batch(seed, drift=drift, pairs=pairs)
    if not process:
        batch.inputs = replace(batch.inputs, step_rewards_BT=None, step_ends_BT=None)
    return batch, coefficient, aggregation, objective


def relative(found, expected):
    return ((found - expected).norm() / expected.norm().clamp(min=1e-30)).item()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_equals_autograd_of_the_textbook_objective(name, seed):
    batch, coefficient, aggregation, objective = case(name, seed)
    expected = textbook_gradient(batch, objective)
    assert relative(our_gradient(batch, coefficient, aggregation), expected) < 1e-9 or expected.norm() < 1e-12


@pytest.mark.parametrize("name", [name for name, (coefficient, *_) in CASES.items() if coefficient.corrects_staleness])
def test_equals_autograd_where_the_clip_bites(name):
    batch, coefficient, aggregation, objective = case(name, seed=5, drift=0.5)
    ratio = torch.exp(
        torch.nn.utils.rnn.pad_sequence([token_logps(batch.policy, s) for s in batch.sequences], True)
        - batch.inputs.old_logp_BT
    )
    assert ((ratio > 1.3) & batch.inputs.response_mask_BT).any()
    assert ((ratio < 0.7) & batch.inputs.response_mask_BT).any()
    assert relative(our_gradient(batch, coefficient, aggregation), textbook_gradient(batch, objective)) < 1e-9


@pytest.mark.parametrize("name", CASES)
def test_a_coefficient_says_whether_it_reads_what_the_reward_is_worth(name):
    """Other rewards with the same judgements, on which the refusal rests of corrections that nothing would see."""

    def changed(seed):
        batch, coefficient, aggregation, _ = case(name, seed)
        before = our_gradient(batch, coefficient, aggregation)
        worth = torch.rand(batch.inputs.rewards_B.shape, generator=torch.Generator().manual_seed(seed)).to(
            batch.inputs.rewards_B
        )
        parts = {key: value + worth[:, None] for key, value in batch.inputs.more.items() if key == "reward_parts_BK"}
        steps = batch.inputs.step_rewards_BT
        batch.inputs = replace(
            batch.inputs,
            rewards_B=batch.inputs.rewards_B + worth,
            step_rewards_BT=None if steps is None else steps + worth[:, None] * (steps != 0),
            more={**batch.inputs.more, **parts},
        )
        return relative(our_gradient(batch, coefficient, aggregation), before) > 1e-9

    assert any(changed(seed) for seed in (0, 1, 2)) == CASES[name][0].reads_reward


@pytest.mark.parametrize("name", CASES)
def test_same_under_packing_split_and_order(name):
    batch, coefficient, aggregation, _ = case(name, seed=11)
    whole = our_gradient(batch, coefficient, aggregation, row_tokens=64, micro_batch_tokens=10_000)
    for row_tokens, micro_batch_tokens in ((1, 1), (33, 70)):
        split = our_gradient(batch, coefficient, aggregation, row_tokens=row_tokens, micro_batch_tokens=micro_batch_tokens)
        assert relative(split, whole) < 1e-11
    order = torch.from_numpy(np.random.default_rng(3).permutation(len(batch.sequences)))
    assert relative(our_gradient(batch, coefficient, aggregation, order=order), whole) < 1e-11


def _realigned(inputs, shift_B, width):
    """The same rows with each response moved `shift_B` places to the right inside `width` columns."""

    def move(value):
        moved = torch.zeros(value.shape[0], width, dtype=value.dtype)
        for row, shift in enumerate(shift_B):
            length = min(value.shape[1], width - shift)
            moved[row, shift : shift + length] = value[row, :length]
        return moved

    changed = {
        name: move(getattr(inputs, name))
        for name in (
            "response_mask_BT",
            "behaviour_logp_BT",
            "old_logp_BT",
            "ref_logp_BT",
            "values_BT",
            "step_rewards_BT",
            "step_ends_BT",
        )
        if getattr(inputs, name) is not None
    }
    more = {name: move(value) if name.endswith("_BT") else value for name, value in inputs.more.items()}
    return replace(inputs, **changed, more=more), move


@pytest.mark.parametrize("name", [*CASES, "dpo_as_printed"])
def test_same_wherever_the_padding_is(name):
    coefficient = c.Dpo(form="as_printed") if name == "dpo_as_printed" else CASES[name][0]
    batch = case("dpo" if name == "dpo_as_printed" else name, seed=2)[0]
    logp = torch.nn.utils.rnn.pad_sequence([token_logps(batch.policy, s).detach() for s in batch.sequences], batch_first=True)
    lengths = batch.inputs.response_mask_BT.sum(1)
    width = int(lengths.max()) + 3
    right = coefficient.terms(logp, coefficient.prepare(batch.inputs))
    want = total(right, batch.inputs.response_mask_BT)
    for shift_B in ((width - lengths).tolist(), [row % 3 for row in range(len(lengths))]):
        moved, move = _realigned(batch.inputs, shift_B, width)
        found = total(coefficient.terms(move(logp), coefficient.prepare(moved)), moved.response_mask_BT)
        assert torch.allclose(found[moved.response_mask_BT], want[batch.inputs.response_mask_BT], rtol=1e-12, atol=1e-14)
        assert (found[~moved.response_mask_BT] == 0).all()


def test_batch_unit_coefficient_ignores_aggregation():
    batch, coefficient, _, _ = case("from_objective", seed=1)
    loss = SurrogateLoss(coefficient, batch.inputs, None)
    loss.fix({"logp": batch.inputs.old_logp_BT})
    outputs = {
        "logp": batch.inputs.old_logp_BT.clone().requires_grad_(True),
        "entropy": torch.zeros_like(batch.inputs.old_logp_BT),
    }
    every = Members(torch.arange(len(batch.sequences)), *batch.inputs.response_mask_BT.nonzero(as_tuple=True))
    loss(outputs, every).backward()
    leaf = batch.inputs.old_logp_BT.clone().requires_grad_(True)
    gspo_objective(leaf, batch.inputs).backward()
    assert torch.allclose(-outputs["logp"].grad, leaf.grad * batch.inputs.response_mask_BT)
