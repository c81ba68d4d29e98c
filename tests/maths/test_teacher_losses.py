"""Divergences from a teacher over the whole vocabulary, as losses beside a coefficient: gradients, runs, plans, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import textbook
import torch
from cases import c
from ragged import gradient, ragged_batch, token_logps
from tiny import words

from unified_rl import planning
from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.methods.losses import of_policy
from unified_rl.models.roles import policy_role
from unified_rl.packing.packed_rows import pack
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config

WEIGHT, SHARE = 0.3, 0.2


def distributions(model, sequence, temperature):
    """log pi [T, V] at each token of a response, by a plain forward of the model."""
    ids = torch.cat([torch.from_numpy(sequence.prompt_ids), torch.from_numpy(sequence.response_ids)])
    return torch.log_softmax(model(input_ids=ids[None]).logits[0, len(sequence.prompt_ids) - 1 : -1] / temperature, -1)


def divergence(name, batch, teacher, sequence):
    """The mean over a response's tokens of KL(pi || pi_T), KL(pi_T || pi) or GKD's JSD of them, whose beta is SHARE."""
    of, to = distributions(batch.policy, sequence, 1.0), distributions(teacher, sequence, 1.0).detach()
    if name == "jsd":  # D_JSD(beta)(pi_T || pi) = beta KL(pi_T || m) + (1 - beta) KL(pi || m), m = beta pi_T + (1 - beta) pi
        m = SHARE * to.exp() + (1 - SHARE) * of.exp()
        return (SHARE * to.exp() * (to - m.log()) + (1 - SHARE) * of.exp() * (of - m.log())).sum(-1).mean()
    if name == "forward_kl":
        of, to = to, of
    return (of.exp() * (of - to)).sum(-1).mean()


@pytest.mark.parametrize("rule", [c.Grpo(), c.Divergence()], ids=["grpo", "gkd"])
@pytest.mark.parametrize("name", ["reverse_kl", "forward_kl", "jsd"])
@pytest.mark.parametrize("micro_batch_tokens", [20, 10_000])
def test_the_gradient_is_that_of_the_objective_with_the_divergence_in_it(name, micro_batch_tokens, rule):
    batch, teacher = ragged_batch(3), ragged_batch(11).policy
    inputs = rule.prepare(replace(batch.inputs, step_ends_BT=None, step_rewards_BT=None))
    batch.inputs = inputs
    lengths = inputs.response_mask_BT.sum(1).tolist()
    old, ref = ([row[:n] for row, n in zip(x, lengths, strict=True)] for x in (inputs.old_logp_BT, inputs.ref_logp_BT))
    logp = [token_logps(batch.policy, sequence) for sequence in batch.sequences]
    penalty = sum(divergence(name, batch, teacher, sequence) for sequence in batch.sequences) / len(batch.sequences)
    gain = 0.0 if rule.by_losses else textbook.grpo(batch, logp, old, ref)
    (gain - WEIGHT * penalty).backward()
    expected = gradient(batch.policy)

    batch.policy.zero_grad()
    named = of_policy({f"teacher_{name}": WEIGHT})
    loss = SurrogateLoss(rule, inputs, aggregation_weights("sequence_mean", inputs, 1, "keep"), losses=named)
    role = policy_role(1.0, differentiated=frozenset({name}), beside=frozenset({"jsd"}), teacher=teacher, share=SHARE)
    for packed in pack(batch.sequences, row_tokens=40, micro_batch_tokens=micro_batch_tokens):
        outputs = {name: packed.scatter(v, max(lengths)) for name, v in role(batch.policy, packed).items()}
        loss(outputs, packed.members()).backward()
    assert torch.allclose(-gradient(batch.policy), expected, rtol=1e-9, atol=1e-12)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    metrics = loss.record.metrics()
    assert metrics[f"loss/teacher_{name}"] == pytest.approx(metrics[f"{name}/mean"], rel=1e-12)
    assert metrics[f"{name}/mean"] > 0


def metrics(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The start policy after a few steps on another reward, and the artefacts it was made of."""
    folder = tmp_path_factory.mktemp("taught")
    given = words("online_rft", folder / "teacher", folder / "artifacts", "trainer.learning_rate=0.003", "trainer.steps=10")
    assert main(["train", *given]) == 0
    (path,) = (folder / "teacher" / "checkpoints").glob("step_*10/policy")
    return folder, path


