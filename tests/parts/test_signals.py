"""Signals, roles and named losses are entries of registries: known by no other name, and refused where nothing supplies them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from ragged import ragged_batch
from tiny import keep_order, words

from unified_rl import coefficients as c
from unified_rl import planning
from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.loop.surrogate import CompanionLoss, SurrogateLoss, aggregation_weights
from unified_rl.methods import losses, signals
from unified_rl.packing.packed_rows import Members
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config

READS = """
from dataclasses import dataclass
from unified_rl.coefficients import Coefficient, term


@dataclass
class Reads(Coefficient):
    name: str = "reads"
    needs = frozenset({NEEDS})

    def terms(self, logp_BT, inputs):
        return {"read": term(value=inputs.FIELD)}
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def trained(run_dir, artifacts, method, *more):
    assert main(["train", *words(method, run_dir, artifacts, "trainer.steps=2", *more)]) == 0
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def reading(tmp_path, needs, field):
    path = tmp_path / f"reads_{needs}.py"
    path.write_text(READS.replace("NEEDS", repr(needs)).replace("FIELD", field))
    return f"coefficient={path}:Reads"


def everything(inputs):
    """All rows as one micro-batch."""
    return Members(torch.arange(len(inputs.rewards_B)), *inputs.response_mask_BT.nonzero(as_tuple=True))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, one in signals.SIGNALS.items()
        if one.role and not (signals.ROLES[one.role].options or signals.ROLES[one.role].setting)
    ],
)
def test_every_signal_reaches_a_coefficient_that_needs_it(name, tmp_path, artifacts):
    signal = signals.SIGNALS[name]
    (entry, *_) = trained(tmp_path / "run", artifacts, "grpo", reading(tmp_path, name, signal.field))
    if signal.output == "logp":  # at the first update the policy, the old one and the reference are the same
        assert entry["coef/read/mean"] == pytest.approx(entry["logp/mean"], abs=1e-5)
    else:
        assert entry["coef/read/mean"] == pytest.approx(entry[f"{signal.output}/mean"], rel=1e-6)


def test_what_nothing_supplies_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'curvature', which nothing supplies; set its `needs` to some of old_logp"):
        load_config(["method=grpo", reading(tmp_path, "curvature", "curvature_BT")])
    with pytest.raises(ConfigError, match="no option value_learning_rate nor value_epochs for its companion update"):
        load_config(["method=grpo", reading(tmp_path, "values", "values_BT")])
    with pytest.raises(ConfigError, match=r"losses\.entropi"):
        load_config(["method=grpo", "losses.entropi=0.1"])


def test_a_second_model_whose_distributions_are_compared_is_refused(monkeypatch):
    """Each alone enters the policy's pass over the vocabulary; two at once would be read off one pass, which compares two."""
    other = replace(signals.ROLES["teacher"], name="amateur", weights=lambda config: config.reference, setting="reference=DIR")
    monkeypatch.setitem(signals.ROLES, "amateur", other)
    monkeypatch.setitem(signals.SIGNALS, "forward_kl", replace(signals.SIGNALS["forward_kl"], role="amateur"))
    backward, forward = ("teacher=a", "losses.teacher_reverse_kl=1"), ("reference=b", "losses.teacher_forward_kl=1")
    load_config(["method=online_rft", *backward])
    load_config(["method=online_rft", *forward])
    with pytest.raises(ConfigError, match="compare the policy's distributions with those of teacher and amateur; leave out"):
        load_config(["method=online_rft", *backward, *forward])


def test_a_signal_that_was_not_declared_is_not_there():
    batch = ragged_batch(0)
    assert not hasattr(batch.inputs, "curvature_BT")
    more = batch.inputs.adding({"curvature_BT": torch.ones_like(batch.inputs.old_logp_BT), "flag_B": batch.inputs.rewards_B})
    some = more.rows(torch.tensor([2, 0])).first_tokens(3)
    assert some.curvature_BT.shape == (2, 3)
    assert torch.equal(some.flag_B, batch.inputs.rewards_B[[2, 0]])
    assert torch.equal(some.old_logp_BT, batch.inputs.old_logp_BT[[2, 0]][:, :3])


