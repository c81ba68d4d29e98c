"""Two rows of the table on one frozen batch: on which tokens they differ, by which factors, and by how much.

The batch is made of numbers alone, the same for everybody: two prompts, four responses each, half of them right, log-probs under
a policy that has moved since it sampled (so that ratios, clips and KL terms are at work), values, a teacher and a reference.
What is compared is w GC: a token's share in the gradient, aggregation and importance weights included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unified_rl.loop.surrogate import aggregation_weights
from unified_rl.methods.base import Inputs
from unified_rl.methods.importance import corrected
from unified_rl.methods.signals import SIGNALS
from unified_rl.ops.terms import Terms
from unified_rl.ops.terms import coefficient as total
from unified_rl.presets.loading import compose

PROMPTS, RESPONSES, LONGEST = 2, 4, 6
#: Tokens whose shares differ by less than this part of the largest count as equal.
EQUAL = 1e-9
SHOWN = 12
#: What of [B, T] numbers stands for a signal of that shape.
COLUMNS: dict[str, Any] = {"BT": slice(None), "B": 0, "BK": slice(2), "BN": slice(3)}


@dataclass(frozen=True)
class Side:
    """One row on the batch. shares_BT: w GC of each token. terms: the named factors behind it."""

    method: str
    shares_BT: Tensor
    terms: Terms


@dataclass(frozen=True)
class Contrast:
    """Two rows on the batch. mask_BT: its response tokens."""

    ours: Side
    theirs: Side
    mask_BT: Tensor

    @property
    def differs_BT(self) -> Tensor:
        """bool [B, T]: tokens whose shares differ."""
        largest = max(side.shares_BT.abs().max().item() for side in (self.ours, self.theirs))
        return self.mask_BT & ((self.ours.shares_BT - self.theirs.shares_BT).abs() > EQUAL * largest)

    def factors(self) -> list[str]:
        """Names of the factors, as term.factor, that one has and the other has not, or that differ on some token."""
        ours, theirs = _by_name(self.ours.terms), _by_name(self.theirs.terms)
        return [
            name
            for name in dict.fromkeys([*ours, *theirs])
            if name not in ours or name not in theirs or self._apart(ours[name], theirs[name])
        ]

    def _apart(self, a: Tensor, b: Tensor) -> bool:
        shape = self.mask_BT.shape
        apart = (a.expand(shape) - b.expand(shape)).abs() > EQUAL * (1 + a.abs().max())
        return bool((self.mask_BT & apart).any())

    def facts(self) -> dict[str, Any]:
        """As plain data: how many tokens differ, by how much, by which factors, and each token's shares."""
        a, b = self.ours.shares_BT[self.mask_BT], self.theirs.shares_BT[self.mask_BT]
        return {
            "tokens": int(self.mask_BT.sum()),
            "tokens_that_differ": int(self.differs_BT.sum()),
            "factors": self.factors(),
            "relative_difference": ((a - b).norm() / a.norm().clamp(min=1e-300)).item(),
            "cosine": (a @ b / (a.norm() * b.norm()).clamp(min=1e-300)).item(),
            "shares": [
                {"response": row, "token": place, self.ours.method: one, self.theirs.method: other}
                for (row, place), one, other in zip(self.mask_BT.nonzero().tolist(), a.tolist(), b.tolist(), strict=True)
            ],
        }

    def text(self) -> str:
        """For a terminal: the summary, and the tokens that differ most."""
        facts = self.facts()
        head = (
            f"on one frozen batch ({PROMPTS} prompts, {RESPONSES} responses each): {facts['tokens_that_differ']} of "
            f"{facts['tokens']} tokens differ; |difference| / |{self.ours.method}| = {facts['relative_difference']:.3g}, cosine "
            f"{facts['cosine']:.3g}"
        )
        lines = [head, f"factors that differ: {', '.join(facts['factors']) or 'none'}"]
        if not facts["tokens_that_differ"]:
            return "\n".join(lines)
        names = [self.ours.method, self.theirs.method]
        width = max(10, *map(len, names))
        lines.append(f"  response  token  {names[0]:>{width}}  {names[1]:>{width}}   (w GC; the largest differences first)")
        order = sorted(facts["shares"], key=lambda one: -abs(one[names[0]] - one[names[1]]))
        lines += [
            f"  {one['response']:8}  {one['token']:5}  {one[names[0]]:>{width}.4f}  {one[names[1]]:>{width}.4f}"
            for one in order[: min(SHOWN, facts["tokens_that_differ"])]
        ]
        return "\n".join(lines)


