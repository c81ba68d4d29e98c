"""Other gates than PPO's clip between ratio and advantage: a cap, a soft gate, trust regions on probabilities, a pull back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative, one_of, positive
from unified_rl.methods.base import Inputs, Method
from unified_rl.methods.composition import PolicyGradient

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.gates import Factors
    from unified_rl.ops.terms import Term, Terms


@dataclass
class Cispo(PolicyGradient):
    """The ratio is a constant weight, clipped to 1 - clip_low, 1 + clip_high, so that no token loses its gradient.

    clip_low, clip_high: how far below and above 1 the weight may go.
    """

    name: str = "cispo"
    clip_low: float = 1.0
    clip_high: float = 4.0
    formula: ClassVar[str] = "clip(rho, 1 - clip_low, 1 + clip_high) (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2506.13585"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.clip_low", self.clip_low)
        positive("coefficient.clip_high", self.clip_high)

    def gate_in_words(self) -> str:
        return f"clipped to {max(1 - self.clip_low, 0):g}, {1 + self.clip_high:g}, times"

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.capped(log_ratio.exp(), advantages_BT, self.clip_low, self.clip_high)


@dataclass
class Sapo(PolicyGradient):
    """A gate that closes smoothly with the ratio's distance from 1, more sharply for negative advantages.

    temperature_positive, temperature_negative: sharpness tau of the gate by the sign of the advantage.
    """

    name: str = "sapo"
    temperature_positive: float = 1.0
    temperature_negative: float = 1.05
    formula: ClassVar[str] = "rho 4 s (1 - s) (r - mean)/std, s = sigmoid(tau (rho - 1)), tau by the sign of A"
    equation: ClassVar[str] = "arXiv 2511.20347"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.temperature_positive", self.temperature_positive)
        positive("coefficient.temperature_negative", self.temperature_negative)

    def gate_in_words(self) -> str:
        return "4 g (1 - g), g = sigmoid(tau (rho - 1)),"

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.soft(log_ratio.exp(), advantages_BT, self.temperature_positive, self.temperature_negative)


@dataclass
class TrustRegion(PolicyGradient):
    """A token is dropped once its probability, and not its ratio, has moved too far.

    divergence: total_variation (|pi - pi_old|, outwards by the sign of A) | binary_kl (of token against not token, outwards) |
    both_sides (|pi - pi_old|, whatever A). bound_low, bound_high: of it, downwards and upwards. cap: largest ratio.
    squared_drift: tau of a further term -2 tau log(pi/pi_old), which pulls back to the old policy.
    """

    name: str = "dppo"
    divergence: str = "total_variation"
    bound_low: float = 0.2
    bound_high: float = 0.2
    cap: float = 20.0
    squared_drift: float = 0.0
    formula: ClassVar[str] = "min(rho, cap) 1[the divergence of pi from pi_old is within bounds, or shrinks] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2602.04879"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coefficient.divergence", self.divergence, ("total_variation", "binary_kl", "both_sides"))
        for name in ("bound_low", "bound_high", "cap"):
            positive(f"coefficient.{name}", getattr(self, name))
        not_negative("coefficient.squared_drift", self.squared_drift)

    def gate_in_words(self) -> str:
        kept = {
            "total_variation": f"-{self.bound_low:g} <= pi - pi_old <= {self.bound_high:g}, or on the way back",
            "binary_kl": f"KL(pi_old, pi) of the token <= {self.bound_low:g}, {self.bound_high:g}, or on the way back",
            "both_sides": f"-{self.bound_low:g} <= pi - pi_old <= {self.bound_high:g}",
        }[self.divergence]
        return f"1[{kept}]"

    def ratio_in_words(self) -> str:
        ratio = super().ratio_in_words()
        return f"min({ratio}, {self.cap:g})" if ratio else ""

    def pull_in_words(self) -> str:
        return f" - {2 * self.squared_drift:g} log(pi/pi_old)" if self.squared_drift else ""

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        kept = {
            "total_variation": ops.gates.within_total_variation,
            "binary_kl": ops.gates.within_binary_kl,
            "both_sides": ops.gates.within_both_sides,
        }[self.divergence]
        bounds = self.bound_low, self.bound_high, self.cap
        return kept(log_ratio.exp(), logp_BT, inputs.old_or(logp_BT), advantages_BT, *bounds)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        found = super().terms(logp_BT, inputs)
        if self.squared_drift:
            found["drift"] = drift_term(logp_BT, inputs.old_or(logp_BT), 2 * self.squared_drift)
        return found


@dataclass
class Drpo(PolicyGradient):
    """Trust regions that lean: what moves further out counts less, what comes back counts more, without a threshold.

    delta: change of a token's probability at which the weight of what moves out is zero.
    """

    name: str = "drpo"
    delta: float = 0.2
    formula: ClassVar[str] = "rho (1 - sign(A (rho - 1)) |pi - pi_old|/delta) (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2606.09821"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.delta", self.delta)

    def gate_in_words(self) -> str:
        return f"(1 - sign(A (rho - 1)) |pi - pi_old|/{self.delta:g})"

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.leaning(log_ratio.exp(), logp_BT, inputs.old_or(logp_BT), advantages_BT, self.delta)


@dataclass
class Dro(PolicyGradient):
    """The advantage, and a quadratic penalty on the distance to the policy that sampled; no ratio.

    drift: weight of the penalty.
    """

    name: str = "dro"
    ratio: str = "none"
    drift: float = 0.1
    pulls_back: ClassVar[bool] = True
    formula: ClassVar[str] = "(r - mean)/std - drift log(pi/pi_old)"
    equation: ClassVar[str] = "arXiv 2405.19107, as verl has it"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.drift", self.drift)

    def describe(self, supervision: str) -> str:
        return f"A - {self.drift:g} log(pi/pi_old), {self.where_in_words(supervision)}"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        drift = drift_term(logp_BT, inputs.old_or(logp_BT), self.drift)
        return {**super().terms(logp_BT, inputs), "drift": drift}


@dataclass
class Kimi(PolicyGradient):
    """The centred reward, and a quadratic penalty on the log-ratio of the whole response to the policy that sampled; no ratio.

    drift: tau, the penalty's weight, up to the scale of the objective.
    """

    name: str = "kimi"
    std: str = "none"
    ratio: str = "none"
    drift: float = 0.1
    unit: ClassVar[str] = "sequence"
    pulls_back: ClassVar[bool] = True
    formula: ClassVar[str] = "r - mean - drift sum log(pi/pi_old)"
    equation: ClassVar[str] = "arXiv 2501.12599, Eq. 3"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.drift", self.drift)

    def describe(self, supervision: str) -> str:
        return f"A - {self.drift:g} sum log(pi/pi_old), {self.where_in_words(supervision)}"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        apart_B = ops.preferences.summed_log_ratio(logp_BT, inputs.old_or(logp_BT), inputs.response_mask_BT)
        drift = ops.terms.term(drift_coef=logp_BT.new_full((), -self.drift), log_ratio=apart_B[:, None].expand_as(logp_BT))
        return {**super().terms(logp_BT, inputs), "drift": drift}


def drift_term(logp_BT: Tensor, old_logp_BT: Tensor, weight: float) -> Term:
    """-weight log(pi / pi_old): of a penalty weight/2 log^2 in the loss."""
    return ops.terms.term(drift_coef=logp_BT.new_full((), -weight), log_ratio=logp_BT - old_logp_BT)


COEFFICIENTS = (Cispo, Sapo, TrustRegion, Drpo, Dro, Kimi)
ROWS = {
    "cispo": Method("online_samples", "rule", "outcome", "cispo", "CISPO", aggregation="batch_token_mean"),
    "sapo": Method("online_samples", "rule", "outcome", "sapo", "SAPO"),
    "dppo_tv": Method("online_samples", "rule", "outcome", "dppo", "DPPO (TV)", aggregation="batch_token_mean"),
    "dppo_kl": Method(
        "online_samples",
        "rule",
        "outcome",
        "dppo",
        "DPPO (KL)",
        aggregation="batch_token_mean",
        settings={"coefficient": {"divergence": "binary_kl", "bound_low": 0.05, "bound_high": 0.05}},
    ),
    "drpo": Method("online_samples", "rule", "outcome", "drpo", "DRPO"),
    "dro": Method("online_samples", "rule", "outcome", "dro", "DRO", aggregation="batch_token_mean"),
    # Sums over tokens, as the objective has them.
    "kimi": Method("online_samples", "rule", "outcome", "kimi", "Kimi k1.5", aggregation="constant_length"),
    # Without the paper's replay of the sampler's kept support.
    "deepseek_v32": Method(
        "online_samples",
        "rule",
        "outcome",
        "grpo",
        "DeepSeek-V3.2",
        settings={"coefficient": {"kl_estimator": "weighted_k3", "off_policy_delta": 0.1}},
        equation="arXiv 2512.02556",
    ),
}
