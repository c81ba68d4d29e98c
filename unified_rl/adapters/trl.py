"""Any policy-gradient row as the loss of a real `trl.GRPOTrainer` (extra `trl`): a verified row, used without leaving TRL.

    from unified_rl.adapters.trl import row

    Trainer = row("method=dr_grpo", "coefficient.clip_high=0.28")
    Trainer(model=..., reward_funcs=[...], args=GRPOConfig(...), train_dataset=...).train()

TRL samples, calls its reward functions and makes the updates; advantages, ratios, clip, KL term and averages are the row's. Several
reward functions are several rewards with TRL's `reward_weights`, so that `method=gdpo` normalises them apart. A response counts as
accepted where its reward is above 0. The loss that TRL logs is the row's surrogate, -(w GC log pi) summed, as our own trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.config.schema import Config
from unified_rl.loop.surrogate import aggregation_weights
from unified_rl.methods.base import Coefficient, Inputs
from unified_rl.methods.signals import of_reward
from unified_rl.ops.terms import Terms, coefficient
from unified_rl.presets.loading import load_config

#: The versions of TRL that this was tested with.
TESTED = ("1.16.0",)
#: What a row may need and TRL can supply.
SUPPLIED = frozenset({"groups", "samples", "old_logp", "ref_logp", "entropy", "reward_parts", "reward_weights"})
#: Where our inputs stand among TRL's, which are shuffled and divided by rows.
_PREFIX = "unified_rl/"


def row(*words: str) -> type[Any]:
    """A subclass of `trl.GRPOTrainer` whose loss is a row's.

    Args:
        words: as on our command line: `method=NAME`, and what of sections coefficient and aggregation is otherwise.

    Raises:
        ConfigError: TRL is not installed, or the row needs what TRL does not supply, with the reason and the remedy.
    """
    try:
        from trl import GRPOTrainer
    except ImportError as error:
        raise ConfigError(f"unified_rl.adapters.trl needs TRL ({error}); install unified-rl[trl]") from error
    config = load_config(words)
    check_row(config)
    return type(
        "RowTrainer", (_RowLoss, GRPOTrainer), {"unified_rl": config, "__doc__": f"GRPOTrainer with {' '.join(words)}."}
    )


def check_row(config: Config) -> None:
    """Refuse a row that TRL's trainer cannot follow. Raises ConfigError."""
    rule: Coefficient = config.coefficient
    missing = sorted(rule.needs - SUPPLIED)
    if missing:
        raise ConfigError(
            f"coefficient={rule.name} needs {', '.join(missing)}, which TRL does not give; train it with unified-rl"
        )
    if rule.unit in ("pair", "group", "batch"):
        raise ConfigError(
            f"coefficient={rule.name} is computed over a whole {rule.unit}, but TRL divides updates by responses; train it with "
            "unified-rl"
        )
    if config.reward.supervision != "outcome":
        raise ConfigError(
            f"TRL's reward functions judge outcomes, but reward.supervision={config.reward.supervision}; set outcome"
        )
    if config.importance.name != "none" or config.losses:
        raise ConfigError("the adapter has no importance correction and no further losses; leave `importance` and `losses` out")


