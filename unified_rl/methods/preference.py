"""Preferences: a score of each response of a pair, and a link of the pair's two. The frame that the rows share.

    coefficient = side . beta . slope(link; margin, own score) . |o| d score / d logp

The link's slope is in `ops.links`. The score is the sum over the response of log(pi/pi_ref), unless a row says otherwise; |o|
undoes Eq. 5's 1/|o|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import not_negative, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Term, Terms


@dataclass
class Preference(Coefficient):
    """A loss of pairs. beta: how sharply scores are told apart."""

    name: str = "preference"
    beta: float = 0.1
    unit: ClassVar[str] = "pair"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "pairs"})
    any_sampler: ClassVar[bool] = True
    reads_reward: ClassVar[bool] = False

    def __post_init__(self) -> None:
        positive("coefficient.beta", self.beta)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        chosen_B = given(inputs.chosen_B)
        score_B, by_token = self.score(logp_BT, inputs)
        margin_B = ops.preferences.margins(score_B, chosen_B, inputs.group_B, self.beta)
        factors = {
            "length": by_token,
            "side": ops.preferences.side(chosen_B, logp_BT)[:, None],
            "beta": logp_BT.new_full((), self.beta),
            "slope": self.slope(margin_B, self.beta * score_B, chosen_B)[:, None],
        }
        return {"preference": ops.terms.term(**factors)}

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The score of each response [B], and |o| times its derivative by each log-prob, [B, 1] or [B, T]."""
        return summed_score(logp_BT, given(inputs.ref_logp_BT), inputs)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        """The link's slope at the margins, and at beta times each response's own score. [B] -> [B]."""
        raise NotImplementedError(f"{type(self).__name__} must define slope(margin_B, scaled_B, chosen_B)")


@dataclass
class Smoothed(Preference):
    """A loss of pairs of which a share `label_smoothing` is believed to be the wrong way round."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("coefficient.label_smoothing", self.label_smoothing)
        if self.label_smoothing >= 0.5:
            raise ConfigError(
                f"coefficient.label_smoothing={self.label_smoothing} must be below 0.5: at 0.5 labels say nothing"
            )


def likelihood_of_chosen(logp_BT: Tensor, inputs: Inputs, weight: float) -> Term:
    """weight on the chosen response's tokens, 0 on the other's: its mean log-likelihood under pair_mean."""
    return ops.terms.term(nll_coef=logp_BT.new_full((), weight), chosen=given(inputs.chosen_B)[:, None].to(logp_BT))


def summed_score(logp_BT: Tensor, ref_logp_BT: Tensor | None, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The sum of the log-ratios (of the log-probs, without a reference), as `Preference.score` gives it."""
    mask_BT = inputs.response_mask_BT
    base_BT = logp_BT.new_zeros(logp_BT.shape) if ref_logp_BT is None else ref_logp_BT
    return ops.preferences.summed_log_ratio(logp_BT, base_BT, mask_BT), mask_BT.sum(1, keepdim=True).to(logp_BT)


def mean_score(logp_BT: Tensor, ref_logp_BT: Tensor | None, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The mean of the log-ratios (of the log-probs, without a reference), as `Preference.score` gives it."""
    base_BT = logp_BT.new_zeros(logp_BT.shape) if ref_logp_BT is None else ref_logp_BT
    return ops.preferences.mean_log_ratio(logp_BT, base_BT, inputs.response_mask_BT), logp_BT.new_ones(())


def row(coefficient: str, label: str, equation: str = "", **options: float | str) -> Method:
    """A row on pairs of a right and a wrong stored sample; at most responses_per_prompt / 2 pairs per prompt and step."""
    return Method(
        "preference_pairs",
        "rule",
        "outcome",
        coefficient,
        label,
        aggregation="pair_mean",
        settings={"coefficient": options} if options else {},
        equation=equation,
    )
