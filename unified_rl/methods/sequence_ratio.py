"""One importance ratio for a whole response, in place of one for each token: GSPO, LUSPO, GMPO, VESPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative, positive
from unified_rl.methods.base import Inputs, Method
from unified_rl.methods.composition import Clipped, PolicyGradient

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.gates import Factors


@dataclass
class Gspo(Clipped):
    """The clip is that of the geometric mean of the tokens' ratios, which moves far less than they do: its bounds are near 1."""

    name: str = "gspo"
    ratio: str = "geometric"
    clip_low: float | None = 3e-4
    clip_high: float | None = 4e-4
    unit: ClassVar[str] = "sequence"
    formula: ClassVar[str] = "s 1[s not clipped] (r - mean)/std, s = exp(mean over the response of log(pi/pi_old))"
    equation: ClassVar[str] = "arXiv 2507.18071"


@dataclass
class Gmpo(PolicyGradient):
    """The geometric mean of the tokens' ratios, each clipped by itself, in log space, on the side that the advantage pushes to.

    clip_low, clip_high: how far a log ratio may go down and up.
    """

    name: str = "gmpo"
    clip_low: float = 0.4
    clip_high: float = 0.4
    unit: ClassVar[str] = "sequence"
    formula: ClassVar[str] = "exp(mean of clipped log rho) 1[log rho not clipped] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2507.20673"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.clip_low", self.clip_low)
        positive("coefficient.clip_high", self.clip_high)

    def describe(self, supervision: str) -> str:
        return super().describe(supervision).replace("rho", "exp(mean of clipped log rho)", 1)

    def gate_in_words(self) -> str:
        return f"1[log rho not clipped to {-self.clip_low:g}, {self.clip_high:g}]"

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.geometric_of_clipped(log_ratio, inputs.response_mask_BT, advantages_BT, self.clip_low, self.clip_high)


@dataclass
class Vespo(PolicyGradient):
    """A smooth weight of the response's whole ratio W, which nothing differentiates; its two numbers depend on the sign of A.

    power_positive, decay_positive: k and lambda where A > 0. power_negative, decay_negative: where A < 0.
    """

    name: str = "vespo"
    ratio: str = "product"
    power_positive: float = 2.0
    decay_positive: float = 3.0
    power_negative: float = 3.0
    decay_negative: float = 2.0
    unit: ClassVar[str] = "sequence"
    formula: ClassVar[str] = (
        "phi(W) (r - mean)/std, phi(W) = W^k e^(lambda (1 - W)), W = product over the response of pi/pi_old"
    )
    equation: ClassVar[str] = "arXiv 2602.10693"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("power_positive", "decay_positive", "power_negative", "decay_negative"):
            not_negative(f"coefficient.{name}", getattr(self, name))

    def describe(self, supervision: str) -> str:
        return super().describe(supervision).replace("W A", "phi(W) A", 1) + ", phi(W) = W^k e^(lambda (1 - W))"

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.gamma_weighted(
            log_ratio,
            advantages_BT,
            (self.power_positive, self.decay_positive),
            (self.power_negative, self.decay_negative),
        )


COEFFICIENTS = (Gspo, Gmpo, Vespo)
ROWS = {
    "gspo": Method("online_samples", "rule", "outcome", "gspo", "GSPO"),
    # GSPO summed over tokens: long responses weigh as much per token as short ones.
    "luspo": Method(
        "online_samples", "rule", "outcome", "gspo", "LUSPO", aggregation="constant_length", equation="TRL, loss_type=luspo"
    ),
    "gmpo": Method("online_samples", "rule", "outcome", "gmpo", "GMPO"),
    "vespo": Method("online_samples", "rule", "outcome", "vespo", "VESPO", aggregation="batch_token_mean"),
}