class _RowLoss:
    """What changes of a `GRPOTrainer`: its advantages, made once per rollout, and its loss. A mixin in front of TRL's class."""

    unified_rl: Config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        me: Any = self
        needs = self.unified_rl.coefficient.needs
        if "ref_logp" in needs and me.beta == 0:
            raise ConfigError(
                f"coefficient={self.unified_rl.coefficient.name} needs a reference, which TRL keeps only where beta is above 0; "
                "set GRPOConfig(beta=...) to anything above 0 (coefficient.kl_coef is the weight)"
            )
        if me.accelerator.num_processes > 1:
            raise ConfigError("the adapter takes one process, whose batch is the whole batch; start TRL without a launcher")
        if "groups" in needs and me.num_generations < 2:
            raise ConfigError("the row compares the responses to one prompt; set GRPOConfig(num_generations=...) to 2 or more")

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        found: Tensor = super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]
        if found.isnan().any():
            raise DataError("a reward function gave None for a response, which the row cannot weigh; give a number")
        self._rewards_BK = found
        return found

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """TRL's rollout, with the row's own inputs beside it."""
        made: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        prepared = self.unified_rl.coefficient.prepare(self._inputs(made))
        return made | _as_rows(prepared)

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """The micro-batch, its weights taken over the update that it belongs to."""
        found: dict[str, Any] = super()._prepare_inputs(generation_batch)  # type: ignore[misc]
        me: Any = self
        if me.model.training and f"{_PREFIX}weights_B" not in found:
            window = me.args.gradient_accumulation_steps
            for start in range(0, len(me._buffered_inputs), window):
                self._weigh(me._buffered_inputs[start : start + window])
        return found

    def _weigh(self, batches: Sequence[dict[str, Any]]) -> None:
        """Enter the aggregation weights of one update's micro-batches."""
        parts = [_from_rows(batch) for batch in batches]
        options, length = self.unified_rl.aggregation, getattr(self, "max_completion_length", 0)
        whole = _joined(parts)
        weights_B = aggregation_weights(options.name, whole, options.length or length, options.truncated, options.empty)
        for batch, part_B in zip(batches, weights_B.split([len(part.rewards_B) for part in parts]), strict=True):
            batch[f"{_PREFIX}weights_B"] = part_B

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """-(w GC log pi) summed over the micro-batch's response tokens, GC detached."""
        logp_BT, entropy_BT = self._pass(model, inputs, gradient=True)
        if f"{_PREFIX}weights_B" not in inputs:  # evaluation
            self._weigh([inputs])
        given = _from_rows(inputs)
        beside = {"entropy_BT": entropy_BT.detach()} if "entropy" in self.unified_rl.coefficient.needs else {}
        terms = self.unified_rl.coefficient.terms(logp_BT.detach(), given.adding(beside))
        mask_BT = given.response_mask_BT
        coef_BT = coefficient(terms, mask_BT)
        self._log_terms(terms, entropy_BT.detach(), mask_BT)
        weighted_BT = inputs[f"{_PREFIX}weights_B"][:, None] * coef_BT * logp_BT
        return -torch.where(mask_BT, weighted_BT, 0).sum()

    def _pass(self, model: Any, made: Mapping[str, Any], gradient: bool) -> tuple[Tensor, Tensor]:
        """Log-probs and entropies [B, T] of the completions under a model, by TRL's own pass."""
        me: Any = self
        ids, mask = (torch.cat([made[f"prompt_{what}"], made[f"completion_{what}"]], 1) for what in ("ids", "mask"))
        length = made["completion_ids"].shape[1]
        with torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
            logp_BT, entropy_BT, _ = me._get_per_token_logps_and_entropies(model, ids, mask, length, compute_entropy=True)
        return logp_BT, entropy_BT

    def _inputs(self, made: Mapping[str, Any]) -> Inputs:
        """A rollout of TRL's as a coefficient reads it."""
        me: Any = self
        mask_BT = (made["completion_mask"] * made.get("tool_mask", 1)).bool()
        weights_K = me.reward_weights.to(self._rewards_BK)
        rewards_B = (self._rewards_BK * weights_K).sum(1)
        per_prompt = me.num_generations if me.model.training else me.num_generations_eval
        value, weight = of_reward(("reward_parts", "reward_weights"))
        old_logp_BT = made.get("old_per_token_logps")
        if old_logp_BT is None and "old_logp" in self.unified_rl.coefficient.needs:
            old_logp_BT, _ = self._pass(me.model, made, gradient=False)
        ids_BT, lengths_B = made["completion_ids"], made["completion_mask"].sum(1)
        last_B = ids_BT.gather(1, (lengths_B - 1).clamp(min=0)[:, None])[:, 0]
        ends = torch.tensor(sorted(me.eos_token_ids), device=ids_BT.device)
        unknown_BT = rewards_B.new_full(mask_BT.shape, torch.nan)
        return Inputs(
            response_mask_BT=mask_BT,
            group_B=torch.arange(len(rewards_B), device=rewards_B.device) // per_prompt,
            rewards_B=rewards_B,
            correct_B=(rewards_B > 0).to(rewards_B),
            truncated_B=~torch.isin(last_B, ends),
            behaviour_logp_BT=made.get("sampling_per_token_logps", unknown_BT),
            old_logp_BT=old_logp_BT,
            ref_logp_BT=made.get("ref_per_token_logps"),
            more={value.field: self._rewards_BK, weight.field: weights_K.expand_as(self._rewards_BK)},
        )

    def _log_terms(self, terms: Terms, entropy_BT: Tensor, mask_BT: Tensor) -> None:
        """Token means of the terms' sizes, of the entropy, and of what the clip stops, among TRL's metrics."""
        me: Any = self
        found = {f"coef/{name}/abs_mean": item.value().abs() for name, item in terms.items()} | {"entropy": entropy_BT}
        for item in terms.values():
            if "not_clipped" in item.factors:
                found["clip_fraction"] = 1 - item.factors["not_clipped"]
        for name, value_BT in found.items():
            mean = torch.where(mask_BT, value_BT.expand(mask_BT.shape), 0).sum() / mask_BT.sum().clamp(min=1)
            me._metrics["train" if me.model.training else "eval"][name].append(mean.item())


def _as_rows(inputs: Inputs) -> dict[str, Tensor]:
    """Every input under a name of its own, each with a first dimension of rows."""
    own = {item.name: getattr(inputs, item.name) for item in fields(inputs) if item.name != "more"}
    found = {**own, **{f"more/{name}": value for name, value in inputs.more.items()}}
    return {f"{_PREFIX}inputs/{name}": value for name, value in found.items() if value is not None}


def _from_rows(batch: Mapping[str, Any]) -> Inputs:
    """The inputs of a micro-batch."""
    start = f"{_PREFIX}inputs/"
    found = {name.removeprefix(start): value for name, value in batch.items() if name.startswith(start)}
    more = {name.removeprefix("more/"): value for name, value in found.items() if name.startswith("more/")}
    return Inputs(**{name: value for name, value in found.items() if not name.startswith("more/")}, more=more)


def _joined(parts: Sequence[Inputs]) -> Inputs:
    """What aggregation reads of several micro-batches as one: masks, groups and truncation."""
    names = ("response_mask_BT", "group_B", "rewards_B", "correct_B", "truncated_B", "behaviour_logp_BT")
    together: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return Inputs(**together)
