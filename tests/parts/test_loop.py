"""The loop's own promises: what several updates, batch-level coefficients, truncation and invariants do in real tiny runs."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ragged import gradient, ragged_batch
from tiny import wants, words

from unified_rl import coefficients as c
from unified_rl.base.errors import CheckpointError, TrainingError
from unified_rl.cli import main
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.methods import METHODS
from unified_rl.methods.table import FAMILIES
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.sources.registry import SOURCES
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.torch_trainer import TorchTrainer


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def run(tmp_path, artifacts, method, *more):
    assert main(["train", *words(method, tmp_path / "run", artifacts, *more)]) == 0
    return [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]


#: Of each family the first two rows; the others are run with the long tests.
QUICK = {name for _, files in FAMILIES.values() for name in list(files[0].ROWS)[:2]}


@pytest.mark.parametrize("method", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in METHODS])
def test_every_method_trains_and_logs(tmp_path, artifacts, method):
    more = ("rollout.prompts_per_step=16",) if method == "sft" else ()
    if wants(method):
        run(tmp_path / "other", artifacts, "online_rft", "trainer.learning_rate=0.003")
        (teacher,) = (tmp_path / "other" / "run" / "checkpoints").glob("step_*4/policy")
        more += (f"{wants(method)[0].partition('=')[0]}={teacher}",)
    metrics = run(tmp_path, artifacts, method, *more)
    assert [entry["step"] for entry in metrics] == [1, 2, 3, 4]
    trained = [entry for entry in metrics if entry["groups/count"] > 0]
    one_update = METHODS[method].settings.get("rollout", {}).get("epochs", 1) == 1
    for entry in trained:
        for name in ("reward/mean", "reward/std", "coef/total/abs_mean", "entropy/mean", "grad_norm", "groups/zero_variance"):
            assert np.isfinite(entry[name])
        assert not one_update or entry["ratio/clip_fraction"] == 0, "with one update per rollout the clip never bites"
    online = SOURCES[METHODS[method].source].provides.fresh
    assert (metrics[-1]["tokens/sampled"] > 0) == online
    if online:
        assert max(entry["sampler/max_logp_difference"] for entry in trained) < 1e-3
    if "kl/k3" in trained[0]:
        assert abs(trained[0]["kl/k3"]) < 1e-6, "while policy = reference the KL is 0"
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"
    curve = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in curve if entry["slice"] == "main"] == [0, 2, 4]


def test_several_updates_move_the_ratio_and_the_clip_can_bite(tmp_path, artifacts):
    metrics = run(tmp_path, artifacts, "grpo", "rollout.epochs=4", "rollout.minibatches=2", "trainer.learning_rate=0.01")
    assert metrics[0]["updates"] == 8
    assert metrics[0]["ratio/mean"] == pytest.approx(1.0, abs=0.5)
    assert max(entry["ratio/max_log"] for entry in metrics) > 0.01, "ratios are the last update's"
    assert max(entry["ratio/clip_fraction"] for entry in metrics) > 0


def test_samples_hold_tokens_and_named_terms_that_add_up(tmp_path, artifacts):
    run(tmp_path, artifacts, "grpo_ps")
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {1, 2, 4}
    for sample in samples:
        values = sample["coefficient"]
        assert len(sample["tokens"]) == len(values["total"]) == len(sample["logp"])
        assert np.allclose(np.add(values["advantage"], values["kl"]), values["total"], atol=1e-6)
        assert sample["step_ends"][-1] == len(sample["tokens"]) - 1


def test_same_seed_same_run_and_other_seed_other_run(tmp_path, artifacts):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, artifacts, "online_rft", f"seed={seed}")
    a, b, other = ((tmp_path / name / "run" / "metrics.jsonl").read_bytes() for name in "abc")
    assert a == b
    assert a != other


def test_methods_of_one_seed_see_the_same_rollout_at_the_first_step(tmp_path, artifacts):
    """Common random numbers: until their first update GRPO and Online RFT are the same policy with the same noise."""
    first = [run(tmp_path / m, artifacts, m)[0] for m in ("grpo", "online_rft")]
    for name in ("reward/mean", "response/tokens", "logp/mean"):
        assert first[0][name] == first[1][name]


def trainer(model, rate=1e-3, **options):
    return TorchTrainer(model, policy_role(1.0), AdamWOptions(rate, 10, **options), Layout(40, 80))


def loss_of(batch, coefficient, truncated="keep"):
    inputs = coefficient.prepare(replace(batch.inputs, step_ends_BT=None))
    return SurrogateLoss(coefficient, inputs, aggregation_weights("sequence_mean", inputs, 1, truncated))


def test_not_finite_stops_before_the_weights_change():
    batch = ragged_batch(0)
    before = [parameter.clone() for parameter in batch.policy.parameters()]
    with pytest.raises(TrainingError, match="was not made"):
        trainer(batch.policy).update(batch.sequences, lambda outputs, members: outputs["logp"].sum() * float("inf"))
    assert all(torch.equal(a, b) for a, b in zip(before, batch.policy.parameters(), strict=True))


def test_dropped_truncated_responses_change_nothing_but_their_own_contribution():
    batch = ragged_batch(1)
    coefficient = c.Rft()

    def gradient_of(truncated, flags):
        batch.inputs = replace(batch.inputs, truncated_B=flags)
        batch.policy.zero_grad()
        role = policy_role(1.0)
        loss = loss_of(batch, coefficient, truncated)
        for packed in Layout(40, 80).pack(batch.sequences, None, torch.device("cpu")):
            loss(
                {k: packed.scatter(v, batch.inputs.response_mask_BT.shape[1]) for k, v in role(batch.policy, packed).items()},
                packed.members(),
            ).backward()
        return gradient(batch.policy)

    none, every = torch.zeros(12, dtype=torch.bool), torch.ones(12, dtype=torch.bool)
    half = torch.arange(12) < 6
    assert torch.allclose(gradient_of("drop", none), gradient_of("keep", every), atol=1e-12)
    assert gradient_of("drop", every).abs().max() == 0
    together = gradient_of("drop", half) + gradient_of("drop", ~half)
    assert torch.allclose(together, gradient_of("keep", none), atol=1e-12)


def test_optimiser_state_survives_saving_and_refuses_another_models(tmp_path):
    batch = ragged_batch(2)
    first = trainer(batch.policy)
    first.update(batch.sequences, loss_of(batch, c.Sft()))
    first.save(tmp_path / "state")
    twin = ragged_batch(2)
    twin.policy.load_state_dict(batch.policy.state_dict())
    second = trainer(twin.policy)
    second.load(tmp_path / "state")
    for one, data in ((first, batch), (second, twin)):
        one.update(data.sequences, loss_of(data, c.Sft()))
    assert first.updates == second.updates == 2
    assert all(torch.equal(a, b) for a, b in zip(batch.policy.parameters(), twin.policy.parameters(), strict=True))
    other = TorchTrainer(torch.nn.Linear(2, 2), policy_role(1.0), AdamWOptions(1e-3, 1), Layout(8, 8))
    with pytest.raises(CheckpointError, match="does not have"):
        other.load(tmp_path / "state")


def test_learning_rate_schedules():
    linear = AdamWOptions(1.0, total_updates=10, schedule="linear", warmup_updates=4)
    assert [linear.rate(update) for update in (0, 3, 5, 9)] == pytest.approx([0.25, 0.7, 0.5, 0.1])
    constant = AdamWOptions(2.0, total_updates=10)
    assert [constant.rate(update) for update in (0, 9, 99)] == [2.0, 2.0, 2.0]


def test_broken_invariant_is_named(tmp_path, artifacts, capsys, monkeypatch):
    """A reference that is not the initial policy is caught at the first update."""
    from unified_rl.stages import assembly

    original = assembly.evaluate_role
    monkeypatch.setattr(assembly, "evaluate_role", lambda *a: {"logp": original(*a)["logp"] - 0.5})
    assert main(["train", *words("grpo", tmp_path / "run", artifacts)]) == 2
    message = capsys.readouterr().err
    assert "kl/max_log" in message
    assert "reference" in message


def test_a_sampler_of_another_model_stops_the_run(tmp_path, artifacts, capsys, monkeypatch):
    """In float32 and with the weights that are trained, the sampler's log-probs are the trainer's."""
    from unified_rl.stages import assembly

    def of_another_model(config, model, *given):
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.get_output_embeddings().weight *= 1.01
        return original(config, other, *given)

    original = assembly.live_sampler
    monkeypatch.setattr(assembly, "live_sampler", of_another_model)
    assert main(["train", *words("grpo", tmp_path / "run", artifacts)]) == 2
    message = capsys.readouterr().err
    assert "sampler/max_logp_difference" in message
    assert "step 1" in message
    assert main(["train", *words("grpo", tmp_path / "stale", artifacts, "rollout.staleness=1", "trainer.steps=2")]) == 2, (
        "the first step has no older weights to sample with"
    )


def test_empty_response_is_a_clear_error():
    from unified_rl.base.errors import DataError
    from unified_rl.base.types import Decoding, Group, Problem, Prompt, Response, Score, ScoredResponse
    from unified_rl.loop.rollout import collate

    empty = Response(np.array([], dtype=np.int64), np.array([], dtype=np.float32), "stop", 0, Decoding(), 0, "")
    group = Group(Prompt(Problem("p7", "q", "1"), (1, 2)), (ScoredResponse(empty, Score(0.0, "incorrect", None, None)),))
    with pytest.raises(DataError, match=r"p7.*no tokens"):
        collate([group], "cpu", process=False, pairs=False)


def test_documented_files_are_written(tmp_path, artifacts):
    run(tmp_path, artifacts, "ppo")
    documented = (Path(__file__).parents[2] / "docs" / "run_directory.md").read_text()
    for path in (tmp_path / "run").iterdir():
        if path.name != ".lock":
            assert path.name in documented, f"{path.name} is not in docs/run_directory.md"
