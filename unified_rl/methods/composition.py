"""What a policy gradient is composed of: ratio estimator x gate x advantage, plus a KL. A row says which, and no more.

    terms = {advantage: ratio(pi, pi_old) . gate . A,   kl: -beta d KL / d logp}

`PolicyGradient` is the whole of it with every option; `Clipped` has the gate of PPO and GRPO. A row of another gate inherits
`PolicyGradient` and defines `gate`; one of another advantage defines `advantages`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import not_negative, one_of
from unified_rl.methods.base import Coefficient, Inputs, given, with_advantages
from unified_rl.methods.options import KL_VALUES, Advantage, Clip, Kl

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.gates import Factors
    from unified_rl.ops.terms import Terms

RATIOS = {
    "token": "rho",
    "geometric": "s",
    "product": "W",
    "none": "",
}
WHERE = {
    "geometric": ", s = exp(mean over the response of log(pi/pi_old))",
    "product": ", W = exp(sum over the response of log(pi/pi_old))",
}


@dataclass
class PolicyGradient(Kl, Advantage, Coefficient):
    """A policy gradient without a clip.

    ratio: of pi to pi_old: token | geometric (mean over the response's tokens, in the exponent) | product (their sum) | none.
    off_policy_delta: a response of negative advantage is dropped where the mean of log(pi_old/pi) exceeds it (DeepSeek-V3.2).
    """

    name: str = "policy_gradient"
    ratio: str = "token"
    off_policy_delta: float | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho (r - mean)/std"
    equation: ClassVar[str] = "arXiv 1707.06347 without its clip"
    #: Whether a term pulls back to the old policy, so that its samples will do without a ratio.
    pulls_back: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.check_advantage()
        self.check_kl()
        one_of("coefficient.ratio", self.ratio, tuple(RATIOS))
        if self.off_policy_delta is not None:
            not_negative("coefficient.off_policy_delta", self.off_policy_delta)
        self._follow_options()

    def _follow_options(self) -> None:
        """What the options change of the coefficient itself: what it reads, and whether it corrects for an older sampler."""
        reads = set(self.needs)
        if (self.baseline, self.std) in (("none", "none"), ("none", "batch")):
            reads -= {"groups"}
        if self.kl_coef:
            reads |= {"ref_logp"} if self.kl_in == "loss" else {"ref_logp", "old_logp"}
        found = {
            "needs": frozenset(reads),
            "corrects_staleness": self.ratio != "none" or self.pulls_back,
            "unit": "sequence" if self.ratio in WHERE or self.off_policy_delta is not None else self.unit,
        }
        vars(self).update({name: value for name, value in found.items() if value != getattr(self, name)})

    def describe(self, supervision: str) -> str:
        where = f", {self.where_in_words(supervision)}"
        kl = f" {self.kl_in_words()}" if self.penalises_in_loss else ""
        factors = " ".join(word for word in (self.ratio_in_words(), self.gate_in_words()) if word)
        if not factors and not kl:
            return self.where_in_words(supervision).removeprefix("A = ")
        kept = "" if self.off_policy_delta is None else f" 1[A >= 0 or mean log(pi_old/pi) <= {self.off_policy_delta:g}]"
        return f"{factors} A{kept}{kl}{self.pull_in_words()}{where}{WHERE.get(self.ratio, '')}".strip()

    def where_in_words(self, supervision: str) -> str:
        """A in words, and the reward in it."""
        in_reward = bool(self.kl_coef) and self.kl_in == "reward"
        words = f"A = {self.advantage_in_words('R' if in_reward else 'r')}"
        if in_reward:
            return f"{words}, R = r - beta sum {KL_VALUES[self.kl_estimator]}"
        if self.kl_coef and self.kl_in == "reward_to_go":
            return f"{words} - beta sum over s >= t of {KL_VALUES[self.kl_estimator]}"
        return words

    def ratio_in_words(self) -> str:
        """The ratio as the advantage is weighed by it."""
        return RATIOS[self.ratio]

    def gate_in_words(self) -> str:
        """What stands between the ratio and the advantage."""
        return ""

    def pull_in_words(self) -> str:
        """A further term that pulls back to the old policy."""
        return ""

    @property
    def penalises_in_loss(self) -> bool:
        """Whether there is a KL term (with weight 0, too, where the row has one)."""
        return self.kl_in == "loss" and "ref_logp" in self.needs

    def prepare(self, inputs: Inputs) -> Inputs:
        """The advantages, with the KL in the reward where it is asked for, and whitened."""
        if inputs.step_ends_BT is not None and "process" in self.supervisions:
            return self.whitened(self._process(inputs))
        rewards_B = inputs.rewards_B
        penalised = bool(self.kl_coef)
        if penalised and self.kl_in == "reward":
            rewards_B = rewards_B + self.kl_of_tokens(inputs).sum(1)
        found = with_advantages(inputs, self.advantages(rewards_B, inputs))
        if penalised and self.kl_in == "reward_to_go":
            later_BT = ops.advantages.to_go(self.kl_of_tokens(inputs), inputs.response_mask_BT)
            found = replace(found, advantages_BT=given(found.advantages_BT) + later_BT)
        return self.whitened(found)

    def _process(self, inputs: Inputs) -> Inputs:
        advantages_BT = ops.advantages.process(
            given(inputs.step_rewards_BT), given(inputs.step_ends_BT), inputs.response_mask_BT, inputs.group_B
        )
        return replace(inputs, advantages_BT=advantages_BT)

    def advantages(self, rewards_B: Tensor, inputs: Inputs) -> Tensor:
        """One advantage per response. [B] -> [B]."""
        return self.of_groups(rewards_B, inputs)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        advantages_BT = given(inputs.advantages_BT)
        old_logp_BT, mask_BT = inputs.old_or(logp_BT), inputs.response_mask_BT
        factors: Factors = {"advantage": advantages_BT.expand_as(logp_BT)}
        if self.ratio != "none":
            log_ratio = ops.ratios.log_ratio(self.ratio, logp_BT, old_logp_BT, mask_BT)
            factors = self.gate(log_ratio, advantages_BT, logp_BT, inputs)
        if self.off_policy_delta is not None:
            factors["on_policy"] = ops.gates.not_off_policy(logp_BT, old_logp_BT, mask_BT, advantages_BT, self.off_policy_delta)
        found = {"advantage": ops.terms.term(**factors)}
        if self.penalises_in_loss:
            found["kl"] = self.kl_term(logp_BT, inputs)
        return found

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        """The factors of the advantage term, of the log-ratio [B, T] or [B, 1]."""
        return {"importance_weight": log_ratio.exp(), "advantage": advantages_BT}


@dataclass
class Clipped(Clip, PolicyGradient):
    """A policy gradient with the clip of PPO: min(rho A, clip(rho) A)."""

    name: str = "clipped"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_clip()

    def gate_in_words(self) -> str:
        return "" if self.ratio == "none" else super().gate_in_words()

    def gate(self, log_ratio: Tensor, advantages_BT: Tensor, logp_BT: Tensor, inputs: Inputs) -> Factors:
        return ops.gates.clipped(log_ratio.exp(), advantages_BT, self.low, self.high, self.dual_clip)
