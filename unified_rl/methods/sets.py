"""Set-level objectives: what a group of responses reaches together, its best or any right one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import at_least
from unified_rl.methods.base import Inputs, Method
from unified_rl.methods.composition import Clipped

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class BestOfGroup(Clipped):
    """Only the best response of a group, by its lead over the second best: what a group's maximum gains from it."""

    name: str = "best_of_group"
    formula: ClassVar[str] = "rho 1[not clipped] (r - second best)/std of the group's best response, else 0"
    equation: ClassVar[str] = "arXiv 2503.19595"

    def advantage_in_words(self, reward: str = "r") -> str:
        return f"({reward} - second best){'' if self.std == 'none' else '/std'} of the group's best response, else 0"

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        lead_B = ops.advantages.best_over_second(rewards_B, inputs.group_B)
        return ops.advantages.over_std(lead_B, rewards_B, inputs.group_B, self.std, self.std_epsilon)


@dataclass
class PassAtK(Clipped):
    """That one of k responses is right, over all subsets of k of a group; `baseline` and `std` are the objective's own.

    k: responses of a subset, at most those of a group.
    """

    name: str = "pass_at_k"
    k: int = 4
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = (
        "rho 1[not clipped] A, A = (1 - R)/sigma if right, (1 - R - C(w-1, k-1)/C(n-1, k-1))/sigma if wrong"
    )
    equation: ClassVar[str] = "arXiv 2508.10751"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("coefficient.k", self.k, 1)

    def advantage_in_words(self, reward: str = "r") -> str:
        return (
            f"(1 - R)/sigma if right, (1 - R - C(w-1, {self.k - 1})/C(n-1, {self.k - 1}))/sigma if wrong, "
            f"R = 1 - C(w, {self.k})/C(n, {self.k}), sigma = sqrt(R (1 - R)), w of n wrong"
        )

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        return ops.sets.pass_at_k(inputs.correct_B.to(rewards_B), inputs.group_B, self.k)


@dataclass
class MaxAtK(Clipped):
    """The best reward of k responses, over all subsets of k of a group: a response counts by how much it raises the best.

    k: responses of a subset, at most those of a group.
    """

    name: str = "pkpo"
    k: int = 4
    formula: ClassVar[str] = (
        "rho 1[not clipped] A, A = k x mean over the subsets S of k with o of [max of S - max of S without o]"
    )
    equation: ClassVar[str] = "arXiv 2505.15201, Eq. 33"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("coefficient.k", self.k, 2)

    def advantage_in_words(self, reward: str = "r") -> str:
        return f"{self.k} x mean over the subsets S of {self.k} with o of [max {reward} of S - max {reward} of S without o]"

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        return ops.sets.max_at_k(rewards_B, inputs.group_B, self.k)


COEFFICIENTS = (BestOfGroup, PassAtK, MaxAtK)
ROWS = {
    "best_of_group": Method("online_samples", "rule", "outcome", "best_of_group", "Best of the group"),
    "pass_at_k": Method("online_samples", "rule", "outcome", "pass_at_k", "Pass@k training"),
    # Unbiased only without 1/|o|.
    "pkpo": Method("online_samples", "rule", "outcome", "pkpo", "PKPO", aggregation="constant_length"),
}
