"""Policy gradients with PPO's clip, or without a ratio: GRPO and its variants, RLOO, Dr. GRPO, DAPO, REINFORCE++, MaxRL ..."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import one_of
from unified_rl.methods.base import Inputs, Method, given
from unified_rl.methods.composition import Clipped, PolicyGradient
from unified_rl.methods.options import WHITENINGS

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Grpo(Clipped):
    """The paper's own."""

    name: str = "grpo"
    kl_coef: float = 0.04
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "groups"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    part_in_words: ClassVar[str] = "A"
    formula: ClassVar[str] = "rho 1[not clipped] A + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21"

    def where_in_words(self, supervision: str) -> str:
        if supervision == "process":
            return "A = sum over own and later steps of (r_step - mean)/std, pooled over the group's steps"
        return super().where_in_words(supervision)

    def describe(self, supervision: str) -> str:
        return super().describe(supervision).replace(" A ", f" {self.part_in_words} ", 1)


@dataclass
class GrpoPositives(Grpo):
    """GRPO that only raises likelihoods: the positive part of the advantage, and the KL term as it is."""

    name: str = "grpo_positives"
    part_in_words: ClassVar[str] = "max(A, 0)"
    formula: ClassVar[str] = "rho 1[not clipped] max(A, 0) + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21, positive part"

    def prepare(self, inputs: Inputs) -> Inputs:
        prepared = super().prepare(inputs)
        return replace(prepared, advantages_BT=ops.advantages.positive_part(given(prepared.advantages_BT)))


@dataclass
class GrpoNegatives(Grpo):
    """GRPO that only lowers likelihoods: the negative part of the advantage, and the KL term as it is."""

    name: str = "grpo_negatives"
    part_in_words: ClassVar[str] = "min(A, 0)"
    formula: ClassVar[str] = "rho 1[not clipped] min(A, 0) + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21, negative part"

    def prepare(self, inputs: Inputs) -> Inputs:
        prepared = super().prepare(inputs)
        return replace(prepared, advantages_BT=ops.advantages.negative_part(given(prepared.advantages_BT)))


@dataclass
class GrpoKlInReward(Clipped):
    """GRPO with the KL penalty where PPO has it (Eq. 2): in the reward, summed over the response, then normalised."""

    name: str = "grpo_kl_in_reward"
    kl_coef: float = 0.04
    kl_estimator: str = "k1"
    kl_in: str = "reward"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    formula: ClassVar[str] = "rho 1[not clipped] A, A = (R - mean)/std in the group, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "Eq. 3 with the KL of Eq. 2"


@dataclass
class Rloo(Clipped):
    """`kl_coef` weighs the summed k1 in the sequence's reward. Without a ratio, as in the paper, one update per rollout is all."""

    name: str = "rloo"
    baseline: str = "leave_one_out"
    std: str = "none"
    ratio: str = "none"
    kl_coef: float = 0.03
    kl_estimator: str = "k1"
    kl_in: str = "reward"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    corrects_staleness: ClassVar[bool] = False
    formula: ClassVar[str] = "R - mean of the others' R, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "arXiv 2402.14740"


@dataclass
class DrGrpo(Clipped):
    """No std, and with constant_length no 1/|o| either: the group's spread and the response's length weigh nothing."""

    name: str = "dr_grpo"
    std: str = "none"
    formula: ClassVar[str] = "rho 1[not clipped] (r - mean)"
    equation: ClassVar[str] = "arXiv 2503.20783"


@dataclass
class Dapo(Clipped):
    """The clip is wider above ("clip-higher"), which leaves unlikely tokens room to grow."""

    name: str = "dapo"
    clip_high: float | None = 0.28
    formula: ClassVar[str] = "rho 1[not clipped to 1-0.2, 1+0.28] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2503.14476"


@dataclass
class ReinforcePlusPlus(Clipped):
    """The reward itself, whitened over the batch's tokens: no group, one response per prompt will do."""

    name: str = "reinforce_pp"
    baseline: str = "none"
    std: str = "none"
    whitening: str = "sample"
    kl_coef: float = 0.01
    kl_estimator: str = "k1"
    kl_in: str = "reward_to_go"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp"})
    formula: ClassVar[str] = "rho 1[not clipped] A, A = r - beta sum over s >= t of log(pi_old/pi_ref), whitened over the batch"
    equation: ClassVar[str] = "arXiv 2501.03262"


