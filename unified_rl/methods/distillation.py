"""Distillation: what a teacher, another model, would rather have written.

On the policy's own samples token by token, as a coefficient; or over the whole vocabulary at each token, as a loss beside any
coefficient's terms: its gradient flows through the whole distribution, and its estimate has no variance from the token drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative, one_of, positive
from unified_rl.methods.base import Coefficient, Inputs, Method
from unified_rl.methods.other_gates import drift_term

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class OnPolicyDistillation(Coefficient):
    """The reverse KL to a teacher on the policy's own samples; it needs no reward.

    credit: token, what the teacher would rather have there; or to_go, the sum over a token's own and later ones, with which the
    gradient is that of the whole response's KL (MiniLLM). ratio: to the policy before the rollout's first update: none | token.
    fall: a token is dropped once its probability has fallen by more than this (a one-sided trust region). squared_drift: tau of a
    further term -2 tau log(pi/pi_old), which pulls back to the policy that sampled.
    """

    name: str = "opd"
    credit: str = "token"
    ratio: str = "none"
    fall: float | None = None
    squared_drift: float = 0.0
    needs: ClassVar[frozenset[str]] = frozenset({"teacher_logp", "samples"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = "log pi_T - log pi"
    equation: ClassVar[str] = "arXiv 2306.08543"

    def __post_init__(self) -> None:
        one_of("coefficient.credit", self.credit, ("token", "to_go"))
        one_of("coefficient.ratio", self.ratio, ("none", "token"))
        not_negative("coefficient.squared_drift", self.squared_drift)
        if self.fall is not None:
            positive("coefficient.fall", self.fall)
        if self.ratio != "none":
            vars(self)["corrects_staleness"] = True

    def describe(self, supervision: str) -> str:
        ratio = "" if self.ratio == "none" else "rho "
        kept = "" if self.fall is None else f"1[pi - pi_old >= -{self.fall:g}] "
        credit = "(log pi_T - log pi)" if self.credit == "token" else "sum over s >= t of (log pi_T - log pi)"
        drift = f" - {2 * self.squared_drift:g} log(pi/pi_old)" if self.squared_drift else ""
        words = f"{ratio}{kept}{credit}{drift}"
        return self.formula if words == "(log pi_T - log pi)" else words

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        old_logp_BT, wanted_BT = inputs.old_or(logp_BT), inputs.teacher_logp_BT - logp_BT
        if self.credit == "to_go":
            wanted_BT = ops.advantages.to_go(wanted_BT, inputs.response_mask_BT)
        factors = {"log_ratio": wanted_BT}
        if self.ratio == "token":
            factors["importance_weight"] = ops.ratios.bounded(logp_BT - old_logp_BT).exp()
        if self.fall is not None:
            factors["not_clipped"] = (logp_BT.exp() - old_logp_BT.exp() >= -self.fall).to(logp_BT)
        found = {"distillation": ops.terms.term(**factors)}
        if self.squared_drift:
            found["drift"] = drift_term(logp_BT, old_logp_BT, 2 * self.squared_drift)
        return found


@dataclass
class Divergence(Coefficient):
    """No term of its own: a divergence from the teacher over the whole vocabulary, one of `losses`, is all there is."""

    name: str = "gkd"
    needs: ClassVar[frozenset[str]] = frozenset({"jsd"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    any_sampler: ClassVar[bool] = True
    reads_reward: ClassVar[bool] = False
    by_losses: ClassVar[bool] = True
    formula: ClassVar[str] = "0: its losses are all there is"
    equation: ClassVar[str] = "arXiv 2306.13649"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return {"none": ops.terms.term(none=logp_BT.new_zeros(()))}


def reverse_kl(outputs: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """KL(pi || pi_T) of each token's distributions, [b, T], in nats: the policy leaves what the teacher would not write.

    Source: MiniLLM (arXiv 2306.08543), Eq. 2, token by token; on samples of the policy that is GKD's reverse KL (2306.13649).
    """
    return outputs["reverse_kl"]


def forward_kl(outputs: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """KL(pi_T || pi) of each token's distributions, [b, T], in nats: the policy covers what the teacher would write.

    Source: Hinton et al. (arXiv 1503.02531), on sequences Kim and Rush (1606.07947).
    """
    return outputs["forward_kl"]


def generalised_jsd(outputs: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """(1 - b) KL(pi || m) + b KL(pi_T || m) of each token's distributions, m = (1 - b) pi + b pi_T, [b, T], in nats.

    b is `jsd_beta`: divided by b it tends to KL(pi_T || pi) as b goes to 0, and divided by 1 - b to KL(pi || pi_T) as b goes to 1.
    Source: GKD (arXiv 2306.13649), Eq. 1.
    """
    return outputs["jsd"]


COEFFICIENTS = (OnPolicyDistillation, Divergence)
ROWS = {
    "opd": Method("online_samples", "none", "none", "opd", "On-policy distillation"),
    # The sequence's KL is a sum over tokens: no 1/|o|.
    "minillm": Method(
        "online_samples",
        "none",
        "none",
        "opd",
        "MiniLLM",
        aggregation="constant_length",
        settings={"coefficient": {"credit": "to_go"}},
    ),
    # On the policy's samples alone (lambda = 1), as its main results are.
    "gkd": Method("online_samples", "none", "none", "gkd", "GKD", settings={"losses": {"teacher_jsd": 1.0}}),
}
