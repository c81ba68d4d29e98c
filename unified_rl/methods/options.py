"""Options that policy gradients have in common, by group: the clip, the advantage, the KL. The paper's are the defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unified_rl import ops
from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import not_negative, one_of, positive
from unified_rl.methods.base import Inputs, given

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Term

BASELINES = {"mean": "mean", "leave_one_out": "mean of the others", "length_weighted": "sum(L r)/sum(L)", "none": "0"}
STDS = {
    "population": "std",
    "sample": "std (ddof 1)",
    "batch": "std of the batch's rewards",
    "leave_one_out": "std of the others",
    "mean": "mean",
    "none": "",
}
WHITENINGS = ("none", "population", "sample")
#: Estimators that can be in a reward, of the rollout's own log-probs.
KL_VALUES = {
    "k1": "log(pi_old/pi_ref)",
    "k2": "log^2(pi_old/pi_ref)/2",
    "k3": "(pi_ref/pi_old - 1 - log(pi_ref/pi_old))",
    "abs": "|log(pi_old/pi_ref)|",
}
VALUES = tuple(KL_VALUES)
#: Estimators that can be in a loss, and the term that each contributes to a coefficient.
KL_WORDS = {
    "k1": "- beta",
    "k2": "- beta log(pi/pi_ref)",
    "k3": "+ beta (pi_ref/pi - 1)",
    "abs": "- beta sign(log(pi/pi_ref))",
    "weighted_k1": "- beta rho (log(pi/pi_ref) + 1)",
    "weighted_k2": "- beta rho (log(pi/pi_ref) + log^2(pi/pi_ref)/2)",
    "weighted_k3": "- beta rho log(pi/pi_ref)",
    "full_k1": "- beta (log(pi/pi_ref) + 1)",
    "full_k2": "- beta (log(pi/pi_ref) + log^2(pi/pi_ref)/2)",
    "full_k3": "- beta log(pi/pi_ref)",
}
ESTIMATORS = tuple(KL_WORDS)
PLACES = ("loss", "reward", "reward_to_go")


@dataclass
class Clip:
    """The clip of the ratio.

    clip_eps: the ratio is clipped to 1 - clip_eps, 1 + clip_eps. clip_low, clip_high: either side by itself, in place of clip_eps.
    dual_clip: c > 1: under a negative advantage nothing flows where the ratio exceeds c either (a two-sided clip's delta).
    """

    clip_eps: float = 0.2
    clip_low: float | None = None
    clip_high: float | None = None
    dual_clip: float | None = None

    def check_clip(self) -> None:
        positive("coefficient.clip_eps", self.clip_eps)
        for name in ("clip_low", "clip_high"):
            if getattr(self, name) is not None:
                positive(f"coefficient.{name}", getattr(self, name))
        if self.dual_clip is not None and self.dual_clip <= 1:
            raise ConfigError(
                f"coefficient.dual_clip={self.dual_clip} must be above 1: at 1 it would clip the unchanged policy"
            )

    @property
    def low(self) -> float:
        return self.clip_eps if self.clip_low is None else self.clip_low

    @property
    def high(self) -> float:
        return self.clip_eps if self.clip_high is None else self.clip_high

    def gate_in_words(self) -> str:
        if (self.clip_low, self.clip_high, self.dual_clip) == (None, None, None):
            return "1[not clipped]"
        dual = "" if self.dual_clip is None else f"; A < 0: <= {self.dual_clip:g}"
        return f"1[not clipped to {1 - self.low:g}, {1 + self.high:g}{dual}]"


@dataclass
class Advantage:
    """Advantages from the rewards of a group.

    baseline: what is subtracted: mean | leave_one_out | length_weighted (OPO) | none. std: what it is divided by: population |
    sample (ddof 1) | batch (ddof 1, of the batch's rewards) | leave_one_out (ddof 1) | mean (the group's mean, MaxRL) | none.
    std_epsilon: added to it. flat: where the divisor is 0 an advantage is zero, or left undivided.
    lone: the advantage of a response that is alone in its group: zero, or its reward as it is (as if mean = 0, std = 1).
    whitening: (A - mean)/std of the result over all response tokens of the batch: none | population | sample.
    """

    baseline: str = "mean"
    std: str = "population"
    std_epsilon: float = 0.0
    flat: str = "zero"
    lone: str = "zero"
    whitening: str = "none"

    def check_advantage(self) -> None:
        one_of("coefficient.baseline", self.baseline, tuple(BASELINES))
        one_of("coefficient.std", self.std, tuple(STDS))
        not_negative("coefficient.std_epsilon", self.std_epsilon)
        one_of("coefficient.flat", self.flat, ("zero", "undivided"))
        one_of("coefficient.lone", self.lone, ("zero", "reward"))
        one_of("coefficient.whitening", self.whitening, WHITENINGS)

    def of_groups(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        """One advantage per response. [B] -> [B]."""
        lengths_B = inputs.response_mask_BT.sum(1)
        found_B = ops.advantages.relative(
            rewards_B,
            inputs.group_B,
            lengths_B,
            baseline=self.baseline,
            std=self.std,
            epsilon=self.std_epsilon,
            flat=self.flat,
        )
        if self.lone == "zero":
            return found_B
        scale = 1.0 if self.std == "none" else 1 + self.std_epsilon
        return ops.advantages.where_alone(found_B, rewards_B / scale, inputs.group_B)

    def whitened(self, inputs: Inputs) -> Inputs:
        """The inputs with their advantages whitened, where that is asked for."""
        if self.whitening == "none":
            return inputs
        found_BT = ops.advantages.whitened(given(inputs.advantages_BT), inputs.response_mask_BT, self.whitening)
        return replace(inputs, advantages_BT=found_BT)

    def advantage_in_words(self, reward: str = "r") -> str:
        over = STDS[self.std]
        epsilon = f" + {self.std_epsilon:g}" if self.std_epsilon else ""
        centred = reward if self.baseline == "none" else f"({reward} - {BASELINES[self.baseline]})"
        divided = (
            f"{centred}/({over}{epsilon})" if over and (epsilon or " " in over) else f"{centred}/{over}" if over else centred
        )
        words = divided if self.baseline == "none" and not over else f"{divided} in the group"
        return words if self.whitening == "none" else f"{words}, whitened over the batch's tokens"


@dataclass
class Kl:
    """The penalty for leaving the reference.

    kl_coef: its weight, 0 = none. kl_estimator: k1 | k2 | k3 (the paper) | abs; in the loss also weighted_kN (times rho, which is
    differentiated too) and full_kN (the same at rho = 1). kl_in: loss | reward (the response's sum, before the baseline) |
    reward_to_go (of each token's own and later ones, after the baseline). kl_clamp: no gradient where the estimate is larger.
    """

    kl_coef: float = 0.0
    kl_estimator: str = "k3"
    kl_in: str = "loss"
    kl_clamp: float | None = None

    def check_kl(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)
        one_of("coefficient.kl_in", self.kl_in, PLACES)
        one_of("coefficient.kl_estimator", self.kl_estimator, ESTIMATORS if self.kl_in == "loss" else VALUES)
        if self.kl_clamp is not None:
            positive("coefficient.kl_clamp", self.kl_clamp)
            if self.kl_in != "loss":
                raise ConfigError(
                    "coefficient.kl_clamp limits an estimate in the loss; leave it out, or set coefficient.kl_in=loss"
                )

    def kl_of_tokens(self, inputs: Inputs) -> Tensor:
        """-beta times the estimate at each response token, for a reward. [B, T]."""
        old_logp_BT = given(inputs.old_logp_BT)
        zeros_BT = old_logp_BT.new_zeros(old_logp_BT.shape)
        return ops.advantages.with_kl_penalty(
            zeros_BT, old_logp_BT, given(inputs.ref_logp_BT), inputs.response_mask_BT, self.kl_coef, self.kl_estimator
        )

    def kl_term(self, logp_BT: Tensor, inputs: Inputs) -> Term:
        """The KL in the loss, as a term."""
        return ops.kl.loss_term(
            self.kl_estimator, logp_BT, given(inputs.ref_logp_BT), inputs.old_or(logp_BT), self.kl_coef, self.kl_clamp
        )

    def kl_in_words(self) -> str:
        return KL_WORDS[self.kl_estimator]
