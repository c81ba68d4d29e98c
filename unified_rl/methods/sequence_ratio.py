"""One importance ratio for a whole response, in place of one for each token: GSPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given, with_advantages

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Gspo(Coefficient):
    """The clip is that of the geometric mean of the tokens' ratios, which moves far less than they do: its bounds are near 1."""

    name: str = "gspo"
    clip_low: float = 3e-4
    clip_high: float = 4e-4
    unit: ClassVar[str] = "sequence"
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "s 1[s not clipped] (r - mean)/std, s = exp(mean over the response of log(pi/pi_old))"
    equation: ClassVar[str] = "arXiv 2507.18071"

    def __post_init__(self) -> None:
        positive("coefficient.clip_low", self.clip_low)
        positive("coefficient.clip_high", self.clip_high)

    def prepare(self, inputs: Inputs) -> Inputs:
        return with_advantages(inputs, ops.advantages.group_normalised(inputs.rewards_B, inputs.group_B))

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        log_ratio_B = ops.preferences.mean_log_ratio(logp_BT, inputs.old_or(logp_BT), inputs.response_mask_BT)
        log_ratio_BT = log_ratio_B[:, None].expand_as(logp_BT)
        return ops.coefficients.clipped_advantage(
            log_ratio_BT,
            log_ratio_BT.new_zeros(()),
            given(inputs.advantages_BT),
            clip_low=self.clip_low,
            clip_high=self.clip_high,
        )


COEFFICIENTS = (Gspo,)
ROWS = {"gspo": Method("online_samples", "rule", "outcome", "gspo", "GSPO")}
