"""The sections of two axes, reward and aggregation, and of the correction between sampler and trainer. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive

REWARD_SOURCES = ("none", "rule", "exact", "model", "mixture")
MODEL_SOURCES = frozenset({"model", "mixture"})
SUPERVISIONS = ("none", "outcome", "process")
AGGREGATIONS = ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length", "pair_mean")
IMPORTANCES = ("none", "truncated", "masked")


@dataclass
class RewardConfig:
    """The reward. `source` says who judges, `supervision` what is judged; they are independent.

    source: none | rule (final answer) | exact (final answer and every step, where the task can check steps) | model (a reward
        model) | mixture (rule_weight x rule + (1 - rule_weight) x model) | FILE.py:NAME.
    supervision: outcome (one reward per response) | process (one per step) | none.
    correct, incorrect: outcome reward of a right and of any other answer; also of right and wrong steps (rule, exact).
    overlong: soft overlong penalty (DAPO, Eq. 13): the last `overlong` tokens before the length limit cost up to 1; 0 = off.
    false_positive, false_negative: chance that a wrong answer or step is judged right, and a right one wrong (rule, exact; the
        same response is always judged alike). noise_seed: which ones.
    model_path: directory of a trained reward model; "" = the one that section reward_model describes, made where it is missing.
    output, reduction, form, temperature: how a reward model's logits become rewards (rewards/model.py has the formulas).
        output: probability | logit. reduction (of steps to one reward, under outcome supervision): min | product | last; "" = min
        for a process model, last for an outcome model. form (of step rewards, under process supervision): sum (the paper) | min
        (PURE), `temperature` being that of its softmax.
    rule_weight: the rule's share in a mixture.
    """

    source: str = "rule"
    supervision: str = "outcome"
    correct: float = 1.0
    incorrect: float = 0.0
    overlong: int = 0
    false_positive: float = 0.0
    false_negative: float = 0.0
    noise_seed: int = 0
    model_path: str = ""
    output: str = "probability"
    reduction: str = ""
    form: str = "sum"
    temperature: float = 0.1
    rule_weight: float = 0.5

    def __post_init__(self) -> None:
        if ":" not in self.source:
            one_of("reward.source", self.source, REWARD_SOURCES)
        one_of("reward.supervision", self.supervision, SUPERVISIONS)
        at_least("reward.overlong", self.overlong, 0)
        between("reward.false_positive", self.false_positive, 0.0, 1.0)
        between("reward.false_negative", self.false_negative, 0.0, 1.0)
        one_of("reward.output", self.output, ("probability", "logit"))
        one_of("reward.reduction", self.reduction, ("", "min", "product", "last"))
        one_of("reward.form", self.form, ("sum", "min"))
        positive("reward.temperature", self.temperature)
        between("reward.rule_weight", self.rule_weight, 0.0, 1.0)

    @property
    def noisy(self) -> bool:
        return self.false_positive > 0 or self.false_negative > 0

    @property
    def learned(self) -> bool:
        """Whether a reward model has a say."""
        return self.source in MODEL_SOURCES


@dataclass
class AggregationConfig:
    """How token gradients are averaged; `length` is constant_length's constant (0 = generator.max_new_tokens).

    truncated: "keep" responses cut off at the length limit as they were scored, or "drop" them (weight 0, still counted).
    """

    name: str = "sequence_mean"
    length: int = 0
    truncated: str = "keep"

    def __post_init__(self) -> None:
        one_of("aggregation.name", self.name, AGGREGATIONS)
        at_least("aggregation.length", self.length, 0)
        one_of("aggregation.truncated", self.truncated, ("keep", "drop"))


@dataclass
class ImportanceConfig:
    """Correction of the difference between the sampler and the trainer: a factor on every term, w = pi_old / pi_sampler limited.

    name: none | truncated (TIS: min(w, cap)) | masked (MIS: w inside [floor, cap], else 0).
    level: what w is the ratio of: each token, or the whole response (sequence).
    """

    name: str = "none"
    level: str = "token"
    cap: float = 2.0
    floor: float = 0.5

    def __post_init__(self) -> None:
        one_of("importance.name", self.name, IMPORTANCES)
        one_of("importance.level", self.level, ("token", "sequence"))
        positive("importance.cap", self.cap)
        not_negative("importance.floor", self.floor)
        if self.floor >= self.cap:
            raise ConfigError(f"importance.floor={self.floor} must be below importance.cap={self.cap}")
