"""Preferences whose link is of each response's own score: a response is told from a level, not from its partner alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given
from unified_rl.methods.preference import Preference, row, summed_score

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Bco(Preference):
    """Each response classified by itself; without the shift by a moving average (TRL's bco_pair)."""

    name: str = "bco"
    formula: ClassVar[str] = "+|o+| beta sigma(-v+), -|o-| beta sigma(v-), v = beta sum log(pi/pi_ref)"
    equation: ClassVar[str] = "arXiv 2404.04656, without its shift"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.binary(scaled_B, chosen_B)


@dataclass
class Nca(Preference):
    """Likelihoods themselves, not their differences: the chosen one's does not fall."""

    name: str = "nca"
    formula: ClassVar[str] = "+|o+| beta [sigma(-v+) - sigma(v+)/2], -|o-| beta sigma(v-)/2, v = beta sum log(pi/pi_ref)"
    equation: ClassVar[str] = "arXiv 2402.05369"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.noise_contrastive(scaled_B, chosen_B)


@dataclass
class Sppo(Preference):
    """Each response's own score is pulled to +-1/2 (hard labels)."""

    name: str = "sppo"
    formula: ClassVar[str] = "+|o+| (1 - 2 v+)/beta, -|o-| (1 + 2 v-)/beta, v = beta sum log(pi/pi_ref)"
    equation: ClassVar[str] = "arXiv 2405.00675"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.self_play(scaled_B, chosen_B, self.beta)


@dataclass
class ApoZero(Preference):
    """Chosen up, rejected down, each by itself: for a policy worse than the chosen responses."""

    name: str = "apo_zero"
    formula: ClassVar[str] = "+-|o| beta sigma(v) sigma(-v), v = beta sum log(pi/pi_ref)"
    equation: ClassVar[str] = "arXiv 2408.06266"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.anchored_zero(scaled_B)


@dataclass
class ApoDown(Preference):
    """Both down, the rejected more: for a policy better than the chosen responses."""

    name: str = "apo_down"
    formula: ClassVar[str] = "+|o+| beta [s(m) - s(v+)], -|o-| beta s(m), s = sigma (1 - sigma), v = beta sum log(pi/pi_ref)"
    equation: ClassVar[str] = "arXiv 2408.06266"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.anchored_down(scaled_B, margin_B, chosen_B)


@dataclass
class Kto(Coefficient):
    """Responses that are right or wrong by themselves, without pairs, each told from the policy's general drift.

    beta: how far the log-ratio to the reference may go: the score is beta times it.
    desirable_weight, undesirable_weight: lambda of right, and of wrong responses.
    """

    name: str = "kto"
    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    unit: ClassVar[str] = "sequence"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "mismatched_kl"})
    any_sampler: ClassVar[bool] = True
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = (
        "+-|o| lambda beta sigma(v) sigma(-v), v = beta [sum log(pi/pi_ref) - z0], z0 = max(0, mean log-ratio of mismatched pairs)"
    )
    equation: ClassVar[str] = "arXiv 2402.01306, Eq. 8"

    def __post_init__(self) -> None:
        positive("coefficient.beta", self.beta)
        not_negative("coefficient.desirable_weight", self.desirable_weight)
        not_negative("coefficient.undesirable_weight", self.undesirable_weight)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        score_B, by_token = summed_score(logp_BT, given(inputs.ref_logp_BT), inputs)
        right_B = inputs.correct_B.to(logp_BT)
        weight_B = self.desirable_weight * right_B - self.undesirable_weight * (1 - right_B)
        factors = {
            "length": by_token,
            "beta": logp_BT.new_full((), self.beta),
            "weight": weight_B[:, None],
            "slope": ops.links.anchored_zero(self.beta * (score_B - inputs.mismatched_kl_B))[:, None],
        }
        return {"preference": ops.terms.term(**factors)}


COEFFICIENTS = (Bco, Nca, Sppo, ApoZero, ApoDown, Kto)
ROWS = {
    "bco": row("bco", "BCO"),
    "nca": row("nca", "NCA"),
    "sppo": row("sppo", "SPPO"),
    "apo_zero": row("apo_zero", "APO-zero"),
    "apo_down": row("apo_down", "APO-down"),
    # Right and wrong stored samples, as many of each as there are.
    "kto": Method("offline_samples", "rule", "outcome", "kto", "KTO"),
}
