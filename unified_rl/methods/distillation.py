"""Distillation: what a teacher, another model, would rather have written.

On the policy's own samples token by token, as a coefficient; or over the whole vocabulary at each token, as a loss beside any
coefficient's terms: its gradient flows through the whole distribution, and its estimate has no variance from the token drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.methods.base import Coefficient, Inputs, Method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class OnPolicyDistillation(Coefficient):
    """The reverse KL to a teacher on the policy's own samples, token by token; it needs no reward."""

    name: str = "opd"
    needs: ClassVar[frozenset[str]] = frozenset({"teacher_logp", "samples"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    formula: ClassVar[str] = "log pi_T - log pi"
    equation: ClassVar[str] = "arXiv 2306.08543"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return {"distillation": ops.terms.term(log_ratio=inputs.teacher_logp_BT - logp_BT)}


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


COEFFICIENTS = (OnPolicyDistillation,)
ROWS = {"opd": Method("online_samples", "none", "none", "opd", "On-policy distillation")}
