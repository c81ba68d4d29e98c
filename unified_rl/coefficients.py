"""Coefficients with their options: what each prepares once per rollout, and the terms it gives at every micro-batch.

The maths is in `ops`; a class here only says which parts a coefficient is made of. To add one, inherit `Coefficient` in a
dataclass, and name it by path (`coefficient=my_file.py:MyCoefficient`); or bring a whole objective:

    my_loss = coefficient_from_objective(lambda logp_BT, inputs: ...)      # scalar to maximise; `coefficient=my_file.py:my_loss`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from unified_rl import coefficient_config as schema
from unified_rl.ops import advantages, coefficients
from unified_rl.ops.terms import Terms, term

__all__ = ["Coefficient", "Inputs", "Terms", "build", "coefficient_from_objective", "term"]


@dataclass(frozen=True)
class Inputs:
    """A rollout as tensors, one row per response, padded anywhere; the mask says which tokens are the response's.

    response_mask_BT: bool. group_B: int64, equal for responses to one prompt (and for the two rows of a pair).
    rewards_B: outcome rewards (with any length penalty). correct_B: 1 where the answer was judged right. truncated_B: bool.
    step_rewards_BT, step_ends_BT: under process supervision. chosen_B: bool, for pairs.
    behaviour_logp_BT: log-probs under the sampler; NaN where nobody knows them (demonstrations).
    old_logp_BT: log-probs before the rollout's first update. None while there is only that one update: then old = current.
    ref_logp_BT, values_BT: where the coefficient needs them. advantages_BT, returns_BT: what `prepare` adds.
    more: any other signal by its field (`methods.signals`), which is read as an attribute: `inputs.entropy_BT`.
    """

    response_mask_BT: Tensor
    group_B: Tensor
    rewards_B: Tensor
    correct_B: Tensor
    truncated_B: Tensor
    behaviour_logp_BT: Tensor
    step_rewards_BT: Tensor | None = None
    step_ends_BT: Tensor | None = None
    chosen_B: Tensor | None = None
    old_logp_BT: Tensor | None = None
    ref_logp_BT: Tensor | None = None
    values_BT: Tensor | None = None
    advantages_BT: Tensor | None = None
    returns_BT: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Tensor:
        more = self.__dict__.get("more", {})
        if name not in more:
            raise AttributeError(f"inputs have no {name!r}; a coefficient names the signals that it reads in its `needs`")
        return more[name]

    def adding(self, signals: Mapping[str, Tensor]) -> Inputs:
        """With these signals, each under its field."""
        own = {name: value for name, value in signals.items() if name in _FIELDS}
        return replace(self, **own, more={**self.more, **{name: signals[name] for name in signals if name not in own}})

    def rows(self, index: Tensor) -> Inputs:
        """The same facts for some of the rows, in the order of `index`."""
        return self._each(lambda name, value: value[index])

    def first_tokens(self, count: int) -> Inputs:
        """The same facts for the first `count` columns only (the rest is padding)."""
        return self._each(lambda name, value: value[:, :count] if name.endswith("_BT") else value)

    def _each(self, change: Callable[[str, Tensor], Tensor]) -> Inputs:
        own = {name: getattr(self, name) for name in _FIELDS}
        changed = {name: None if value is None else change(name, value) for name, value in own.items()}
        return Inputs(**changed, more={name: change(name, value) for name, value in self.more.items()})

    def old_or(self, logp_BT: Tensor) -> Tensor:
        """old_logp, or the current log-probs where this is the rollout's only update."""
        return logp_BT if self.old_logp_BT is None else self.old_logp_BT


_FIELDS = tuple(item.name for item in fields(Inputs) if item.name != "more")


class Coefficient(schema.CoefficientConfig):
    """What a coefficient is: options (dataclass fields), a `unit`, its `needs`, and two functions of tensors."""

    def prepare(self, inputs: Inputs) -> Inputs:
        """Once per rollout, over whole groups: add what stays fixed over its updates (advantages, returns)."""
        return inputs

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        """The named terms of GC at the current (detached) log-probs. Rows arrive in whole `unit`s."""
        raise NotImplementedError(f"{type(self).__name__} must define terms(logp_BT, inputs)")