@pytest.mark.parametrize(("role", "signal", "method"), [("reference", "ref_logp", "grpo"), ("value", "values", "ppo")])
def test_a_role_can_be_renamed_at_run_time(role, signal, method, tmp_path, artifacts, monkeypatch, request):
    """Under another name a role is loaded, trained, saved, resumed, planned and explained as before."""
    before = trained(tmp_path / "before", artifacts, method)
    keep_order(signals.ROLES, request)
    monkeypatch.setitem(signals.ROLES, "other", replace(signals.ROLES[role], name="other", label="other model"))
    monkeypatch.delitem(signals.ROLES, role)
    monkeypatch.setitem(signals.SIGNALS, signal, replace(signals.SIGNALS[signal], role="other"))
    if role == "value":
        monkeypatch.setitem(losses.LOSSES, "value", replace(losses.LOSSES["value"], role="other"))
    trained(tmp_path / "run", artifacts, method, "trainer.steps=1", "logging.checkpoint_every=1")
    after = trained(tmp_path / "run", artifacts, method, "logging.checkpoint_every=1", "resume=true")
    assert after == [{key.replace("value/", "other/"): value for key, value in entry.items()} for entry in before]
    if role == "value":
        assert (tmp_path / "run" / "checkpoints" / "step_000002" / "other").is_dir() or list(
            (tmp_path / "run" / "checkpoints").glob("*/other")
        )
    config = load_config([f"method={method}"])
    assert "other model" in explain.render(explain.facts(config))
    assert any(part["part"].startswith("other model:") for part in planning.plan(config)["memory"]["parts"])


def test_the_value_loss_is_the_named_one_weighted_like_the_tokens():
    batch = ragged_batch(1)
    values = torch.randn_like(batch.inputs.old_logp_BT).requires_grad_()
    inputs = replace(batch.inputs, returns_BT=torch.randn_like(batch.inputs.old_logp_BT))
    weights_B = aggregation_weights("sequence_mean", inputs, 1, "keep")
    loss = CompanionLoss(losses.of_role("value"), inputs, weights_B)({"value": values}, everything(inputs))
    mask = inputs.response_mask_BT
    squared = ((values - inputs.returns_BT) ** 2 * mask).sum(1) / mask.sum(1)
    assert loss.item() == pytest.approx(squared.mean().item() / 2)


def test_a_loss_of_the_policy_is_added_by_the_same_weights_and_kept_in_the_ledger():
    batch = ragged_batch(2)
    inputs = replace(batch.inputs, step_ends_BT=None)
    named = losses.NamedLoss("squares", "policy", "x^2", lambda outputs, inputs: outputs["side"].square())
    weights_B = aggregation_weights("sequence_mean", inputs, 1, "keep")
    side = torch.randn_like(inputs.old_logp_BT).requires_grad_()
    outputs = {"logp": inputs.old_logp_BT, "entropy": torch.zeros_like(inputs.old_logp_BT), "side": side}
    rows = everything(inputs)
    without = SurrogateLoss(c.Rft(), inputs, weights_B)(outputs, rows)
    loss = SurrogateLoss(c.Rft(), inputs, weights_B, losses={named: 0.3})
    total = loss(outputs, rows)
    total.backward()
    mask = inputs.response_mask_BT
    assert (total - without).item() == pytest.approx(0.3 * ((side.square() * mask).sum(1) / mask.sum(1)).mean().item())
    assert torch.allclose(side.grad, 0.3 * 2 * side.detach() * mask * weights_B[:, None])
    assert loss.record.metrics()["loss/squares"] == pytest.approx(side.detach()[mask].square().mean().item())
