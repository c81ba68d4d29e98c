"""Options of the gradient coefficients: one dataclass each, so that an option a coefficient does not have is an error. No torch.

The class attributes say what a coefficient is; the fields are its options. `coefficients.py` adds the maths.

unit      what has to stay together in a micro-batch: "token", "sequence", "pair", "group", or "batch" (the whole update's
          log-probs are computed first, without gradient)
needs     inputs beyond the rollout itself: "ref_logp", "old_logp" (fixed over a rollout's updates), "values", "pairs", "groups"
corrects_staleness   whether it carries an importance weight, so that several updates per rollout follow the right gradient
contains_weights     whether it is already multiplied by the aggregation weight (derived from a whole objective)
constant             whether it is the same for every response, whatever its reward and its probability
any_sampler          whether it only raises or lowers the likelihood of the texts it is given, and so means something whoever chose
                     them; the others estimate an expectation over samples of a policy, and need that policy's whole support
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unified_rl.ranges import at_least, between, not_negative, one_of, positive


@dataclass
class CoefficientConfig:
    name: str
    unit: ClassVar[str] = "token"
    needs: ClassVar[frozenset[str]] = frozenset()
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome"})
    corrects_staleness: ClassVar[bool] = False
    contains_weights: ClassVar[bool] = False
    constant: ClassVar[bool] = False
    any_sampler: ClassVar[bool] = False
    formula: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    def describe(self, supervision: str) -> str:
        """The formula with these options in it, where they change it."""
        return self.formula


@dataclass
class SftCoefficient(CoefficientConfig):
    name: str = "sft"
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    constant: ClassVar[bool] = True
    any_sampler: ClassVar[bool] = True
    formula: ClassVar[str] = "1"
    equation: ClassVar[str] = "Eq. 7"


@dataclass
class RftCoefficient(CoefficientConfig):
    name: str = "rft"
    any_sampler: ClassVar[bool] = True
    formula: ClassVar[str] = "I(o): 1 if the answer is right, else 0"
    equation: ClassVar[str] = "Eq. 10"


@dataclass
class DpoCoefficient(CoefficientConfig):
    """`form`: "standard" (summed log-ratios), "length_averaged" (the gradient of Eq. 12) or "as_printed" (Eq. 14)."""

    name: str = "dpo"
    form: str = "standard"
    beta: float = 0.1
    unit: ClassVar[str] = "pair"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "pairs"})
    any_sampler: ClassVar[bool] = True
    formula: ClassVar[str] = "+-|o| beta sigma(-m), m = beta [sum log(pi/pi_ref)(o+) - sum log(pi/pi_ref)(o-)]"
    equation: ClassVar[str] = "Eqs. 12-14 (forms: standard, length_averaged, as_printed)"

    def __post_init__(self) -> None:
        one_of("coefficient.form", self.form, ("standard", "length_averaged", "as_printed"))
        positive("coefficient.beta", self.beta)

    def describe(self, supervision: str) -> str:
        return {
            "standard": self.formula,
            "length_averaged": "+-beta sigma(-m), m = beta [mean log(pi/pi_ref)(o+) - mean log(pi/pi_ref)(o-)]",
            "as_printed": "+-sigma(-m_t), m_t = beta [log(pi/pi_ref)(o+_t) - log(pi/pi_ref)(o-_t)]",
        }[self.form]


@dataclass
class PpoCoefficient(CoefficientConfig):
    """GAE on token rewards with a KL penalty (Eq. 2) and a learned value model, which is a companion update of its own.

    `value_learning_rate` and `value_epochs` belong to that companion: epochs over each rollout before the next one.
    """

    name: str = "ppo"
    kl_coef: float = 0.04
    clip_eps: float = 0.2
    discount: float = 1.0
    trace_decay: float = 0.95
    value_learning_rate: float = 1e-3
    value_epochs: int = 2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "values"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] A_t, A = GAE(r_t - beta log(pi_old/pi_ref), V)"
    equation: ClassVar[str] = "Eqs. 1-2, 18"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)
        positive("coefficient.clip_eps", self.clip_eps)
        between("coefficient.discount", self.discount, 0.0, 1.0)
        between("coefficient.trace_decay", self.trace_decay, 0.0, 1.0)
        positive("coefficient.value_learning_rate", self.value_learning_rate)
        at_least("coefficient.value_epochs", self.value_epochs, 1)


@dataclass
class GrpoCoefficient(CoefficientConfig):
    """`kl_estimator` (in the loss): "k3" (the paper), "k1", "k2" or "weighted_k3" (DeepSeek-V3.2)."""

    name: str = "grpo"
    kl_coef: float = 0.04
    kl_estimator: str = "k3"
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "groups"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    corrects_staleness: ClassVar[bool] = True
    advantage_in_words: ClassVar[str] = "A"
    formula: ClassVar[str] = "rho 1[not clipped] A + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)
        positive("coefficient.clip_eps", self.clip_eps)
        one_of("coefficient.kl_estimator", self.kl_estimator, ("k1", "k2", "k3", "weighted_k3"))

    def describe(self, supervision: str) -> str:
        kl = {
            "k1": "- beta",
            "k2": "- beta log(pi/pi_ref)",
            "k3": "+ beta (pi_ref/pi - 1)",
            "weighted_k3": "- beta rho log(pi/pi_ref)",
        }[self.kl_estimator]
        process = "sum over own and later steps of (r_step - mean)/std, pooled over the group's steps"
        advantage = process if supervision == "process" else "(r - mean)/std in the group"
        return f"rho 1[not clipped] {self.advantage_in_words} {kl}, A = {advantage}"


@dataclass
class GrpoPositivesCoefficient(GrpoCoefficient):
    """GRPO that only raises likelihoods: the positive part of the advantage, and the KL term as it is."""

    name: str = "grpo_positives"
    advantage_in_words: ClassVar[str] = "max(A, 0)"
    formula: ClassVar[str] = "rho 1[not clipped] max(A, 0) + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21, positive part"


@dataclass
class GrpoNegativesCoefficient(GrpoCoefficient):
    """GRPO that only lowers likelihoods: the negative part of the advantage, and the KL term as it is."""

    name: str = "grpo_negatives"
    advantage_in_words: ClassVar[str] = "min(A, 0)"
    formula: ClassVar[str] = "rho 1[not clipped] min(A, 0) + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21, negative part"


@dataclass
class GrpoKlInRewardCoefficient(CoefficientConfig):
    """GRPO with the KL penalty where PPO has it (Eq. 2): in the reward, summed over the response, then normalised."""

    name: str = "grpo_kl_in_reward"
    kl_coef: float = 0.04
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] A, A = (R - mean)/std in the group, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "Eq. 3 with the KL of Eq. 2"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)
        positive("coefficient.clip_eps", self.clip_eps)


@dataclass
class RlooCoefficient(CoefficientConfig):
    """`kl_coef` weighs the summed k1 in the sequence's reward (arXiv 2402.14740)."""

    name: str = "rloo"
    kl_coef: float = 0.03
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    formula: ClassVar[str] = "R_i - mean of the others' R, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "arXiv 2402.14740"

    def __post_init__(self) -> None:
        not_negative("coefficient.kl_coef", self.kl_coef)


