"""Policy gradients with a baseline from the group: GRPO and its variants, RLOO, Dr. GRPO, DAPO."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative, one_of, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given, kl_penalty, with_advantages

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Grpo(Coefficient):
    """`kl_estimator` (in the loss): "k3" (the paper), "k1", "k2" or "weighted_k3" (DeepSeek-V3.2)."""

    name: str = "grpo"
    kl_coef: float = 0.04
    kl_estimator: str = "k3"
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "groups"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    corrects_staleness: ClassVar[bool] = True
    advantage_in_words: ClassVar[str] = "A"
    formula: ClassVar[str] = "rho 1[not clipped] A + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)
        positive("coefficient.clip_eps", self.clip_eps)
        one_of("coefficient.kl_estimator", self.kl_estimator, ("k1", "k2", "k3", "weighted_k3"))

    def describe(self, supervision: str) -> str:
        kl = {
            "k1": "- beta",
            "k2": "- beta log(pi/pi_ref)",
            "k3": "+ beta (pi_ref/pi - 1)",
            "weighted_k3": "- beta rho log(pi/pi_ref)",
        }[self.kl_estimator]
        process = "sum over own and later steps of (r_step - mean)/std, pooled over the group's steps"
        advantage = process if supervision == "process" else "(r - mean)/std in the group"
        return f"rho 1[not clipped] {self.advantage_in_words} {kl}, A = {advantage}"

    def prepare(self, inputs: Inputs) -> Inputs:
        if inputs.step_ends_BT is None:
            normalised_B = ops.advantages.group_normalised(inputs.rewards_B, inputs.group_B)
            return with_advantages(inputs, normalised_B)
        return replace(
            inputs,
            advantages_BT=ops.advantages.process(
                given(inputs.step_rewards_BT), inputs.step_ends_BT, inputs.response_mask_BT, inputs.group_B
            ),
        )

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.grpo(
            logp_BT,
            inputs.old_or(logp_BT),
            given(inputs.ref_logp_BT),
            given(inputs.advantages_BT),
            clip_eps=self.clip_eps,
            kl_coef=self.kl_coef,
            kl_estimator=self.kl_estimator,
        )


@dataclass
class GrpoPositives(Grpo):
    """GRPO that only raises likelihoods: the positive part of the advantage, and the KL term as it is."""

    name: str = "grpo_positives"
    advantage_in_words: ClassVar[str] = "max(A, 0)"
    formula: ClassVar[str] = "rho 1[not clipped] max(A, 0) + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21, positive part"

    def prepare(self, inputs: Inputs) -> Inputs:
        prepared = super().prepare(inputs)
        return replace(prepared, advantages_BT=ops.advantages.positive_part(given(prepared.advantages_BT)))


@dataclass
class GrpoNegatives(Grpo):
    """GRPO that only lowers likelihoods: the negative part of the advantage, and the KL term as it is."""

    name: str = "grpo_negatives"
    advantage_in_words: ClassVar[str] = "min(A, 0)"
    formula: ClassVar[str] = "rho 1[not clipped] min(A, 0) + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21, negative part"

    def prepare(self, inputs: Inputs) -> Inputs:
        prepared = super().prepare(inputs)
        return replace(prepared, advantages_BT=ops.advantages.negative_part(given(prepared.advantages_BT)))


@dataclass
class GrpoKlInReward(Coefficient):
    """GRPO with the KL penalty where PPO has it (Eq. 2): in the reward, summed over the response, then normalised."""

    name: str = "grpo_kl_in_reward"
    kl_coef: float = 0.04
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] A, A = (R - mean)/std in the group, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "Eq. 3 with the KL of Eq. 2"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)
        positive("coefficient.clip_eps", self.clip_eps)

    def prepare(self, inputs: Inputs) -> Inputs:
        rewards_B = inputs.rewards_B + kl_penalty(inputs, self.kl_coef)
        normalised_B = ops.advantages.group_normalised(rewards_B, inputs.group_B)
        return with_advantages(inputs, normalised_B)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.clipped_advantage(
            logp_BT, inputs.old_or(logp_BT), given(inputs.advantages_BT), clip_low=self.clip_eps, clip_high=self.clip_eps
        )


@dataclass
class Rloo(Coefficient):
    """`kl_coef` weighs the summed k1 in the sequence's reward (arXiv 2402.14740)."""

    name: str = "rloo"
    kl_coef: float = 0.03
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    formula: ClassVar[str] = "R_i - mean of the others' R, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "arXiv 2402.14740"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)

    def prepare(self, inputs: Inputs) -> Inputs:
        rewards_B = inputs.rewards_B + kl_penalty(inputs, self.kl_coef)
        advantages_B = ops.advantages.leave_one_out(rewards_B, inputs.group_B)
        return with_advantages(inputs, advantages_B)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.reinforce(logp_BT, given(inputs.advantages_BT))


