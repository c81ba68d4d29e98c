"""Low-precision weights that are really trained: what bfloat16 cannot hold is kept in float32, through kills and on ranks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_ranks import finish, torchrun
from tiny import words

from unified_rl.base.errors import CheckpointError, ConfigError, TrainingError
from unified_rl.cli import main
from unified_rl.models.policy_model import build_llama
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.presets.loading import load_config
from unified_rl.training import loss_scale
from unified_rl.training.loss_scale import until_it_fits
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.ranks import join_ranks
from unified_rl.training.torch_trainer import TorchTrainer

SEQUENCES = [TokenSequence(np.array([3, 4, 5 + i]), np.array([7, 8 + i, 9, 1])) for i in range(6)]
RATE, LAYOUT = 1e-6, Layout(16, 32)


def likelihood(outputs, members):
    return -members.tokens(outputs["logp"]).sum() / 24


def trainer(dtype, layout=LAYOUT, **ranks):
    model = build_llama(
        vocab_size=23,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        eos_token_id=1,
        init_std=0.1,
    )
    return TorchTrainer(model.to(dtype), policy_role(1.0), AdamWOptions(RATE, 1000), layout, **ranks)


def weights(model):
    return torch.cat([parameter.detach().float().ravel() for parameter in model.parameters()])


def masters(one):
    return torch.cat([master.detach().ravel() for master in one._weights.masters])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_updates_below_the_resolution_add_up(dtype):
    """Adam moves a weight by the learning rate, far below half a unit in the last place of 0.1. What many of them move is kept."""
    low, full = trainer(dtype), trainer(torch.float32)
    rounded, exact = weights(low.model), weights(full.model)
    low.update(SEQUENCES, likelihood)
    assert (weights(low.model) != rounded).float().mean() < 0.5, "one update is mostly below the resolution"
    full.update(SEQUENCES, likelihood)
    for _ in range(39):
        low.update(SEQUENCES, likelihood)
        full.update(SEQUENCES, likelihood)
    moved, wanted = masters(low) - rounded, weights(full.model) - exact
    assert torch.nn.functional.cosine_similarity(moved, wanted, dim=0) > 0.95
    assert moved.norm() > 0.95 * wanted.norm()
    assert torch.equal(weights(low.model), masters(low).to(dtype).float()), "the model computes with the masters, rounded"


def test_gradients_of_micro_batches_are_added_in_float32():
    """The same update from many micro-batches and from one: only what each pass rounds may differ."""
    moments = []
    for layout in (Layout(1, 1), Layout(64, 4096)):
        one = trainer(torch.bfloat16, layout)
        one.update(SEQUENCES, likelihood)
        found = [one._optimizer.state[master]["exp_avg"].ravel() for master in one._weights.masters]
        moments.append(torch.cat(found))
        assert all(parameter.grad is None for parameter in one.model.parameters()), "no second gradient is kept"
    assert moments[0].dtype == torch.float32
    assert (moments[0] - moments[1]).norm() < 0.01 * moments[1].norm()


def test_float32_weights_are_their_own_masters():
    one = trainer(torch.float32)
    assert all(master is parameter for master, parameter in zip(one._weights.masters, one.model.parameters(), strict=True))


def test_masters_go_through_a_checkpoint_byte_for_byte(tmp_path):
    straight, first = trainer(torch.bfloat16), trainer(torch.bfloat16)
    for _ in range(30):
        straight.update(SEQUENCES, likelihood)
    for _ in range(10):
        first.update(SEQUENCES, likelihood)
    first.save(tmp_path / "state")
    second = trainer(torch.bfloat16)
    second.model.load_state_dict(first.model.state_dict())
    second.load(tmp_path / "state")
    for _ in range(20):
        second.update(SEQUENCES, likelihood)
    second.save(tmp_path / "second")
    straight.save(tmp_path / "straight")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "straight").read_bytes()
    assert torch.equal(weights(second.model), weights(straight.model))


def scaled_by(factor):
    return lambda outputs, members: factor * likelihood(outputs, members)


def gradient(one):
    return torch.cat([master.grad.ravel() for master in one._weights.masters]).double()


def test_gradients_below_the_range_of_float16_are_kept():
    """A loss as small as a long batch's token weights make it: without a scale most of its gradients are 0 in float16."""
    low, full = trainer(torch.float16), trainer(torch.float32)
    for one in (low, full):
        one.update(SEQUENCES, scaled_by(1e-6))
    assert torch.nn.functional.cosine_similarity(gradient(low), gradient(full), dim=0) > 0.999
    assert abs(gradient(low).norm() / gradient(full).norm() - 1) < 0.01


