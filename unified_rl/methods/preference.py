"""Preferences: losses of pairs of a chosen and a rejected response (DPO in three forms)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import one_of, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Dpo(Coefficient):
    """`form`: "standard" (summed log-ratios), "length_averaged" (the gradient of Eq. 12) or "as_printed" (Eq. 14)."""

    name: str = "dpo"
    form: str = "standard"
    beta: float = 0.1
    unit: ClassVar[str] = "pair"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "pairs"})
    any_sampler: ClassVar[bool] = True
    formula: ClassVar[str] = "+-|o| beta sigma(-m), m = beta [sum log(pi/pi_ref)(o+) - sum log(pi/pi_ref)(o-)]"
    equation: ClassVar[str] = "Eqs. 12-14 (forms: standard, length_averaged, as_printed)"

    def __post_init__(self) -> None:
        one_of("coefficient.form", self.form, ("standard", "length_averaged", "as_printed"))
        positive("coefficient.beta", self.beta)

    def describe(self, supervision: str) -> str:
        return {
            "standard": self.formula,
            "length_averaged": "+-beta sigma(-m), m = beta [mean log(pi/pi_ref)(o+) - mean log(pi/pi_ref)(o-)]",
            "as_printed": "+-sigma(-m_t), m_t = beta [log(pi/pi_ref)(o+_t) - log(pi/pi_ref)(o-_t)]",
        }[self.form]

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        form = {
            "standard": ops.coefficients.dpo,
            "length_averaged": ops.coefficients.dpo_length_averaged,
            "as_printed": ops.coefficients.dpo_as_printed,
        }[self.form]
        return form(
            logp_BT, given(inputs.ref_logp_BT), inputs.response_mask_BT, given(inputs.chosen_B), inputs.group_B, self.beta
        )


COEFFICIENTS = (Dpo,)
ROWS = {
    # Pairs of a right and a wrong stored sample; at most responses_per_prompt / 2 pairs per prompt and step.
    "dpo": Method("preference_pairs", "rule", "outcome", "dpo", "DPO", aggregation="pair_mean"),
}