@dataclass
class DrGrpo(Coefficient):
    name: str = "dr_grpo"
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] (r - mean)"
    equation: ClassVar[str] = "arXiv 2503.20783"

    def __post_init__(self) -> None:
        positive("coefficient.clip_eps", self.clip_eps)

    def prepare(self, inputs: Inputs) -> Inputs:
        centred_B = ops.advantages.group_centred(inputs.rewards_B, inputs.group_B)
        return with_advantages(inputs, centred_B)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.clipped_advantage(
            logp_BT, inputs.old_or(logp_BT), given(inputs.advantages_BT), clip_low=self.clip_eps, clip_high=self.clip_eps
        )


@dataclass
class Dapo(Coefficient):
    name: str = "dapo"
    clip_low: float = 0.2
    clip_high: float = 0.28
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped to 1-0.2, 1+0.28] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2503.14476"

    def __post_init__(self) -> None:
        positive("coefficient.clip_low", self.clip_low)
        positive("coefficient.clip_high", self.clip_high)

    def describe(self, supervision: str) -> str:
        return f"rho 1[not clipped to {1 - self.clip_low:g}, {1 + self.clip_high:g}] (r - mean)/std"

    def prepare(self, inputs: Inputs) -> Inputs:
        normalised_B = ops.advantages.group_normalised(inputs.rewards_B, inputs.group_B)
        return with_advantages(inputs, normalised_B)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.clipped_advantage(
            logp_BT, inputs.old_or(logp_BT), given(inputs.advantages_BT), clip_low=self.clip_low, clip_high=self.clip_high
        )


COEFFICIENTS = (Grpo, GrpoPositives, GrpoNegatives, GrpoKlInReward, Rloo, DrGrpo, Dapo)
ROWS = {
    # Beta 0.04 and one update per rollout are the paper's (4.1.2, 4.1.3).
    "grpo": Method("online_samples", "rule", "outcome", "grpo", "GRPO+OS"),
    "grpo_ps": Method("online_samples", "exact", "process", "grpo", "GRPO+PS"),
    # RLOO sums over tokens: constant_length leaves only a constant factor 1/length, which Adam does not see.
    "rloo": Method("online_samples", "rule", "outcome", "rloo", "RLOO", aggregation="constant_length"),
    # No std, no 1/|o|, no KL.
    "dr_grpo": Method("online_samples", "rule", "outcome", "dr_grpo", "Dr. GRPO", aggregation="constant_length"),
    # Clip-higher, token mean per prompt, dynamic sampling, soft overlong penalty, reward +-1, no KL.
    "dapo": Method(
        "informative_samples",
        "rule",
        "outcome",
        "dapo",
        "DAPO",
        aggregation="prompt_token_mean",
        settings={"reward": {"correct": 1.0, "incorrect": -1.0, "overlong": 16}},
    ),
}
#: The paper's own method.
DEFAULT = "grpo"