@dataclass
class Sft(schema.SftCoefficient, Coefficient):
    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.sft(inputs.response_mask_BT, logp_BT.dtype)


@dataclass
class Rft(schema.RftCoefficient, Coefficient):
    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.rft(inputs.correct_B.to(logp_BT))


@dataclass
class Dpo(schema.DpoCoefficient, Coefficient):
    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        form = {
            "standard": coefficients.dpo,
            "length_averaged": coefficients.dpo_length_averaged,
            "as_printed": coefficients.dpo_as_printed,
        }[self.form]
        return form(
            logp_BT, _given(inputs.ref_logp_BT), inputs.response_mask_BT, _given(inputs.chosen_B), inputs.group_B, self.beta
        )


@dataclass
class Ppo(schema.PpoCoefficient, Coefficient):
    def prepare(self, inputs: Inputs) -> Inputs:
        mask = inputs.response_mask_BT
        rewards_BT = advantages.with_kl_penalty(
            _token_rewards(inputs), _given(inputs.old_logp_BT), _given(inputs.ref_logp_BT), mask, self.kl_coef
        )
        advantages_BT, returns_BT = advantages.gae(
            rewards_BT, _given(inputs.values_BT), mask, discount=self.discount, trace_decay=self.trace_decay
        )
        return replace(inputs, advantages_BT=advantages_BT, returns_BT=returns_BT)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.ppo(logp_BT, inputs.old_or(logp_BT), _given(inputs.advantages_BT), self.clip_eps)


@dataclass
class Grpo(schema.GrpoCoefficient, Coefficient):
    def prepare(self, inputs: Inputs) -> Inputs:
        if inputs.step_ends_BT is None:
            normalised_B = advantages.group_normalised(inputs.rewards_B, inputs.group_B)
            return replace(inputs, advantages_BT=advantages.to_tokens(normalised_B, inputs.response_mask_BT))
        return replace(
            inputs,
            advantages_BT=advantages.process(
                _given(inputs.step_rewards_BT), inputs.step_ends_BT, inputs.response_mask_BT, inputs.group_B
            ),
        )

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.grpo(
            logp_BT,
            inputs.old_or(logp_BT),
            _given(inputs.ref_logp_BT),
            _given(inputs.advantages_BT),
            clip_eps=self.clip_eps,
            kl_coef=self.kl_coef,
            kl_estimator=self.kl_estimator,
        )


@dataclass
class GrpoPositives(schema.GrpoPositivesCoefficient, Grpo):
    def prepare(self, inputs: Inputs) -> Inputs:
        prepared = super().prepare(inputs)
        return replace(prepared, advantages_BT=advantages.positive_part(_given(prepared.advantages_BT)))


@dataclass
class GrpoNegatives(schema.GrpoNegativesCoefficient, Grpo):
    def prepare(self, inputs: Inputs) -> Inputs:
        prepared = super().prepare(inputs)
        return replace(prepared, advantages_BT=advantages.negative_part(_given(prepared.advantages_BT)))


@dataclass
class GrpoKlInReward(schema.GrpoKlInRewardCoefficient, Coefficient):
    def prepare(self, inputs: Inputs) -> Inputs:
        rewards_B = inputs.rewards_B + _kl_penalty(inputs, self.kl_coef)
        normalised_B = advantages.group_normalised(rewards_B, inputs.group_B)
        return replace(inputs, advantages_BT=advantages.to_tokens(normalised_B, inputs.response_mask_BT))

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.clipped_advantage(
            logp_BT, inputs.old_or(logp_BT), _given(inputs.advantages_BT), clip_low=self.clip_eps, clip_high=self.clip_eps
        )


@dataclass
class Rloo(schema.RlooCoefficient, Coefficient):
    def prepare(self, inputs: Inputs) -> Inputs:
        rewards_B = inputs.rewards_B + _kl_penalty(inputs, self.kl_coef)
        advantages_B = advantages.leave_one_out(rewards_B, inputs.group_B)
        return replace(inputs, advantages_BT=advantages.to_tokens(advantages_B, inputs.response_mask_BT))

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.reinforce(logp_BT, _given(inputs.advantages_BT))


