"""Policy gradients whose baseline comes from beyond the group, so that one response to a prompt is enough: ReMax, A*-PO, SPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import between, one_of, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given, with_advantages
from unified_rl.methods.composition import Clipped, PolicyGradient
from unified_rl.methods.options import WHITENINGS

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


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


@dataclass
class OptimalAdvantage(Coefficient):
    """Least squares: beta times the log-ratio to the reference is to be r - V*, which it is under the policy that is best.

    V* of a prompt is estimated once, from the rewards of stored samples of the reference (`source.samples_per_prompt`). The minimum
    is the same whoever sampled, so that no ratio is needed.

    value_beta: beta_1, at which V* is taken. beta: beta_2, weight of the KL to the reference in the regression.
    """

    name: str = "astar_po"
    value_beta: float = 0.5
    beta: float = 0.001
    unit: ClassVar[str] = "sequence"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "reference_rewards", "samples"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "2 beta (r - V* - beta sum log(pi/pi_ref)), V* = value_beta log mean exp(r/value_beta) of the reference's samples"
    )
    equation: ClassVar[str] = "arXiv 2505.20686"

    def __post_init__(self) -> None:
        positive("coefficient.value_beta", self.value_beta)
        positive("coefficient.beta", self.beta)

    def prepare(self, inputs: Inputs) -> Inputs:
        values_B = ops.advantages.optimal_values(inputs.reference_rewards_BN, self.value_beta)
        return with_advantages(inputs, inputs.rewards_B - values_B)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        apart_B = ops.preferences.summed_log_ratio(logp_BT, given(inputs.ref_logp_BT), inputs.response_mask_BT)
        scale = logp_BT.new_full((), 2 * self.beta)
        pull = ops.terms.term(scale=-self.beta * scale, log_ratio=apart_B[:, None].expand_as(logp_BT))
        return {"advantage": ops.terms.term(scale=scale, advantage=given(inputs.advantages_BT)), "pull": pull}


@dataclass
class SingleStream(Clipped):
    """The baseline is what the run believes of the prompt from earlier rollouts; whitened over the batch's responses.

    drift_half, kept_least, kept_most: of earlier rewards the share 2^(-D/drift_half), held within kept_least and kept_most, counts
    on, D being how far the policy has moved since it last answered the prompt, in nats per token. over_batch: how the advantages
    are whitened: population | sample (ddof 1) | none.
    """

    name: str = "spo"
    baseline: str = "none"
    std: str = "none"
    std_epsilon: float = 1e-8
    clip_high: float | None = 0.28
    dual_clip: float | None = 10.0
    over_batch: str = "sample"
    drift_half: float = 0.06
    kept_least: float = 0.875
    kept_most: float = 0.96
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "samples", "tracked_value"})
    formula: ClassVar[str] = "rho 1[not clipped] A, A = r - v whitened over the batch, v the prompt's discounted success so far"
    equation: ClassVar[str] = "arXiv 2509.13232"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coefficient.baseline", self.baseline, ("none",))
        one_of("coefficient.std", self.std, ("none",))
        one_of("coefficient.over_batch", self.over_batch, WHITENINGS)
        positive("coefficient.drift_half", self.drift_half)
        between("coefficient.kept_least", self.kept_least, 0.0, 0.9999)
        between("coefficient.kept_most", self.kept_most, self.kept_least, 1.0)

    def advantage_in_words(self, reward: str = "r") -> str:
        return f"{reward} - v(q){'' if self.over_batch == 'none' else ', whitened over the batch'}"

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        return ops.advantages.over_batch(rewards_B - inputs.tracked_value_B, self.over_batch, self.std_epsilon)


COEFFICIENTS = (ReMax, OptimalAdvantage, SingleStream)
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
    # Its loss is a mean over responses of a square of sums over tokens.
    "astar_po": Method(
        "online_samples",
        "rule",
        "outcome",
        "astar_po",
        "A*-PO",
        aggregation="constant_length",
        settings={"source": {"wrappers": ["reference_rewards"]}},
    ),
    # What is believed of a prompt begins with the reference's samples. Without the paper's choice of prompts by that belief.
    "spo": Method(
        "online_samples",
        "rule",
        "outcome",
        "spo",
        "SPO",
        aggregation="batch_token_mean",
        settings={"source": {"wrappers": ["reference_rewards"]}},
    ),
}
