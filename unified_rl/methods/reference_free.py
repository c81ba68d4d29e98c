"""Preferences without a reference: the scores are the policy's own log-probs, and all that holds it is a margin or a likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative
from unified_rl.methods.base import Inputs
from unified_rl.methods.preference import Preference, check_smoothing, likelihood_of_chosen, row

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class SimPo(Preference):
    """Mean log-probs, no reference, and a margin of `gamma` to be reached."""

    name: str = "simpo"
    beta: float = 2.0
    gamma: float = 1.0
    label_smoothing: float = 0.0
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    formula: ClassVar[str] = "+-beta sigma(-m), m = beta [mean log pi(o+) - mean log pi(o-)] - gamma"
    equation: ClassVar[str] = "arXiv 2405.14734"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_smoothing(self.label_smoothing)

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        zeros_BT = logp_BT.new_zeros(logp_BT.shape)
        return ops.preferences.mean_log_ratio(logp_BT, zeros_BT, inputs.response_mask_BT), logp_BT.new_ones(())

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.logistic(margin_B - self.gamma, self.label_smoothing)


@dataclass
class Cpo(Preference):
    """Summed log-probs, no reference, and the likelihood of the chosen response: `nll_coef` times its mean (TRL) over tokens."""

    name: str = "cpo"
    nll_coef: float = 1.0
    label_smoothing: float = 0.0
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    formula: ClassVar[str] = "+-|o| beta sigma(-m) + 1[o+], m = beta [sum log pi(o+) - sum log pi(o-)]"
    equation: ClassVar[str] = "arXiv 2401.08417, as TRL has it"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_smoothing(self.label_smoothing)
        not_negative("coefficient.nll_coef", self.nll_coef)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return {**super().terms(logp_BT, inputs), "likelihood": likelihood_of_chosen(logp_BT, inputs, self.nll_coef)}

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        mask_BT = inputs.response_mask_BT
        score_B = ops.preferences.summed_log_ratio(logp_BT, logp_BT.new_zeros(logp_BT.shape), mask_BT)
        return score_B, mask_BT.sum(1, keepdim=True).to(logp_BT)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.logistic(margin_B, self.label_smoothing)


@dataclass
class Orpo(Preference):
    """The odds of the mean probabilities, no reference, and the chosen response's mean log-likelihood; beta is the odds' weight."""

    name: str = "orpo"
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    formula: ClassVar[str] = "1[o+] +- beta sigma(-u)/(1 - p), u = logit p(o+) - logit p(o-), p = exp(mean log pi)"
    equation: ClassVar[str] = "arXiv 2403.07691"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return {**super().terms(logp_BT, inputs), "likelihood": likelihood_of_chosen(logp_BT, inputs, 1.0)}

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        zeros_BT = logp_BT.new_zeros(logp_BT.shape)
        mean_B = ops.preferences.mean_log_ratio(logp_BT, zeros_BT, inputs.response_mask_BT)
        return ops.preferences.log_odds(mean_B)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.logistic(margin_B / self.beta)


COEFFICIENTS = (SimPo, Cpo, Orpo)

ROWS = {
    "simpo": row("simpo", "SimPO"),
    "cpo": row("cpo", "CPO"),
    "orpo": row("orpo", "ORPO"),
}
