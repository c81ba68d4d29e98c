"""Demonstrations beside the policy's own samples, in one group: several weighted losses on one step, or one that knows both.

Each row's source is online samples with `mixed` around it, so that every prompt has samples and one demonstration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import between, not_negative, one_of, positive
from unified_rl.methods.base import Inputs, Method, given
from unified_rl.methods.composition import Clipped, PolicyGradient

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.gates import Factors
    from unified_rl.ops.terms import Terms


@dataclass
class Luffy(PolicyGradient):
    """Advantages over samples and demonstrations together; these have f(pi), f(x) = x/(x + shaping), in place of a ratio.

    shaping: of f; the smaller it is, the more unlikely tokens count.
    """

    name: str = "luffy"
    std: str = "none"
    shaping: float = 0.1
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "demonstrated"})
    formula: ClassVar[str] = "rho A of samples, shaping pi/(pi + shaping)^2 A of demonstrations, A = r - mean of both"
    equation: ClassVar[str] = "arXiv 2504.14945"

    def __post_init__(self) -> None:
        one_of("coefficient.ratio", self.ratio, ("token",))
        super().__post_init__()
        positive("coefficient.shaping", self.shaping)

    def describe(self, supervision: str) -> str:
        return (
            super()
            .describe(supervision)
            .replace(" A", f" A of samples, {self.shaping:g} pi/(pi + {self.shaping:g})^2 A of others", 1)
        )

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.shaped(log_ratio.exp(), logp_BT, advantages_BT, given(inputs.demonstrated_B)[:, None], self.shaping)


@dataclass
class SftAndRl(Clipped):
    """Two weighted losses on one step: GRPO's of the samples, and the likelihood of demonstrations; each averaged over its own.

    Samples are compared with samples alone. sample_weight, demonstration_weight: of the two losses. token_weight: of a
    demonstration's token: one, or its p (1 - p), which is largest where the policy cannot tell (CHORD-phi).
    """

    name: str = "sft_rl"
    sample_weight: float = 1.0
    demonstration_weight: float = 0.1
    token_weight: str = "one"
    needs: ClassVar[frozenset[str]] = frozenset({"groups", "demonstrated"})
    formula: ClassVar[str] = "sample_weight rho 1[not clipped] A of samples, demonstration_weight of demonstrations"
    equation: ClassVar[str] = "arXiv 2508.11408 with a constant weight"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coefficient.whitening", self.whitening, ("none",))
        one_of("coefficient.token_weight", self.token_weight, ("one", "uncertainty"))
        not_negative("coefficient.sample_weight", self.sample_weight)
        not_negative("coefficient.demonstration_weight", self.demonstration_weight)

    def describe(self, supervision: str) -> str:
        words = "" if self.token_weight == "one" else " pi (1 - pi)"
        return (
            f"{self.sample_weight:g} x [{super().describe(supervision)}] of samples, "
            f"{self.demonstration_weight:g}{words} of demonstrations"
        )

    def prepare(self, inputs: Inputs) -> Inputs:
        demonstrated_B = given(inputs.demonstrated_B)
        own = replace(inputs, group_B=ops.advantages.apart_from(inputs.group_B, demonstrated_B))
        found = super().prepare(own)
        return replace(found, group_B=inputs.group_B, part_B=demonstrated_B.long())

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        demonstrated_B1 = given(inputs.demonstrated_B)[:, None].to(logp_BT)
        of_samples = self.sample_weight * (1 - demonstrated_B1)
        found = {
            name: ops.terms.term(**item.factors, of_samples=of_samples) for name, item in super().terms(logp_BT, inputs).items()
        }
        factors = {"of_demonstrations": self.demonstration_weight * demonstrated_B1}
        if self.token_weight == "uncertainty":
            factors["uncertainty"] = logp_BT.exp() * -logp_BT.expm1()
        return {**found, "likelihood": ops.terms.term(**factors)}


@dataclass
class Switched(SftAndRl):
    """RL on the samples of a prompt that the policy solves more often than `solved`, SFT on the demonstration of any other.

    solved: share of a prompt's samples that must be right, exceeded.

    What is switched off leaves the step, and its denominators where `aggregation.empty=left_out`.
    """

    name: str = "hpt"
    std: str = "none"
    demonstration_weight: float = 1.0
    solved: float = 0.0
    formula: ClassVar[str] = "rho 1[not clipped] A of samples where enough are right, else 1 of the demonstration"
    equation: ClassVar[str] = "arXiv 2509.04419"

    def __post_init__(self) -> None:
        super().__post_init__()
        between("coefficient.solved", self.solved, 0.0, 1.0)

    def describe(self, supervision: str) -> str:
        return f"{super().describe(supervision)}; samples where more than {self.solved:g} are right, else the demonstration"

    def prepare(self, inputs: Inputs) -> Inputs:
        found = super().prepare(inputs)
        demonstrated_B = given(inputs.demonstrated_B)
        kept_B = ops.selection.switched(inputs.correct_B, inputs.group_B, demonstrated_B, self.solved)
        return replace(found, response_mask_BT=inputs.response_mask_BT & kept_B[:, None])


def _row(name: str, label: str, aggregation: str = "sequence_mean", equation: str = "", **options: float | str) -> Method:
    """A row on samples of the policy and one demonstration of each prompt."""
    return Method(
        "online_samples",
        "rule",
        "outcome",
        name,
        label,
        aggregation=aggregation,
        settings={
            "source": {"wrappers": ["mixed"], "mixed_with": "demonstrations"},
            **({"coefficient": options} if options else {}),
        },
        equation=equation,
    )


COEFFICIENTS = (Luffy, SftAndRl, Switched)
ROWS = {
    # No clip, no std, no 1/|o|, as in its code.
    "luffy": _row("luffy", "LUFFY", "constant_length"),
    "sft_rl": _row("sft_rl", "SFT + RL", equation="-"),
    "chord_mu": _row("sft_rl", "CHORD-mu", sample_weight=0.9, demonstration_weight=0.1),
    "chord_phi": _row(
        "sft_rl",
        "CHORD-phi",
        sample_weight=0.9,
        demonstration_weight=0.1,
        token_weight="uncertainty",
    ),
    "hpt": _row("hpt", "HPT", "batch_token_mean"),
}
