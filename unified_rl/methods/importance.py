"""Any coefficient with the train-inference mismatch corrected: its own terms, with the importance factors as factors more."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from unified_rl import ops
from unified_rl.base.errors import DataError
from unified_rl.config.axes import ImportanceConfig
from unified_rl.methods.base import Coefficient, Inputs, given

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


def corrected(coefficient: Coefficient, options: ImportanceConfig) -> Coefficient:
    """The coefficient under the configured correction; the very same under `importance.name=none`."""
    return coefficient if options.name == "none" else Corrected(coefficient, options)  # type: ignore[return-value]


#: The term that `importance.kl=outside` leaves without the factor.
KL_TERMS = frozenset({"kl"})
#: In `Inputs.more`: 1 / mean of the batch's weights.
SCALE = "importance_scale_B"


class Corrected:
    """A coefficient whose terms carry the importance factors. In all else (unit, options) it is the one inside.

    What is counted over the batch (a mean of weights, a mask for the denominators) is fixed before the rollout's first update, and
    so needs the old log-probs.
    """

    def __init__(self, coefficient: Coefficient, options: ImportanceConfig) -> None:
        self._coefficient, self._options = coefficient, options
        over_batch = options.normalised == "batch" or (options.drops and options.rejected == "left_out")
        self.needs = coefficient.needs | {"old_logp"} if over_batch else coefficient.needs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coefficient, name)

    def prepare(self, inputs: Inputs) -> Inputs:
        """As the coefficient inside. Raises DataError where the sampler's log-probs are unknown."""
        options = self._options
        if inputs.behaviour_logp_BT[inputs.response_mask_BT].isnan().any():
            raise DataError(
                f"importance={options.name} weighs responses by pi_old / pi_sampler, but some have no log-probs of their "
                "sampler (nobody knows how likely a demonstration was); set importance=none, or another source"
            )
        if options.name == "bypass":
            return self._coefficient.prepare(replace(inputs, old_logp_BT=inputs.behaviour_logp_BT))
        found = self._coefficient.prepare(inputs)
        if options.normalised == "batch":
            factors = self._limited(given(found.old_logp_BT), found)
            mean = ops.importance.mean_weight(prod(factors.values()), found.response_mask_BT)
            found = found.adding({SCALE: (1 / mean).expand_as(found.rewards_B)})
        if options.drops and options.rejected == "left_out":
            kept = self._kept(given(found.old_logp_BT), found)
            found = replace(found, response_mask_BT=found.response_mask_BT & kept.bool())
        return found

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        """The terms at the current (detached) log-probs.

        The factors are static over a rollout: pi_old is fixed, or, while there is only one update, equal to the current policy.
        """
        options, found = self._options, self._coefficient.terms(logp_BT, inputs)
        if options.name == "bypass":
            return found
        old_logp_BT = inputs.old_or(logp_BT)
        factors = self._limited(old_logp_BT, inputs)
        if options.normalised == "batch":
            factors["batch_scale"] = inputs.more[SCALE][:, None]
        if options.drops and options.rejected == "counted":
            factors["kept"] = self._kept(old_logp_BT, inputs)
        return ops.importance.with_factors(found, factors, KL_TERMS if options.kl == "outside" else frozenset())

    def _limited(self, old_logp_BT: Tensor, inputs: Inputs) -> dict[str, Tensor]:
        """The weight and its limit."""
        options = self._options
        levels = {
            "token": ops.importance.token_weight,
            "sequence": ops.importance.sequence_weight,
            "geometric": ops.importance.geometric_weight,
        }
        weight = levels[options.level](old_logp_BT, inputs.behaviour_logp_BT, inputs.response_mask_BT)
        if options.name == "truncated":
            return ops.importance.truncated(weight, options.cap, options.lowest)
        if options.name == "masked":
            return ops.importance.masked(weight, options.lowest, options.cap)
        return {"sampler_weight": weight.new_ones(weight.shape) if options.name == "rejected" else weight}

    def _kept(self, old_logp_BT: Tensor, inputs: Inputs) -> Tensor:
        """1 for what is not rejected, else 0. [B, T] or [B, 1]."""
        options = self._options
        logps = old_logp_BT, inputs.behaviour_logp_BT, inputs.response_mask_BT
        found = inputs.response_mask_BT | ~inputs.response_mask_BT
        if options.reject != "none":
            found = found & ops.importance.kept(
                *logps,
                measure=options.reject,
                over=options.reject_over,
                floor=options.reject_floor,
                cap=options.reject_cap,
            )
        if options.veto:
            found = found & ops.importance.not_vetoed(*logps, options.veto)
        return found.to(old_logp_BT)