def compare(ours: str, theirs: str) -> Contrast:
    """Two rows of the table by name, each with its own settings."""
    inputs, logp_BT = batch()
    return Contrast(measure(ours, inputs, logp_BT), measure(theirs, inputs, logp_BT), inputs.response_mask_BT)


def measure(method: str, inputs: Inputs, logp_BT: Tensor) -> Side:
    """A row on the batch; a loss of pairs is given its right and wrong responses, one with one."""
    config = compose([f"method={method}"])
    coefficient, options = corrected(config.coefficient, config.importance), config.aggregation
    if config.reward.supervision != "process":
        inputs = replace(inputs, step_rewards_BT=None, step_ends_BT=None)
    if "pairs" in coefficient.needs:
        pair_B = torch.arange(len(logp_BT)) // 2
        inputs = replace(inputs, group_B=pair_B, chosen_B=inputs.correct_B.bool())
    prepared = coefficient.prepare(inputs)
    terms = coefficient.terms(logp_BT, prepared)
    found_BT = total(terms, prepared.response_mask_BT)
    if not coefficient.contains_weights:
        length = options.length or LONGEST
        found_BT = found_BT * aggregation_weights(options.name, prepared, length, options.truncated, options.empty)[:, None]
    return Side(method, found_BT, terms)


def batch() -> tuple[Inputs, Tensor]:
    """The frozen batch and the policy's log-probs on it; right and wrong responses alternate. Float64, [8, 6]."""
    generator = torch.Generator().manual_seed(0)
    count = PROMPTS * RESPONSES

    def normal(scale: float) -> Tensor:
        return scale * torch.randn(count, LONGEST, generator=generator, dtype=torch.float64)

    logp_BT = -normal(1.0).abs() - 0.05
    old_BT, ref_BT, teacher_BT = ((logp_BT + normal(scale)).clamp(max=-1e-3) for scale in (0.25, 0.4, 0.4))
    lengths_B = torch.randint(2, LONGEST + 1, (count,), generator=generator)
    mask_BT = torch.arange(LONGEST) < lengths_B[:, None]
    right_B = torch.tensor([1.0, 0.0] * (count // 2), dtype=torch.float64)
    rewards_B = right_B.clone()
    rewards_B[RESPONSES + 2] = 0.5  # one that is right, and worse than another
    ends_BT = (torch.arange(LONGEST) % 2 == 1) & mask_BT | (torch.arange(LONGEST) == lengths_B[:, None] - 1)
    found = Inputs(
        response_mask_BT=mask_BT,
        group_B=torch.arange(count) // RESPONSES,
        rewards_B=rewards_B,
        correct_B=right_B,
        truncated_B=torch.zeros(count, dtype=torch.bool),
        behaviour_logp_BT=old_BT,
        step_rewards_BT=torch.where(ends_BT, right_B[:, None], 0),
        step_ends_BT=ends_BT,
        old_logp_BT=old_BT,
        ref_logp_BT=ref_BT,
        values_BT=0.5 + normal(0.2),
        demonstrated_B=torch.arange(count) % RESPONSES == 2,
    )
    beside: Mapping[str, Tensor] = {
        "teacher_logp_BT": teacher_BT,
        **{
            one.field: normal(0.5).abs()[:, COLUMNS[one.field.rpartition("_")[2]]]
            for one in SIGNALS.values()
            if one.when != "rollout"
        },
    }
    return found.adding(beside), logp_BT


def _by_name(terms: Terms) -> dict[str, Tensor]:
    return {f"{name}.{factor}": value for name, item in terms.items() for factor, value in item.factors.items()}