@dataclass
class DrGrpoCoefficient(CoefficientConfig):
    name: str = "dr_grpo"
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] (r - mean)"
    equation: ClassVar[str] = "arXiv 2503.20783"

    def __post_init__(self) -> None:
        positive("coefficient.clip_eps", self.clip_eps)


@dataclass
class DapoCoefficient(CoefficientConfig):
    name: str = "dapo"
    clip_low: float = 0.2
    clip_high: float = 0.28
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped to 1-0.2, 1+0.28] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2503.14476"

    def __post_init__(self) -> None:
        positive("coefficient.clip_low", self.clip_low)
        positive("coefficient.clip_high", self.clip_high)

    def describe(self, supervision: str) -> str:
        return f"rho 1[not clipped to {1 - self.clip_low:g}, {1 + self.clip_high:g}] (r - mean)/std"


COEFFICIENTS: dict[str, type[CoefficientConfig]] = {
    "sft": SftCoefficient,
    "rft": RftCoefficient,
    "dpo": DpoCoefficient,
    "ppo": PpoCoefficient,
    "grpo": GrpoCoefficient,
    "grpo_positives": GrpoPositivesCoefficient,
    "grpo_negatives": GrpoNegativesCoefficient,
    "grpo_kl_in_reward": GrpoKlInRewardCoefficient,
    "rloo": RlooCoefficient,
    "dr_grpo": DrGrpoCoefficient,
    "dapo": DapoCoefficient,
}
