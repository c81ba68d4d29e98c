"""Preferences whose link is of the pair's margin: DPO in three forms, and the losses since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import not_negative, one_of, positive
from unified_rl.methods.base import Inputs, given
from unified_rl.methods.preference import Preference, Smoothed, likelihood_of_chosen, mean_score, row

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


@dataclass
class Dpo(Smoothed):
    """`form`: "standard" (summed log-ratios), "length_averaged" (the gradient of Eq. 12) or "as_printed" (Eq. 14).

    label_smoothing: share of pairs believed to be the wrong way round. divergence: the score is f'(pi/pi_ref)
    of that divergence: reverse_kl (DPO's own log) | forward_kl | js | alpha (f-DPO, arXiv 2309.16240). alpha: of divergence=alpha.
    tail_weight:
    of the tokens past the length of the pair's shorter response (LD-DPO, arXiv 2409.06411). nll_coef: of the chosen response's mean
    NLL, added.
    """

    name: str = "dpo"
    form: str = "standard"
    divergence: str = "reverse_kl"
    alpha: float = 0.5
    tail_weight: float = 1.0
    nll_coef: float = 0.0
    formula: ClassVar[str] = "+-|o| beta sigma(-m), m = beta [sum log(pi/pi_ref)(o+) - sum log(pi/pi_ref)(o-)]"
    equation: ClassVar[str] = "Eqs. 12-14 (forms: standard, length_averaged, as_printed)"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coefficient.form", self.form, ("standard", "length_averaged", "as_printed"))
        one_of("coefficient.divergence", self.divergence, DIVERGENCES)
        not_negative("coefficient.tail_weight", self.tail_weight)
        not_negative("coefficient.nll_coef", self.nll_coef)
        positive("coefficient.alpha", self.alpha)
        plain = (self.divergence, self.tail_weight) == ("reverse_kl", 1.0)
        if self.form != "standard" and not plain:
            raise ConfigError(
                f"coefficient.form={self.form} is a form of DPO's own score; set coefficient.form=standard, or leave out "
                "coefficient.divergence and coefficient.tail_weight"
            )
        if self.form == "as_printed" and (self.label_smoothing or self.nll_coef):
            raise ConfigError("coefficient.form=as_printed is Eq. 14 and no more; leave out label_smoothing and nll_coef")

    def describe(self, supervision: str) -> str:
        slope = "sigma(-m)"
        if self.label_smoothing:
            slope = f"[{1 - self.label_smoothing:g} sigma(-m) - {self.label_smoothing:g} sigma(m)]"
        nll = "" if not self.nll_coef else " + 1[o+]" if self.nll_coef == 1 else f" + {self.nll_coef:g} 1[o+]"
        score = {
            "reverse_kl": "sum log(pi/pi_ref)",
            "forward_kl": "(1 - pi_ref/pi)",
            "js": "log(2 pi/(pi + pi_ref))",
            "alpha": f"((pi/pi_ref)^{self.alpha - 1:g} - 1)/{self.alpha - 1:g}",
        }[self.divergence]
        tail = "" if self.tail_weight == 1 else f", tokens past the shorter length count {self.tail_weight:g}"
        through = "" if self.divergence == "reverse_kl" else " d score/d log pi"
        return {
            "standard": f"+-|o| beta {slope}{through}, m = beta [{score}(o+) - {score}(o-)]{nll}{tail}",
            "length_averaged": f"+-beta {slope}, m = beta [mean log(pi/pi_ref)(o+) - mean log(pi/pi_ref)(o-)]{nll}",
            "as_printed": "+-sigma(-m_t), m_t = beta [log(pi/pi_ref)(o+_t) - log(pi/pi_ref)(o-_t)]",
        }[self.form]

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        if self.form == "as_printed":
            return ops.coefficients.dpo_as_printed(
                logp_BT,
                given(inputs.ref_logp_BT),
                inputs.response_mask_BT,
                given(inputs.chosen_B),
                inputs.group_B,
                self.beta,
            )
        found = super().terms(logp_BT, inputs)
        if self.nll_coef:
            found["likelihood"] = likelihood_of_chosen(logp_BT, inputs, self.nll_coef)
        return found

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        mask_BT, ref_logp_BT = inputs.response_mask_BT, given(inputs.ref_logp_BT)
        if self.form == "length_averaged":
            return mean_score(logp_BT, ref_logp_BT, inputs)
        if self.tail_weight == 1.0:
            score_B, by_token = super().score(logp_BT, inputs)
        else:
            shared_BT = ops.preferences.shared_length(mask_BT, inputs.group_B)
            weight_BT = shared_BT + self.tail_weight * (mask_BT & ~shared_BT).to(logp_BT)
            score_B = ops.preferences.summed_log_ratio(weight_BT * logp_BT, weight_BT * ref_logp_BT, mask_BT)
            by_token = mask_BT.sum(1, keepdim=True) * weight_BT
        if self.divergence == "reverse_kl":
            return score_B, by_token
        score_B, slope_B = ops.preferences.of_divergence(self.divergence, score_B, self.alpha)
        return score_B, by_token * slope_B[:, None]

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.logistic(margin_B, self.label_smoothing)


@dataclass
class Wpo(Dpo):
    """DPO's pairs weighted by how likely both responses are under the policy now, so that off-policy pairs count as on-policy ones.

    A response's weight is the geometric mean over its tokens of pi(o_t) / sum_v pi(v)^2; nothing differentiates it.
    """

    name: str = "wpo"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "pairs", "squared_probs"})
    equation: ClassVar[str] = "arXiv 2406.11827, Eq. 2, with the weights of sampled alignment"

    def describe(self, supervision: str) -> str:
        return f"w(o+) w(o-) x [{super().describe(supervision)}], w = exp(mean log(pi/sum_v pi_v^2))"

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        mask_BT, energy_BT = inputs.response_mask_BT, inputs.squared_probs_BT
        log_weight_B = ops.preferences.mean_log_ratio(logp_BT, energy_BT.log(), mask_BT)
        weight_B1 = ops.preferences.pair_sum(log_weight_B, inputs.group_B).exp()[:, None]
        found = super().terms(logp_BT, inputs)
        return {name: ops.terms.term(**item.factors, pair_weight=weight_B1) for name, item in found.items()}


@dataclass
class RobustDpo(Smoothed):
    """Unbiased where a share `label_smoothing` of the pairs is the wrong way round.

    label_smoothing: share of pairs believed to be the wrong way round.
    """

    name: str = "robust_dpo"
    label_smoothing: float = 0.1
    formula: ClassVar[str] = "+-|o| beta [(1 - e) sigma(-m) + e sigma(m)]/(1 - 2e)"
    equation: ClassVar[str] = "arXiv 2403.00409"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.robust(margin_B, self.label_smoothing)


@dataclass
class Exo(Smoothed):
    """The reverse KL of the pair's softmax to labels that are wrong at rate `label_smoothing`.

    label_smoothing: share of pairs believed to be the wrong way round.
    """

    name: str = "exo"
    label_smoothing: float = 1e-3
    formula: ClassVar[str] = "+-|o| beta sigma(m) sigma(-m) [logit(1 - e) - m]"
    equation: ClassVar[str] = "arXiv 2402.00856"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.label_smoothing", self.label_smoothing)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.exo(margin_B, self.label_smoothing)


@dataclass
class Hinge(Preference):
    """Pairs told apart by a margin of 1 have no gradient any more."""

    name: str = "hinge"
    formula: ClassVar[str] = "+-|o| beta 1[m < 1]"
    equation: ClassVar[str] = "arXiv 2305.10425"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.hinge(margin_B)


@dataclass
class Ipo(Preference):
    """The margin is pulled to 1/2. over: the score is the sum of the log-ratios (the paper) or their mean over tokens (TRL)."""

    name: str = "ipo"
    over: str = "sum"
    formula: ClassVar[str] = "+-|o| 2 [1/(2 beta) - (sum log(pi/pi_ref)(o+) - sum log(pi/pi_ref)(o-))]"
    equation: ClassVar[str] = "arXiv 2310.12036"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coefficient.over", self.over, ("sum", "mean"))

    def describe(self, supervision: str) -> str:
        return self.formula if self.over == "sum" else self.formula.replace("|o| ", "").replace("sum", "mean")

    def score(self, logp_BT: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        if self.over == "sum":
            return super().score(logp_BT, inputs)
        return mean_score(logp_BT, given(inputs.ref_logp_BT), inputs)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.squared(margin_B, self.beta)


@dataclass
class DiscoPop(Preference):
    """A link that a language model found: logistic and exponential, mixed by the margin.

    temperature: margin, in log-ratio, over which the mixture goes from one to the other.
    """

    name: str = "discopop"
    temperature: float = 0.05
    formula: ClassVar[str] = "+-|o| beta d/dm [(1 - g) log sigma(m) - g e^-m], g = sigma(m/temperature)"
    equation: ClassVar[str] = "arXiv 2406.08414"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("coefficient.temperature", self.temperature)

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        return ops.links.discopop(margin_B, self.temperature)


@dataclass
class Aot(Smoothed):
    """Distributions of scores in place of pairs: the k-th lowest chosen against the k-th lowest rejected of the whole update.

    label_smoothing: share of pairs believed to be the wrong way round.
    """

    name: str = "aot"
    unit: ClassVar[str] = "batch"
    formula: ClassVar[str] = "+-|o| beta sigma(-m), m = beta [k-th lowest score of the o+ - k-th lowest of the o-]"
    equation: ClassVar[str] = "arXiv 2406.05882, unpaired"

    def slope(self, margin_B: Tensor, scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
        sides_B = ops.preferences.side(chosen_B, scaled_B)
        ranked_B = sides_B * (scaled_B - ops.preferences.ranked_partners(scaled_B, chosen_B))
        return ops.links.logistic(ranked_B, self.label_smoothing)


COEFFICIENTS = (Dpo, Wpo, RobustDpo, Exo, Hinge, Ipo, DiscoPop, Aot)
ROWS = {
    "dpo": row("dpo", "DPO"),
    "cdpo": row("dpo", "cDPO", "arXiv 2305.18290 with label smoothing", label_smoothing=0.1),
    "f_dpo": row("dpo", "f-DPO (JS)", "arXiv 2309.16240", divergence="js"),
    "ld_dpo": row("dpo", "LD-DPO", "arXiv 2409.06411", tail_weight=0.5),
    "dpo_nll": row("dpo", "DPO + NLL", "arXiv 2404.19733", nll_coef=1.0),
    "wpo": row("wpo", "WPO"),
    "robust_dpo": row("robust_dpo", "Robust DPO"),
    "exo": row("exo", "EXO"),
    "hinge": row("hinge", "Hinge (SLiC)"),
    "ipo": row("ipo", "IPO"),
    "discopop": row("discopop", "DiscoPOP"),
    "aot": row("aot", "AOT"),
}
