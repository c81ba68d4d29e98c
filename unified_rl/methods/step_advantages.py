"""Advantages of single steps: a step's own reward, on each of its tokens, and nothing of the steps around it. VinePPO, TreeRL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from unified_rl import ops
from unified_rl.config.ranges import one_of
from unified_rl.methods.base import Inputs, Method, given
from unified_rl.methods.composition import Clipped


@dataclass
class StepAdvantage(Clipped):
    """PPO without a value model: each token's advantage is the reward of the step that it is in, whitened over the batch's tokens.

    Of rewards that are gains in value (`reward.source=step_values`) that is the one-step advantage of a step as an action, for
    which later rewards need not be added: what they were worth is in the value that the step led to.
    """

    name: str = "step_advantage"
    baseline: str = "none"
    std: str = "none"
    whitening: str = "sample"
    kl_coef: float = 1e-4
    kl_clamp: float | None = 10.0
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"process"})
    formula: ClassVar[str] = "rho 1[not clipped] A + beta (pi_ref/pi - 1), A = r of the token's step, whitened over the batch"
    equation: ClassVar[str] = "arXiv 2410.01679"

    def __post_init__(self) -> None:
        for name in ("baseline", "std"):
            one_of(f"coefficient.{name}", getattr(self, name), ("none",))
        one_of("coefficient.kl_in", self.kl_in, ("loss",))
        super().__post_init__()

    def advantage_in_words(self, reward: str = "r") -> str:
        words = f"{reward} of the token's step"
        return words if self.whitening == "none" else f"{words}, whitened over the batch's tokens"

    def _process(self, inputs: Inputs) -> Inputs:
        steps = given(inputs.step_rewards_BT), given(inputs.step_ends_BT)
        return replace(inputs, advantages_BT=ops.advantages.of_step(*steps, inputs.response_mask_BT))


@dataclass
class TreeAdvantage(StepAdvantage):
    """The same for the responses of a tree search, as they are: not whitened, and without a KL.

    Each token was drawn by the policy in the state that it is in; which states the search went on from is its own choice, and so
    the expectation is over its states, and not over those that the policy would visit.
    """

    name: str = "tree_advantage"
    whitening: str = "none"
    kl_coef: float = 0.0
    kl_clamp: float | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "tree"})
    formula: ClassVar[str] = "rho 1[not clipped] r of the token's step"
    equation: ClassVar[str] = "arXiv 2506.11902"

    def _follow_options(self) -> None:
        super()._follow_options()
        vars(self)["needs"] = self.needs | {"groups"}


COEFFICIENTS = (StepAdvantage, TreeAdvantage)
ROWS = {
    # Clip 0.2 and two passes over each rollout, as PPO there.
    "vine_ppo": Method(
        "online_samples",
        "step_values",
        "process",
        "step_advantage",
        "VinePPO",
        aggregation="batch_token_mean",
        settings={"rollout": {"epochs": 2}},
    ),
    # Of TreeRL the step rewards; its branching by entropy and its weights 1/sqrt(leaves) are not here.
    "tree_rl": Method("tree_search", "node_values", "process", "tree_advantage", "TreeRL"),
}
