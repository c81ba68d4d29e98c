"""A real GRPOTrainer with our rows: gradients, losses and weights of a few updates are our own trainer's on the same data.

These need TRL (extra `trl`). Everything before them needs none.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from unified_rl.adapters import trl as adapter
from unified_rl.base.errors import ConfigError
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.models.policy_model import build_llama
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence, pack
from unified_rl.presets.loading import load_config
from unified_rl.tasks.tokenizers import word_tokenizer
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.torch_trainer import TorchTrainer

try:
    import trl
except ImportError:
    trl = None
needs_trl = pytest.mark.skipif(trl is None, reason="TRL is not installed (extra `trl`): no GRPOTrainer to put a row into")

STEPS, GROUP, MICRO, ACCUMULATED, LENGTH, RATE = 3, 4, 4, 4, 8, 1e-3
WORDS = word_tokenizer(("abcdefgh 0123456789:\n",))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("method=ppo",), "needs .*values.*train it with unified-rl"),
        (("method=dpo",), "needs pairs"),
        (("method=grpo_ps",), "set outcome"),
        (("method=kl_cov",), "over a whole batch"),
        (("method=grpo", "importance=truncated"), "leave `importance`"),
    ],
)
def test_rows_that_trl_cannot_follow_are_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        adapter.check_row(load_config(words))


@pytest.mark.skipif(trl is not None, reason="TRL is installed")
def test_without_trl_the_remedy_is_named():
    with pytest.raises(ConfigError, match=r"install unified-rl\[trl\]"):
        adapter.row("method=dr_grpo")


def policy() -> torch.nn.Module:
    model = build_llama(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        eos_token_id=WORDS.eos_token_id,
        tie_word_embeddings=False,
        seed=0,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter *= 4
    return model


def letters(completions, **_):
    return [float(sum(letter in "abcd" for letter in one) % 3) for one in completions]


def digits(completions, **_):
    return [float(sum(letter in "0123" for letter in one) % 2) for one in completions]


def trained_by_trl(words, folder, iterations=1, **more):
    """The trainer after a few updates, each rollout as it was buffered, and the logged losses and gradient norms."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import GRPOConfig

    rollouts, gradients = [], []

    class Watched(adapter.row(*words)):
        def _prepare_inputs(self, generation_batch):
            before = self._buffered_inputs
            found = super()._prepare_inputs(generation_batch)
            if self._buffered_inputs is not before:
                rollouts.append([dict(batch) for batch in self._buffered_inputs])
            return found

        def training_step(self, model, *args):
            found = super().training_step(model, *args)
            if self._step % ACCUMULATED == 0:
                gradients.append(torch.cat([parameter.grad.flatten().clone() for parameter in model.parameters()]))
            return found

    options = GRPOConfig(
        output_dir=str(folder),
        report_to=[],
        save_strategy="no",
        max_steps=STEPS * iterations,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        max_grad_norm=0.0,
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=ACCUMULATED,
        num_generations=GROUP,
        num_iterations=iterations,
        max_completion_length=LENGTH,
        temperature=1.0,
        logging_steps=1,
        seed=1,
        **more,
    )
    policy().save_pretrained(folder / "model")  # TRL loads the reference from where the policy is from
    trainer = Watched(
        model=AutoModelForCausalLM.from_pretrained(folder / "model"),
        reward_funcs=[letters, digits],
        args=options,
        train_dataset=Dataset.from_dict({"prompt": [f"{a}{b}:" for a in "abcdefgh" for b in "0123"]}),
        processing_class=WORDS,
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return trainer, rollouts, losses, gradients


def trained_by_us(words, rollouts, iterations):
    """Our own trainer on the same responses and rewards: losses, gradients and the model."""
    config = load_config(words)
    rule, model = config.coefficient, policy().train()
    reference = copy.deepcopy(model)
    options = AdamWOptions(RATE, total_updates=STEPS * iterations, max_grad_norm=1e9)
    trainer = TorchTrainer(model, policy_role(1.0), options, Layout(64, 128))
    frozen = TorchTrainer(reference, policy_role(1.0), options, Layout(64, 128))
    losses, gradients = [], []
    for batches in rollouts:
        given = adapter._joined([adapter._from_rows(batch) for batch in batches])
        parts = torch.cat([batch[f"{adapter._PREFIX}inputs/more/reward_parts_BK"] for batch in batches])
        weights = torch.cat([batch[f"{adapter._PREFIX}inputs/more/reward_weights_BK"] for batch in batches])
        sequences = [
            TokenSequence(
                batch["prompt_ids"][place][batch["prompt_mask"][place].bool()].numpy().astype(np.int64),
                batch["completion_ids"][place][batch["completion_mask"][place].bool()].numpy().astype(np.int64),
            )
            for batch in batches
            for place in range(len(batch["prompt_ids"]))
        ]
        given = given.first_tokens(max(len(one.response_ids) for one in sequences))
        given = given.adding({"reward_parts_BK": parts, "reward_weights_BK": weights})
        if "old_logp" in rule.needs or iterations > 1:
            given = given.adding({"old_logp_BT": trainer.outputs(sequences)["logp"]})
        if "ref_logp" in rule.needs:
            given = given.adding({"ref_logp_BT": frozen.outputs(sequences)["logp"]})
        prepared = rule.prepare(given)
        weights_B = aggregation_weights(config.aggregation.name, prepared, LENGTH, "keep")
        for _ in range(iterations):
            before = [parameter.detach().clone() for parameter in model.parameters()]
            losses.append(trainer.update(sequences, SurrogateLoss(rule, prepared, weights_B)).loss)
            gradients.append(gradient_at(model, before, rule, prepared, weights_B, sequences))
    return losses, gradients, model


def gradient_at(model, weights, rule, inputs, weights_B, sequences):
    """The gradient of an update at the weights before it."""
    still = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, value in zip(still.parameters(), weights, strict=True):
            parameter.copy_(value)
    loss = SurrogateLoss(rule, inputs, weights_B)
    still.zero_grad()
    for packed in pack(sequences, row_tokens=64, micro_batch_tokens=4096):
        outputs = {
            name: packed.scatter(value, inputs.response_mask_BT.shape[1])
            for name, value in policy_role(1.0)(still, packed).items()
        }
        loss(outputs, packed.members()).backward()
    return torch.cat([parameter.grad.flatten() for parameter in still.parameters()])


CASES = {
    "dr_grpo": (("method=dr_grpo",), 1, {}),
    "gspo, twice": (("method=gspo",), 2, {}),
    "grpo with its KL": (("method=grpo", "coefficient.kl_coef=0.2"), 1, {"beta": 0.5}),
    "rloo, KL in the reward": (("method=rloo",), 1, {"beta": 0.5}),
    "gdpo": (("method=gdpo",), 1, {"reward_weights": [1.0, 0.5]}),
    "cispo": (("method=cispo",), 1, {}),
    "online_rft": (("method=online_rft",), 1, {}),
}


@needs_trl
@pytest.mark.parametrize("name", CASES)
def test_a_few_steps_are_our_own_trainers(name, tmp_path):
    words, iterations, more = CASES[name]
    trainer, rollouts, losses, gradients = trained_by_trl(words, tmp_path, iterations, **more)
    assert len(rollouts) == STEPS
    own_losses, own_gradients, model = trained_by_us(words, rollouts, iterations)
    assert len(losses) == len(own_losses) == STEPS * iterations
    assert any(gradient.norm() > 1e-4 for gradient in own_gradients), "there is something to compare"
    for found, own in zip(gradients, own_gradients, strict=True):
        assert (found - own).norm() <= 1e-5 * own.norm()
    assert losses == pytest.approx(own_losses, abs=1e-5)
    assert "coef/advantage/abs_mean" in json.dumps(trainer.state.log_history) or name == "online_rft"
    apart = max((a - b).abs().max().item() for a, b in zip(trainer.model.parameters(), model.parameters(), strict=True))
    moved = max((a - b).abs().max().item() for a, b in zip(policy().parameters(), model.parameters(), strict=True))
    assert apart < 0.02 * moved


@needs_trl
def test_a_row_with_a_reference_says_so_where_trl_keeps_none(tmp_path):
    with pytest.raises(ConfigError, match="beta"):
        trained_by_trl(("method=grpo",), tmp_path)


@needs_trl
def test_the_installed_version_is_one_that_was_tested():
    assert trl.__version__ in adapter.TESTED
