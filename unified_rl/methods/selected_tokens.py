"""Tokens chosen over a whole update: of high entropy (80/20), or with a covariance that moves entropy (Clip-Cov, KL-Cov)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import not_negative, positive
from unified_rl.methods.base import Inputs, Method, given
from unified_rl.methods.composition import Clipped, PolicyGradient

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class HighEntropy(Clipped):
    """Only the tokens whose entropy is in the update's highest `share` are trained: the forks of the reasoning, not its joints.

    share: of the tokens.
    """

    name: str = "high_entropy"
    share: float = 0.2
    unit: ClassVar[str] = "batch"
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "entropy"})
    formula: ClassVar[str] = "rho 1[not clipped] 1[entropy in the update's highest fifth] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2506.01939"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share)

    def gate_in_words(self) -> str:
        return f"{super().gate_in_words()} 1[entropy in the update's highest {self.share:g}]"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        chosen_BT = ops.selection.highest_share(inputs.entropy_BT, inputs.response_mask_BT, self.share)
        found = super().terms(logp_BT, inputs)
        advantage = ops.terms.term(**found["advantage"].factors, high_entropy=chosen_BT.to(logp_BT))
        return {**found, "advantage": advantage}


@dataclass
class ClipCov(Clipped):
    """Beside PPO's clip, a random `share` of the tokens has no gradient, of those whose covariance is between two bounds.

    share: of all tokens, and at least one. above, below: the bounds of (A - mean)(log pi - mean). What is clipped is not drawn.
    """

    name: str = "clip_cov"
    clip_eps: float = 1.0
    share: float = 2e-4
    above: float = 1.0
    below: float = 5.0
    unit: ClassVar[str] = "batch"
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "chance"})
    formula: ClassVar[str] = "rho 1[not clipped] 1[not drawn where above < (A - mean)(log pi - mean) < below] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2505.22617"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share)
        if self.above >= self.below:
            raise ConfigError(f"coefficient.above={self.above} must be less than coefficient.below={self.below}: a band")

    def gate_in_words(self) -> str:
        band = f"{self.above:g} < (A - mean)(log pi - mean) < {self.below:g}"
        return f"{super().gate_in_words()} 1[not among the {self.share:g} drawn where {band}]".strip()

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        found, mask_BT = super().terms(logp_BT, inputs), inputs.response_mask_BT
        factors = found["advantage"].factors
        covariance_BT = ops.selection.covariance(given(inputs.advantages_BT), logp_BT, mask_BT)
        within_BT = mask_BT & (covariance_BT > self.above) & (covariance_BT < self.below)
        if "not_clipped" in factors:
            within_BT = within_BT & (factors["not_clipped"] > 0)
        drawn_BT = ops.selection.drawn(inputs.chance_BT, within_BT, mask_BT, self.share)
        return {**found, "advantage": ops.terms.term(**factors, not_drawn=(~drawn_BT).to(logp_BT))}


@dataclass
class KlCov(PolicyGradient):
    """No clip; the tokens whose covariance (A - mean)(log pi - mean) is in the update's highest `share` are held to the old policy.

    share: of the tokens. hold: weight of |log(pi/pi_old)| in the loss of those tokens.
    """

    name: str = "kl_cov"
    share: float = 2e-3
    hold: float = 1.0
    unit: ClassVar[str] = "batch"
    formula: ClassVar[str] = "rho (r - mean)/std - hold sign(log rho) 1[covariance in the update's highest share]"
    equation: ClassVar[str] = "arXiv 2505.22617"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share)
        not_negative("coefficient.hold", self.hold)

    def describe(self, supervision: str) -> str:
        held = f"- {self.hold:g} sign(log rho) 1[(A - mean)(log pi - mean) in the update's highest {self.share:g}]"
        return super().describe(supervision).replace(" A,", f" A {held},", 1)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        mask_BT = inputs.response_mask_BT
        covariance_BT = ops.selection.covariance(given(inputs.advantages_BT), logp_BT, mask_BT)
        held = ops.terms.term(
            hold=logp_BT.new_full((), -self.hold),
            high_covariance=ops.selection.highest_count(covariance_BT, mask_BT, self.share).to(logp_BT),
            sign=(logp_BT - inputs.old_or(logp_BT)).sign(),
        )
        return {**super().terms(logp_BT, inputs), "held": held}


def check_share(share: float) -> None:
    """Raise ConfigError unless it is a share of the tokens."""
    positive("coefficient.share", share)
    if share > 1:
        raise ConfigError(f"coefficient.share={share} must be at most 1: a share of the update's tokens")


COEFFICIENTS = (HighEntropy, ClipCov, KlCov)
ROWS = {
    "high_entropy": Method("online_samples", "rule", "outcome", "high_entropy", "80/20", aggregation="batch_token_mean"),
    "clip_cov": Method("online_samples", "rule", "outcome", "clip_cov", "Clip-Cov", aggregation="batch_token_mean"),
    "kl_cov": Method("online_samples", "rule", "outcome", "kl_cov", "KL-Cov", aggregation="batch_token_mean"),
}