@dataclass
class ReinforcePlusPlusBaseline(Clipped):
    """The group's mean subtracted, then whitened over the batch's tokens: the group's own spread weighs nothing."""

    name: str = "reinforce_pp_baseline"
    std: str = "none"
    whitening: str = "sample"
    kl_coef: float = 0.01
    kl_estimator: str = "k2"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "groups"})
    formula: ClassVar[str] = "rho 1[not clipped] A - beta log(pi/pi_ref), A = r - mean in the group, whitened over the batch"
    equation: ClassVar[str] = "arXiv 2501.03262"


@dataclass
class Opo(PolicyGradient):
    """The baseline of least variance where a response's gradient grows with its length. Exactly on policy: no ratio."""

    name: str = "opo"
    baseline: str = "length_weighted"
    std: str = "none"
    ratio: str = "none"
    corrects_staleness: ClassVar[bool] = False
    formula: ClassVar[str] = "r - sum(L r)/sum(L) in the group"
    equation: ClassVar[str] = "arXiv 2505.23585"


@dataclass
class Gpg(PolicyGradient):
    """No ratio, no clip, no std. All advantages are scaled by alpha = responses / responses with a reward other than 0."""

    name: str = "gpg"
    std: str = "none"
    ratio: str = "none"
    corrects_staleness: ClassVar[bool] = False
    formula: ClassVar[str] = "alpha (r - mean), alpha = responses of the batch / those with r != 0"
    equation: ClassVar[str] = "arXiv 2504.02546"

    def describe(self, supervision: str) -> str:
        return f"alpha {super().describe(supervision)}, alpha = responses of the batch / those with r != 0"

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        rewarded = (rewards_B != 0).sum().clamp(min=1).to(rewards_B)
        return super().advantages(rewards_B, inputs) * (len(rewards_B) / rewarded)


@dataclass
class MaxRl(Clipped):
    """Divided by the group's mean in place of its std; that is the gradient of a truncated log-likelihood of being right."""

    name: str = "max_rl"
    std: str = "mean"
    formula: ClassVar[str] = "rho 1[not clipped] (r - mean)/mean, 0 where the mean is 0"
    equation: ClassVar[str] = "arXiv 2602.02710"


@dataclass
class Gdpo(Clipped):
    """Several rewards, each normalised in its group by itself, weighted, added up, then whitened over the batch's responses.

    over_batch: how: population | sample (ddof 1) | none.
    """

    name: str = "gdpo"
    over_batch: str = "population"
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "reward_parts", "reward_weights"})
    own_rewards: ClassVar[Mapping[str, str]] = {"right": "rule"}
    formula: ClassVar[str] = "rho 1[not clipped] A, A = sum of w_k (r_k - mean_k)/std_k in the group, whitened over the batch"
    equation: ClassVar[str] = "arXiv 2601.05242"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coefficient.over_batch", self.over_batch, WHITENINGS)
        if self.kl_coef and self.kl_in != "loss":
            raise ConfigError(
                f"coefficient.kl_in={self.kl_in} adds the KL to one reward, and gdpo has several; set coefficient.kl_in=loss"
            )

    def advantage_in_words(self, reward: str = "r") -> str:
        each = super().advantage_in_words("r_k").replace(" in the group", "").replace("mean", "mean_k").replace("std", "std_k")
        return f"sum of w_k {each} in the group{'' if self.over_batch == 'none' else ', whitened over the batch'}"

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        summed_B = ops.advantages.apart(
            inputs.reward_parts_BK,
            inputs.reward_weights_BK,
            inputs.group_B,
            inputs.response_mask_BT.sum(1),
            baseline=self.baseline,
            std=self.std,
            epsilon=self.std_epsilon,
        )
        return ops.advantages.over_batch(summed_B, self.over_batch, self.std_epsilon)


