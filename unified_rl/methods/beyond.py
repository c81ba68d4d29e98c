"""Policy gradients whose baseline comes from beyond the group, so that one response to a prompt is enough: ReMax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl.config.ranges import one_of
from unified_rl.methods.base import Inputs, Method
from unified_rl.methods.composition import PolicyGradient

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class ReMax(PolicyGradient):
    """The reward of the greedy response to the same prompt is the baseline. Exactly on policy: no ratio."""

    name: str = "remax"
    baseline: str = "none"
    std: str = "none"
    ratio: str = "none"
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "greedy_reward"})
    corrects_staleness: ClassVar[bool] = False
    formula: ClassVar[str] = "r - r(greedy)"
    equation: ClassVar[str] = "arXiv 2310.10505"

    def __post_init__(self) -> None:
        one_of("coefficient.baseline", self.baseline, ("none",))
        super().__post_init__()

    def advantage_in_words(self, reward: str = "r") -> str:
        compared = f"{reward} - r(greedy)"
        return super().advantage_in_words(compared if self.std == "none" else f"({compared})")

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        return super().advantages(rewards_B - inputs.greedy_reward_B, inputs)


COEFFICIENTS = (ReMax,)
ROWS = {
    # Sums over tokens, as the estimator has them: constant_length leaves only a constant factor.
    "remax": Method(
        "online_samples",
        "rule",
        "outcome",
        "remax",
        "ReMax",
        aggregation="constant_length",
        settings={"source": {"wrappers": ["greedy"]}},
    ),
}