@pytest.mark.parametrize(("method", "loss"), [("online_rft", "reverse_kl"), ("sft", "forward_kl"), ("gkd", "jsd")])
def test_a_run_comes_nearer_to_the_teacher_and_resumes_bit_for_bit(method, loss, teacher, tmp_path):
    folder, path = teacher
    more = ("trainer.learning_rate=0.003", "trainer.steps=6", f"teacher={path}", f"losses.teacher_{loss}=3")
    assert main(["train", *words(method, tmp_path / "whole", folder / "artifacts", *more)]) == 0
    found = [entry[f"loss/teacher_{loss}"] for entry in metrics(tmp_path / "whole")]
    assert found[-1] < 0.7 * found[0]
    given = words(method, tmp_path / "part", folder / "artifacts", *more)
    assert main(["train", *given, "trainer.steps=4"]) == 0
    assert main(["train", *given, "resume=true"]) == 0
    assert metrics(tmp_path / "part") == metrics(tmp_path / "whole")
    assert "teacher" in (tmp_path / "whole" / "provenance.json").read_text()


def test_a_run_mixes_by_its_beta(teacher, tmp_path):
    folder, path = teacher
    found = []
    for beta in ("0.1", "0.5"):
        more = (f"teacher={path}", f"jsd_beta={beta}", "trainer.steps=1", "logging.curve_problems=0")
        assert main(["train", *words("gkd", tmp_path / beta, folder / "artifacts", *more)]) == 0
        found.append(metrics(tmp_path / beta)[0]["loss/teacher_jsd"])
    assert 0 < found[0] < 0.6 * found[1], "for near distributions it goes as beta (1 - beta)"


def test_it_is_explained_planned_and_refused_by_name():
    config = load_config(["method=grpo", "losses.teacher_reverse_kl=0.1", "teacher=models/large"])
    text = explain.render(explain.facts(config))
    assert "+ 0.1 sum w KL(pi(.|q, o_<t) || pi_T(.|q, o_<t))" in text
    assert "models/large" in text
    plain = planning.plan(load_config(["method=grpo"]))
    planned = planning.plan(config)
    assert planned["work"]["scoring_passes"] == plain["work"]["scoring_passes"] + 1

    def parts(plan):
        return {part["part"]: part["bytes"] for part in plan["memory"]["parts"]}

    assert parts(planned)["teacher: weights"] > 0
    assert parts(planned)["log-prob buffers"] > parts(plain)["log-prob buffers"]
    with pytest.raises(
        ConfigError, match=r"losses\.teacher_forward_kl needs a teacher, whose weights are not the policy's own"
    ):
        load_config(["method=grpo", "losses.teacher_forward_kl=0.1"])
    for words_of, why in (
        (["method=gkd"], "needs a teacher, whose weights are not the policy's own"),
        (["method=gkd", "teacher=DIR", "losses.teacher_jsd=0"], "no loss beside it; set losses.teacher_jsd"),
        (["method=gkd", "teacher=DIR", "jsd_beta=1"], "set losses.teacher_forward_kl in place of losses.teacher_jsd for 0"),
        (["method=gkd", "teacher=DIR", "importance=truncated"], "has none; set importance=none"),
        (["method=gkd", "teacher=DIR", "rollout.epochs=2"], "no importance weight"),
    ):
        with pytest.raises(ConfigError, match=why):
            load_config(words_of)
    load_config(["method=gkd", "teacher=DIR", "source=demonstrations"])
    assert load_config(["method=gkd", "teacher=DIR", "jsd_beta=0.1"]).label == "GKD, jsd_beta=0.1"
    with pytest.raises(ConfigError, match="has no use for a teacher"):
        load_config(["method=grpo", "losses.teacher_forward_kl=0", "teacher=models/large"])
