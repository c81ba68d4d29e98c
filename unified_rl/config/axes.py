"""The sections of the aggregation axis, and of the correction between sampler and trainer. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, not_negative, one_of, positive

AGGREGATIONS = ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length", "pair_mean")
IMPORTANCES = ("none", "truncated", "masked", "plain", "rejected", "bypass")
REJECTIONS = ("none", "ratio", "k2", "k3")


@dataclass
class AggregationConfig:
    """How token gradients are averaged.

    name: sequence_mean (the paper's 1/|o| of each response) | prompt_token_mean (over the tokens of each prompt's responses) |
        batch_token_mean (over all tokens of the update) | constant_length (sums, divided by a constant) | pair_mean (over pairs).
    length: that constant, in tokens; 0 = generator.max_new_tokens.
    truncated: "keep" responses cut off at the length limit as they were scored, "drop" them (weight 0, still counted in the
        denominators), or "leave_out" (not counted either). empty: responses without a trained token are "counted", or "left_out".
    """

    name: str = "sequence_mean"
    length: int = 0
    truncated: str = "keep"
    empty: str = "counted"

    def __post_init__(self) -> None:
        one_of("aggregation.name", self.name, AGGREGATIONS)
        at_least("aggregation.length", self.length, 0)
        one_of("aggregation.truncated", self.truncated, ("keep", "drop", "leave_out"))
        one_of("aggregation.empty", self.empty, ("counted", "left_out"))

    @property
    def lacks_length(self) -> bool:
        """Whether it divides by a constant that it does not state."""
        return self.name == "constant_length" and not self.length


@dataclass
class ImportanceConfig:
    """Correction of the difference between the sampler and the trainer: a factor on the terms, w = pi_old / pi_sampler limited.

    name: none | truncated (TIS: min(w, cap), and at least floor where one is set) | masked (MIS: w inside [floor, cap], else 0) |
        plain (w itself) | rejected (1: rejection alone, below) | bypass (no factor: the coefficient's own ratio is taken to
        pi_sampler in place of pi_old).
    level: what w is the ratio of: each token, the whole response (sequence: the product), or its geometric mean (geometric).
    cap, floor: the limits; floor is 0.5 for masked, and none for truncated, where it is not set.
    kl: whether the KL term in the loss carries the factor: inside, or outside as other trainers have it, which is biased: its
        expectation is then over the sampler's responses.
    normalised: none | batch (w is divided by its mean over the batch).
    reject_floor, reject_cap: the limits of what is kept by that rule.
    reject: what else drops tokens: none | ratio (inside [reject_floor, reject_cap]) | k2 | k3 (at most reject_cap), of the KL
        between the two. reject_over: of each token, or the response's sum, mean (of logs: the geometric mean) or max, which drops
        all of it. rejected: dropped tokens are "counted" in the denominators, or "left_out". veto: a response is dropped where
        some token's w is below it; 0 = never.
    """

    name: str = "none"
    level: str = "token"
    cap: float = 2.0
    floor: float | None = None
    kl: str = "outside"
    normalised: str = "none"
    reject: str = "none"
    reject_over: str = "token"
    reject_floor: float = 0.5
    reject_cap: float = 2.0
    rejected: str = "counted"
    veto: float = 0.0

    def __post_init__(self) -> None:
        one_of("importance.name", self.name, IMPORTANCES)
        one_of("importance.level", self.level, ("token", "sequence", "geometric"))
        one_of("importance.kl", self.kl, ("outside", "inside"))
        one_of("importance.normalised", self.normalised, ("none", "batch"))
        one_of("importance.reject", self.reject, REJECTIONS)
        one_of("importance.reject_over", self.reject_over, ("token", "sum", "mean", "max"))
        one_of("importance.rejected", self.rejected, ("counted", "left_out"))
        positive("importance.cap", self.cap)
        positive("importance.reject_cap", self.reject_cap)
        not_negative("importance.reject_floor", self.reject_floor)
        not_negative("importance.veto", self.veto)
        if self.floor is not None:
            not_negative("importance.floor", self.floor)
        if self.lowest >= self.cap:
            raise ConfigError(f"importance.floor={self.lowest} must be below importance.cap={self.cap}")
        if self.reject == "ratio" and self.reject_floor >= self.reject_cap:
            raise ConfigError(
                f"importance.reject_floor={self.reject_floor} must be below importance.reject_cap={self.reject_cap}"
            )

    @property
    def lowest(self) -> float:
        """The least weight that is not limited."""
        if self.floor is not None:
            return self.floor
        return 0.5 if self.name == "masked" else 0.0

    @property
    def drops(self) -> bool:
        """Whether there is a rejection beside the limits of w."""
        return self.reject != "none" or self.veto > 0
