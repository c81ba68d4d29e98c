"""Likelihood of given texts: SFT, DFT, RFT and Online RFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import one_of
from unified_rl.methods.base import Coefficient, Inputs, Method

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Sft(Coefficient):
    name: str = "sft"
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    constant: ClassVar[bool] = True
    any_sampler: ClassVar[bool] = True
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = "1"
    equation: ClassVar[str] = "Eq. 7"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.sft(inputs.response_mask_BT, logp_BT.dtype)


@dataclass
class Rft(Coefficient):
    """The accepted responses' likelihood.

    by: judgement (the paper: 1 for what is accepted) | reward (the reward itself, as a correction for a judge's errors sets it).
    """

    name: str = "rft"
    by: str = "judgement"
    any_sampler: ClassVar[bool] = True
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = "I(o): 1 if the answer is right, else 0"
    equation: ClassVar[str] = "Eq. 10"

    def __post_init__(self) -> None:
        one_of("coefficient.by", self.by, ("judgement", "reward"))
        if self.by == "reward":
            vars(self)["reads_reward"] = True

    def describe(self, supervision: str) -> str:
        return self.formula if self.by == "judgement" else "r"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.rft((inputs.correct_B if self.by == "judgement" else inputs.rewards_B).to(logp_BT))


@dataclass
class Dft(Coefficient):
    """SFT whose tokens weigh their own probability, which nothing differentiates: what is unlikely is not forced."""

    name: str = "dft"
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    any_sampler: ClassVar[bool] = True
    reads_reward: ClassVar[bool] = False
    formula: ClassVar[str] = "pi"
    equation: ClassVar[str] = "arXiv 2508.05629"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return {"likelihood": ops.terms.term(probability=logp_BT.exp())}


COEFFICIENTS = (Sft, Rft, Dft)
ROWS = {
    # 256 demonstrations per step match the tokens of 32 x 8 responses.
    "sft": Method(
        "demonstrations",
        "none",
        "none",
        "sft",
        "SFT (continued)",
        settings={"rollout": {"prompts_per_step": 256, "responses_per_prompt": 1}},
    ),
    "dft": Method(
        "demonstrations",
        "none",
        "none",
        "dft",
        "DFT",
        settings={"rollout": {"prompts_per_step": 256, "responses_per_prompt": 1}},
    ),
    "rft": Method("offline_samples", "rule", "outcome", "rft", "RFT"),
    "online_rft": Method("online_samples", "rule", "outcome", "rft", "Online RFT"),
}