def test_an_update_that_overflows_is_made_again_at_a_smaller_scale():
    low, full = trainer(torch.float16), trainer(torch.float32)
    before, attempts = masters(low), []

    def attempt():
        attempts.append(low._scale.value)
        assert torch.equal(masters(low), before), "an attempt that overflowed changed nothing"
        return low.update(SEQUENCES, scaled_by(30.0))

    report = until_it_fits(attempt)
    wanted = full.update(SEQUENCES, scaled_by(30.0))
    assert attempts == [2.0 ** (16 - place) for place in range(len(attempts))] and len(attempts) > 1
    assert low.updates == 1 and abs(report.loss / wanted.loss - 1) < 0.01
    assert abs(report.grad_norm / wanted.grad_norm - 1) < 0.01
    assert torch.nn.functional.cosine_similarity(gradient(low), gradient(full), dim=0) > 0.999


def test_a_loss_that_is_not_finite_is_no_overflow():
    one = trainer(torch.float16)
    with pytest.raises(TrainingError, match="the loss is nan"):
        until_it_fits(lambda: one.update(SEQUENCES, scaled_by(float("nan"))))
    assert one._scale.value == 2.0**16


def test_the_scale_grows_back_and_goes_through_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_scale, "PATIENCE", 3)
    one = trainer(torch.float16)
    one._scale.lower()
    for _ in range(2):
        one.update(SEQUENCES, likelihood)
    one.save(tmp_path / "state")
    other = trainer(torch.float16)
    other.load(tmp_path / "state")
    assert (other._scale.value, other._scale.fitted) == (2.0**15, 2)
    other.update(SEQUENCES, likelihood)
    assert (other._scale.value, other._scale.fitted) == (2.0**16, 0)


@pytest.mark.parametrize(
    ("wrote", "reads"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16), (torch.float16, torch.bfloat16)],
)
def test_a_checkpoint_of_another_precision_is_refused(wrote, reads, tmp_path):
    one = trainer(wrote)
    one.update(SEQUENCES, likelihood)
    one.save(tmp_path / "state")
    with pytest.raises(CheckpointError, match=r"another precision.*model\.dtype"):
        trainer(reads).load(tmp_path / "state")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_run_in_low_precision_that_is_taken_up_again_is_the_same(tmp_path, dtype):
    more = (f"model.dtype={dtype}", "trainer.learning_rate=1e-6", "logging.curve_problems=0")
    runs = {name: words("ppo", tmp_path / name, tmp_path / "artifacts", *more) for name in ("whole", "halves")}
    assert main(["train", *runs["whole"]]) == 0
    assert main(["train", *runs["halves"], "trainer.steps=2"]) == 0
    assert main(["train", *runs["halves"], "resume=true"]) == 0
    whole, halves = ((tmp_path / name / "metrics.jsonl").read_text() for name in runs)
    assert whole == halves
    assert json.loads(whole.splitlines()[-1])["updates"] == 4


def test_deepspeed_refuses_float16_with_a_remedy():
    with pytest.raises(ConfigError, match=r"model.dtype=float16 with engine=deepspeed.*trainer=torch, or model.dtype=bfloat16"):
        load_config(["method=grpo", "engine=deepspeed", "model.dtype=float16"])


@pytest.mark.long
def test_two_ranks_lose_no_small_update_either(tmp_path):
    finish(torchrun(2, str(Path(__file__)), str(tmp_path / "two.pt")))
    main_job(tmp_path / "one.pt")
    one, two = (torch.load(tmp_path / name) for name in ("one.pt", "two.pt"))
    assert torch.nn.functional.cosine_similarity(one, two, dim=0) > 0.99
    assert one.abs().mean() > 10 * RATE


def main_job(out):
    """Forty updates; the first rank writes how far the masters moved, after it saw that all ranks hold the same bits."""
    ranks = join_ranks()
    one = trainer(torch.bfloat16, ranks=ranks)
    before = weights(one.model)
    for _ in range(40):
        one.update(SEQUENCES, likelihood)
    after = masters(one)
    assert all(np.array_equal(after.numpy(), other) for other in ranks.gather(after.numpy()))
    if ranks.first:
        torch.save(after - before, out)


if __name__ == "__main__":
    main_job(Path(sys.argv[1]))
