"""Sequences that are laid out once: which passes share their rows, and how often a rollout is packed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ragged import ragged_batch
from tiny import words

from unified_rl.base.types import ONE_RANK
from unified_rl.cli import main
from unified_rl.models.roles import policy_role
from unified_rl.packing import layout as layout_module
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import pack
from unified_rl.training.batch import Batch
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.passes import evaluate_role
from unified_rl.training.torch_trainer import TorchTrainer

CPU = torch.device("cpu")
LAYOUT = Layout(40, 80)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The stages before the runs, built."""
    folder = tmp_path_factory.mktemp("artifacts")
    assert main(["train", *words("grpo", folder / "run", folder, "trainer.steps=0")]) == 0
    return folder


@pytest.fixture
def packings(monkeypatch):
    """The number of sequences of each packing that is made."""
    made = []
    pack = layout_module.micro_batches_of
    monkeypatch.setattr(
        layout_module, "micro_batches_of", lambda sequences, *how: made.append(len(sequences)) or pack(sequences, *how)
    )
    return made


def test_the_same_pass_gets_the_same_rows_and_another_gets_its_own():
    batch = Batch(ragged_batch(0).sequences)
    first = batch.share(LAYOUT, None, ONE_RANK, CPU)
    assert batch.share(Layout(40, 80), None, ONE_RANK, CPU) is first
    pairs = np.arange(len(batch)) // 2
    assert batch.share(LAYOUT, pairs, ONE_RANK, CPU) is batch.share(LAYOUT, pairs.copy(), ONE_RANK, CPU) is not first
    assert batch.share(LAYOUT, pairs[::-1].copy(), ONE_RANK, CPU) is not batch.share(LAYOUT, pairs, ONE_RANK, CPU)
    assert batch.share(Layout(40, 160), None, ONE_RANK, CPU) is not first
    assert batch.share(LAYOUT, None, ONE_RANK, torch.device("meta")).rows_b.is_meta


def test_each_micro_batch_is_made_when_a_pass_comes_to_it_and_once():
    """A GPU is at work on the first ones while the host packs the next."""
    sequences = ragged_batch(0).sequences
    laid_out, expected = Layout(20, 20).pack(sequences, None, CPU), pack(sequences, row_tokens=20, micro_batch_tokens=20)
    assert len(expected) > 2
    passes = [iter(laid_out), iter(laid_out)]
    assert all(next(one) is laid_out._made[0] for one in passes)
    assert len(laid_out._made) == 1
    assert next(passes[0]) is laid_out._made[1]
    assert len(laid_out._made) == 2
    assert len(laid_out) == len(expected) == len([*laid_out])
    assert laid_out[-1] is laid_out._made[-1]
    for found, packed in zip(laid_out, expected, strict=True):
        assert torch.equal(found.input_ids_RL, packed.input_ids_RL)


def test_a_subset_of_everything_is_the_batch_itself():
    batch = Batch(ragged_batch(0).sequences)
    assert batch.subset(np.arange(len(batch))) is batch
    some = batch.subset(np.array([1, 4]))
    assert list(some) == [batch[1], batch[4]]
    assert some.longest == max(len(batch[row].response_ids) for row in (1, 4))
    assert Batch.of(batch) is batch
    assert list(Batch.of(list(batch))) == list(batch)


def test_passes_over_a_batch_give_what_passes_over_a_list_give(packings):
    data, twin = ragged_batch(1), ragged_batch(1)
    batch, role = Batch(data.sequences), policy_role(0.7)
    trainers = [TorchTrainer(one.policy, role, AdamWOptions(1e-2, 10), LAYOUT) for one in (data, twin)]
    for _ in range(3):  # the rows and masks that are kept stay as they were
        given = [evaluate_role(one.policy, role, sequences, LAYOUT) for one, sequences in ((data, batch), (twin, list(batch)))]
        assert all(torch.equal(given[0][name], given[1][name]) for name in ("logp", "entropy"))
        reports = [
            trainer.update(sequences, lambda outputs, members: -outputs["logp"].sum())
            for trainer, sequences in zip(trainers, (batch, list(batch)), strict=True)
        ]
        assert reports[0] == reports[1]
    assert all(torch.equal(a, b) for a, b in zip(data.policy.parameters(), twin.policy.parameters(), strict=True))
    assert len(packings) == 1 + 6


@pytest.mark.parametrize(
    ("method", "more", "per_step"),
    [
        ("grpo", (), 1),
        ("ppo", (), 1),  # old log-probs, reference, values, update, value update
        ("grpo", ("rollout.epochs=3",), 1),
        ("grpo", ("rollout.minibatches=2",), 3),  # all for the old log-probs and the reference, then each minibatch
    ],
)
def test_a_rollout_is_packed_once(tmp_path, artifacts, packings, method, more, per_step):
    """One step after another of real runs: sampling and grading do not pack, so what is packed is the rollout."""
    assert main(["train", *words(method, tmp_path / "run", artifacts, *more, "trainer.steps=2")]) == 0
    assert len(packings) == 2 * per_step