@dataclass
class OptimalTokenBaseline(PolicyGradient):
    """At each place a baseline of least variance: the group's mean weighted by the gradient's energy up to there. No ratio."""

    name: str = "otb"
    baseline: str = "none"
    std: str = "none"
    ratio: str = "none"
    unit: ClassVar[str] = "group"
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "samples", "squared_probs"})
    corrects_staleness: ClassVar[bool] = False
    formula: ClassVar[str] = "r - sum(r W_t)/sum(W_t) in the group, W_t = sum over s <= t of (1 - 2 pi + sum_v pi_v^2)"
    equation: ClassVar[str] = "verl, optimal_token_baseline"

    def __post_init__(self) -> None:
        for name in ("baseline", "std", "ratio", "whitening"):
            one_of(f"coefficient.{name}", getattr(self, name), ("none",))
        one_of("coefficient.kl_in", self.kl_in, ("loss",))
        super().__post_init__()

    def _follow_options(self) -> None:
        super()._follow_options()
        vars(self)["needs"] = self.needs | {"groups"}
        vars(self)["unit"] = "group"

    def advantage_in_words(self, reward: str = "r") -> str:
        return "r - sum(r W_t)/sum(W_t) in the group, W_t = sum over s <= t of (1 - 2 pi + sum_v pi_v^2)"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        energy_BT = 1 - 2 * logp_BT.exp() + inputs.squared_probs_BT
        mask_BT = inputs.response_mask_BT
        found_BT = ops.advantages.over_energy(inputs.rewards_B.to(logp_BT), energy_BT, mask_BT, inputs.group_B)
        return super().terms(logp_BT, replace(inputs, advantages_BT=found_BT))


COEFFICIENTS = (
    PolicyGradient,
    Grpo,
    GrpoPositives,
    GrpoNegatives,
    GrpoKlInReward,
    Rloo,
    DrGrpo,
    Dapo,
    ReinforcePlusPlus,
    ReinforcePlusPlusBaseline,
    Opo,
    Gpg,
    MaxRl,
    Gdpo,
    OptimalTokenBaseline,
)
ROWS = {
    # Beta 0.04 and one update per rollout are the paper's (4.1.2, 4.1.3).
    "grpo": Method("online_samples", "rule", "outcome", "grpo", "GRPO+OS"),
    "grpo_ps": Method("online_samples", "exact", "process", "grpo", "GRPO+PS"),
    # RLOO sums over tokens: constant_length leaves only a constant factor 1/length, which Adam does not see.
    "rloo": Method("online_samples", "rule", "outcome", "rloo", "RLOO", aggregation="constant_length"),
    # No std, no 1/|o|, no KL.
    "dr_grpo": Method("online_samples", "rule", "outcome", "dr_grpo", "Dr. GRPO", aggregation="constant_length"),
    # Clip-higher, token mean per prompt, dynamic sampling, soft overlong penalty, reward +-1, no KL.
    "dapo": Method(
        "informative_samples",
        "rule",
        "outcome",
        "dapo",
        "DAPO",
        aggregation="prompt_token_mean",
        settings={"reward": {"correct": 1.0, "incorrect": -1.0, "overlong": 16}},
    ),
    # One response per prompt would do: no baseline, no std, no ratio.
    "reinforce": Method(
        "online_samples",
        "rule",
        "outcome",
        "policy_gradient",
        "REINFORCE",
        settings={"coefficient": {"baseline": "none", "std": "none", "ratio": "none"}},
        equation="Williams 1992",
    ),
    "reinforce_pp": Method("online_samples", "rule", "outcome", "reinforce_pp", "REINFORCE++", aggregation="batch_token_mean"),
    "reinforce_pp_baseline": Method(
        "online_samples",
        "rule",
        "outcome",
        "reinforce_pp_baseline",
        "REINFORCE++ baseline",
        aggregation="batch_token_mean",
    ),
    "opo": Method("online_samples", "rule", "outcome", "opo", "OPO", aggregation="batch_token_mean"),
    "gpg": Method("online_samples", "rule", "outcome", "gpg", "GPG", aggregation="batch_token_mean"),
    "max_rl": Method("online_samples", "rule", "outcome", "max_rl", "MaxRL"),
    # Its reward is several: being right (`Gdpo.own_rewards`, unless others are named), and the soft overlong penalty.
    "gdpo": Method(
        "online_samples",
        "several",
        "outcome",
        "gdpo",
        "GDPO",
        aggregation="batch_token_mean",
        settings={"reward": {"overlong": 16}},
    ),
    "otb": Method("online_samples", "rule", "outcome", "otb", "OTB", aggregation="batch_token_mean"),
}
#: The paper's own method.
DEFAULT = "grpo"
