"""Any coefficient with the train-inference mismatch corrected: its own terms, each with the importance factors as factors more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified_rl import ops
from unified_rl.base.errors import DataError
from unified_rl.config.axes import ImportanceConfig
from unified_rl.methods.base import Coefficient, Inputs

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


def corrected(coefficient: Coefficient, options: ImportanceConfig) -> Coefficient:
    """The coefficient under the configured correction; the very same under `importance.name=none`."""
    return coefficient if options.name == "none" else Corrected(coefficient, options)  # type: ignore[return-value]


class Corrected:
    """A coefficient whose every term carries the importance factors. In all else (unit, needs, options) it is the one inside."""

    def __init__(self, coefficient: Coefficient, options: ImportanceConfig) -> None:
        self._coefficient, self._options = coefficient, options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coefficient, name)

    def prepare(self, inputs: Inputs) -> Inputs:
        """As the coefficient inside. Raises DataError where the sampler's log-probs are unknown."""
        if inputs.behaviour_logp_BT[inputs.response_mask_BT].isnan().any():
            raise DataError(
                f"importance={self._options.name} weighs responses by pi_old / pi_sampler, but some have no log-probs of their "
                "sampler (nobody knows how likely a demonstration was); set importance=none, or another source"
            )
        return self._coefficient.prepare(inputs)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        """The terms at the current (detached) log-probs.

        The factors are static over a rollout: pi_old is fixed, or, while there is only one update, equal to the current policy.
        """
        levels = {"token": ops.importance.token_weight, "sequence": ops.importance.sequence_weight}
        weight = levels[self._options.level](inputs.old_or(logp_BT), inputs.behaviour_logp_BT, inputs.response_mask_BT)
        return ops.importance.with_factors(self._coefficient.terms(logp_BT, inputs), self._factors(weight))

    def _factors(self, weight: Tensor) -> dict[str, Tensor]:
        if self._options.name == "truncated":
            return ops.importance.truncated(weight, self._options.cap)
        return ops.importance.masked(weight, self._options.floor, self._options.cap)
