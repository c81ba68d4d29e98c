"""Preferences without a reference: SimPO, CPO, ORPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative
from unified_rl.methods.base import Inputs
from unified_rl.methods.preference import Preference, Smoothed, likelihood_of_chosen, mean_score, row, summed_score

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class SimPo(Smoothed):
    """Mean log-probs, no reference, and a margin of `gamma` to be reached.

    gamma: the margin to be reached. label_smoothing: share of pairs believed to be the wrong way round.
    """

    name: str = "simpo"
    beta: float = 2.0
    gamma: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    formula: ClassVar[str] = "+-beta sigma(-m), m = beta [mean log pi(o+) - mean log pi(o-)] - gamma"
    equation: ClassVar[str] = "arXiv 2405.14734"

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return mean_score(logp_BT, None, inputs)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.logistic(margin_B - self.gamma, self.label_smoothing)


@dataclass
class Cpo(Smoothed):
    """Summed log-probs, no reference, and the likelihood of the chosen response: `nll_coef` times its mean (TRL) over tokens.

    nll_coef: weight of the chosen response's likelihood, its mean over tokens (TRL).
    label_smoothing: share of pairs believed to be the wrong way round.
    """

    name: str = "cpo"
    nll_coef: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    formula: ClassVar[str] = "+-|o| beta sigma(-m) + 1[o+], m = beta [sum log pi(o+) - sum log pi(o-)]"
    equation: ClassVar[str] = "arXiv 2401.08417, as TRL has it"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("coefficient.nll_coef", self.nll_coef)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return {**super().terms(logp_BT, inputs), "likelihood": likelihood_of_chosen(logp_BT, inputs, self.nll_coef)}

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return summed_score(logp_BT, None, inputs)

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
        mean_B, _ = mean_score(logp_BT, None, inputs)
        return ops.preferences.log_odds(mean_B)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.logistic(margin_B / self.beta)


COEFFICIENTS = (SimPo, Cpo, Orpo)
ROWS = {"simpo": row("simpo", "SimPO"), "cpo": row("cpo", "CPO"), "orpo": row("orpo", "ORPO")}
