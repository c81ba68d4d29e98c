"""Distillation: what a teacher, another model, would rather have written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.methods.base import Coefficient, Inputs, Method

if TYPE_CHECKING:
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


COEFFICIENTS = (OnPolicyDistillation,)
ROWS = {"opd": Method("online_samples", "none", "none", "opd", "On-policy distillation")}
