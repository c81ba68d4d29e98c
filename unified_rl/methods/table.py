"""THE table: name -> Method(data source, reward, gradient coefficient). No torch.

    grad J = E_{(q, o) ~ source} [ 1/|o| sum_t  GC(q, o, t, reward)  grad log pi(o_t | q, o_<t) ]        (Eq. 5)

A method is a row. Any other combination of the three columns is configured (`method=grpo source=offline_samples`), and
`presets.rules.check` refuses the ones that mean nothing, with the reason and the remedy. Rows and coefficients stand in the
files of their families.
"""

from __future__ import annotations

from unified_rl.methods import (
    critic,
    distillation,
    likelihood,
    other_gates,
    policy_gradient,
    preference,
    reference_free,
    selected_tokens,
    sequence_ratio,
)
from unified_rl.methods.base import Coefficient, Method
from unified_rl.sources.registry import SOURCES

FAMILIES = (
    likelihood,
    preference,
    reference_free,
    critic,
    policy_gradient,
    sequence_ratio,
    other_gates,
    selected_tokens,
    distillation,
)
METHODS: dict[str, Method] = {name: row for family in FAMILIES for name, row in family.ROWS.items()}
COEFFICIENTS: dict[str, type[Coefficient]] = {
    coefficient.name: coefficient for family in FAMILIES for coefficient in family.COEFFICIENTS
}
#: What a configuration is of that names no method.
DEFAULT = policy_gradient.DEFAULT


def table() -> list[dict[str, str]]:
    """The table as plain rows, for `unified-rl methods` and for figures."""
    return [
        {
            "method": name,
            "label": method.label,
            "source": method.source,
            "source_in_words": SOURCES[method.source].in_words,
            "reward": method.reward,
            "supervision": method.supervision,
            "coefficient": method.coefficient,
            "formula": COEFFICIENTS[method.coefficient].formula,
            "equation": COEFFICIENTS[method.coefficient].equation,
        }
        for name, method in METHODS.items()
    ]
