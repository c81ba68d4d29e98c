"""THE table: name -> Method(data source, reward, gradient coefficient). No torch.

    grad J = E_{(q, o) ~ source} [ 1/|o| sum_t  GC(q, o, t, reward)  grad log pi(o_t | q, o_<t) ]        (Eq. 5)

A method is a row. Any other combination of the three columns is configured (`method=grpo source=offline_samples`), and
`presets.rules.check` refuses the ones that mean nothing, with the reason and the remedy. Rows and coefficients stand in the
files of their families.
"""

from __future__ import annotations

from types import ModuleType

from unified_rl.methods import (
    beyond,
    critic,
    demonstrated,
    distillation,
    likelihood,
    other_gates,
    policy_gradient,
    preference_likelihoods,
    preference_margins,
    preference_scores,
    selected_tokens,
    sequence_ratio,
    sets,
    step_advantages,
    verdicts,
)
from unified_rl.methods.base import Coefficient, Method
from unified_rl.sources.registry import declared
from unified_rl.sources.settings import SourceConfig

#: Family -> (heading, the files of its rows).
FAMILIES: dict[str, tuple[str, tuple[ModuleType, ...]]] = {
    "likelihood": ("Likelihood of given texts", (likelihood,)),
    "preferences": (
        "Preferences: a score of each response, and a link of the two",
        (preference_margins, preference_likelihoods, preference_scores),
    ),
    "critic": ("Advantages from a learned value model", (critic,)),
    "policy_gradient": ("Policy gradients with PPO's clip, or without a ratio", (policy_gradient, verdicts)),
    "beyond": ("Baselines from beyond the group", (beyond,)),
    "steps": ("Advantages of single steps", (step_advantages,)),
    "sequence_ratio": ("One ratio for a whole response", (sequence_ratio,)),
    "sets": ("What a group of responses reaches together", (sets,)),
    "gates": ("Other gates than PPO's clip", (other_gates,)),
    "tokens": ("Tokens chosen over a whole update", (selected_tokens,)),
    "demonstrated": ("Demonstrations beside the policy's own samples", (demonstrated,)),
    "distillation": ("Distillation from a teacher", (distillation,)),
}
FILES = [file for _, files in FAMILIES.values() for file in files]
METHODS: dict[str, Method] = {name: row for file in FILES for name, row in file.ROWS.items()}
COEFFICIENTS: dict[str, type[Coefficient]] = {one.name: one for file in FILES for one in file.COEFFICIENTS}
#: What a configuration is of that names no method.
DEFAULT = policy_gradient.DEFAULT


def table() -> list[dict[str, str]]:
    """The table as plain rows, for `unified-rl methods` and for figures: each with its own settings in its formula."""
    return [
        _as_words(family, name, row)
        for family, (_, files) in FAMILIES.items()
        for file in files
        for name, row in file.ROWS.items()
    ]


def _as_words(family: str, name: str, method: Method) -> dict[str, str]:
    options = COEFFICIENTS[method.coefficient](**{"name": method.coefficient, **method.settings.get("coefficient", {})})
    return {
        "family": family,
        "method": name,
        "label": method.label,
        "source": method.source,
        "source_in_words": declared(SourceConfig(name=method.source, **method.settings.get("source", {}))).in_words,
        "reward": method.reward,
        "supervision": method.supervision,
        "coefficient": method.coefficient,
        "formula": options.describe(method.supervision),
        "equation": method.equation or options.equation,
    }