@dataclass
class DrGrpo(schema.DrGrpoCoefficient, Coefficient):
    def prepare(self, inputs: Inputs) -> Inputs:
        centred_B = advantages.group_centred(inputs.rewards_B, inputs.group_B)
        return replace(inputs, advantages_BT=advantages.to_tokens(centred_B, inputs.response_mask_BT))

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.clipped_advantage(
            logp_BT, inputs.old_or(logp_BT), _given(inputs.advantages_BT), clip_low=self.clip_eps, clip_high=self.clip_eps
        )


@dataclass
class Dapo(schema.DapoCoefficient, Coefficient):
    def prepare(self, inputs: Inputs) -> Inputs:
        normalised_B = advantages.group_normalised(inputs.rewards_B, inputs.group_B)
        return replace(inputs, advantages_BT=advantages.to_tokens(normalised_B, inputs.response_mask_BT))

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return coefficients.clipped_advantage(
            logp_BT, inputs.old_or(logp_BT), _given(inputs.advantages_BT), clip_low=self.clip_low, clip_high=self.clip_high
        )


def coefficient_from_objective(
    objective: Callable[[Tensor, Inputs], Tensor],
    *,
    needs: frozenset[str] = frozenset(),
    formula: str = "dJ / dlogp by autograd",
) -> type[Coefficient]:
    """A coefficient from any differentiable objective of the token log-probs.

    Args:
        objective: maps (logp_BT, inputs) of a whole update to the scalar to be maximised. It contains its own averaging, so its
            derivative is aggregation weight times coefficient, and `aggregation` has no say.
        needs: further inputs it reads: "ref_logp", "old_logp", "values", "pairs", "groups".
        formula: how `methods` and `explain` print it.
    """

    @dataclass
    class FromObjective(Coefficient):
        name: str = "from_objective"

        def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
            return coefficients.from_objective(lambda leaf: objective(leaf, inputs), logp_BT)

    FromObjective.unit = "batch"
    FromObjective.needs = needs
    FromObjective.supervisions = frozenset({"none", "outcome", "process"})
    FromObjective.corrects_staleness = "old_logp" in needs
    FromObjective.contains_weights = True
    FromObjective.formula = formula
    return FromObjective


IMPLEMENTATIONS: dict[str, type[Coefficient]] = {
    "sft": Sft,
    "rft": Rft,
    "dpo": Dpo,
    "ppo": Ppo,
    "grpo": Grpo,
    "grpo_positives": GrpoPositives,
    "grpo_negatives": GrpoNegatives,
    "grpo_kl_in_reward": GrpoKlInReward,
    "rloo": Rloo,
    "dr_grpo": DrGrpo,
    "dapo": Dapo,
}


def build(options: Any) -> Coefficient:
    """The coefficient behind its options: one of ours by name; a user's own class is its own implementation."""
    if isinstance(options, Coefficient):
        return options
    return IMPLEMENTATIONS[options.name](**asdict(options))


def _token_rewards(inputs: Inputs) -> Tensor:
    """Rewards per token: at step ends under process supervision, else the outcome at the last token."""
    if inputs.step_ends_BT is None:
        return advantages.at_last_token(inputs.rewards_B, inputs.response_mask_BT)
    return _given(inputs.step_rewards_BT) * inputs.step_ends_BT


def _kl_penalty(inputs: Inputs, kl_coef: float) -> Tensor:
    """-beta sum over the response's tokens of log(pi_old / pi_ref): the KL in a sequence's reward. [B]"""
    no_reward = torch.zeros_like(_given(inputs.old_logp_BT))
    penalties_BT = advantages.with_kl_penalty(
        no_reward, _given(inputs.old_logp_BT), _given(inputs.ref_logp_BT), inputs.response_mask_BT, kl_coef
    )
    return penalties_BT.sum(1)


def _given(value: Tensor | None) -> Tensor:
    assert value is not None, "an input that the coefficient declares in `needs` was not provided"
    return value
