"""What a coefficient of one's own is made of: `Coefficient`, `Inputs`, `Terms`, `term`, and the coefficients of the table by class.

To add one, inherit `Coefficient` in a dataclass, and name it by path (`coefficient=my_file.py:MyCoefficient`); or bring a whole
objective:

    my_loss = coefficient_from_objective(lambda logp_BT, inputs: ...)      # scalar to maximise; `coefficient=my_file.py:my_loss`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from unified_rl.methods.base import Coefficient, Inputs
from unified_rl.methods.table import COEFFICIENTS
from unified_rl.ops import coefficients
from unified_rl.ops.terms import Terms, term

__all__ = ["Coefficient", "Inputs", "Terms", "coefficient_from_objective", "term"]


def __getattr__(name: str) -> type[Coefficient]:
    """A coefficient of the table, for a file that changes one of ours: `class Mine(coefficients.Grpo)`."""
    for found in COEFFICIENTS.values():
        if found.__name__ == name:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def coefficient_from_objective(
    objective: Callable[[Tensor, Inputs], Tensor],
    *,
    needs: frozenset[str] = frozenset(),
    formula: str = "dJ / dlogp by autograd",
) -> type[Coefficient]:
    """A coefficient from any differentiable objective of the token log-probs.

    Args:
        objective: maps (logp_BT, inputs) of a whole update to the scalar to be maximised. It contains its own averaging, so its
            derivative is aggregation weight times coefficient, and `aggregation` has no say.
        needs: further inputs it reads: signals ("ref_logp", "old_logp", "values", "entropy"), "pairs", "groups".
        formula: how `methods` and `explain` print it.
    """

    @dataclass
    class FromObjective(Coefficient):
        name: str = "from_objective"

        def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
            return coefficients.from_objective(lambda leaf: objective(leaf, inputs), logp_BT)

    FromObjective.unit = "batch"
    FromObjective.needs = needs
    FromObjective.supervisions = frozenset({"none", "outcome", "process"})
    FromObjective.corrects_staleness = "old_logp" in needs
    FromObjective.contains_weights = True
    FromObjective.formula = formula
    return FromObjective
