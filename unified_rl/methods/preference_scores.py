"""Preferences whose link is of each response's own score: a response is told from a level, not from its partner alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.methods.preference import Preference, row

if TYPE_CHECKING:
    from torch import Tensor


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


COEFFICIENTS = (Bco, Nca, Sppo, ApoZero, ApoDown)
ROWS = {
    "bco": row("bco", "BCO"),
    "nca": row("nca", "NCA"),
    "sppo": row("sppo", "SPPO"),
    "apo_zero": row("apo_zero", "APO-zero"),
    "apo_down": row("apo_down", "APO-down"),
}
