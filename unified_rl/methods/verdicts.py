"""Policy gradients whose advantage is the verdict itself, right or wrong: PSR, NSR, W-REINFORCE, RAFT++, Reinforce-Rej."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl.config.ranges import not_negative
from unified_rl.methods.base import Inputs, Method
from unified_rl.methods.composition import Clipped

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Signed(Clipped):
    """By the verdict alone: `right` for a right response, -`wrong` for any other. PSR is 1, 0; NSR 0, 1; W-REINFORCE 0.1, 1.

    right: coefficient of a right response. wrong: of any other, with a minus.
    """

    name: str = "signed"
    ratio: str = "none"
    right: float = 0.1
    wrong: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    corrects_staleness: ClassVar[bool] = False
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = "right 1[right] - wrong 1[wrong]"
    equation: ClassVar[str] = "arXiv 2506.01347"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("coefficient.right", self.right)
        not_negative("coefficient.wrong", self.wrong)

    def advantage_in_words(self, reward: str = "r") -> str:
        return f"{self.right:g} if right, {0 - self.wrong:g} if wrong"

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        right_B = inputs.correct_B.to(rewards_B)
        return self.right * right_B - self.wrong * (1 - right_B)


COEFFICIENTS = (Signed,)
ROWS = {
    "psr": Method(
        "online_samples",
        "rule",
        "outcome",
        "signed",
        "PSR",
        settings={"coefficient": {"right": 1.0, "wrong": 0.0}},
    ),
    "nsr": Method(
        "online_samples",
        "rule",
        "outcome",
        "signed",
        "NSR",
        settings={"coefficient": {"right": 0.0, "wrong": 1.0}},
    ),
    "w_reinforce": Method("online_samples", "rule", "outcome", "signed", "W-REINFORCE"),
    "raft_pp": Method(
        "online_samples",
        "rule",
        "outcome",
        "signed",
        "RAFT++",
        settings={"coefficient": {"right": 1.0, "wrong": 0.0, "ratio": "token"}},
        equation="arXiv 2504.11343",
    ),
    # REINFORCE on the groups that are neither all right nor all wrong.
    "reinforce_rej": Method(
        "informative_samples",
        "rule",
        "outcome",
        "signed",
        "Reinforce-Rej",
        settings={"coefficient": {"right": 1.0, "wrong": 1.0}},
        equation="arXiv 2504.11343",
    ),
}
