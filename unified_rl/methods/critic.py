"""Advantages from a learned value model: PPO, and the value model's own loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given, token_rewards
from unified_rl.methods.options import KL_VALUES, WHITENINGS, Clip, Kl

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Ppo(Clip, Kl, Coefficient):
    """GAE on token rewards with a KL penalty (Eq. 2) and a learned value model, which is a companion update of its own.

    The paper gives no GAE settings; gamma 1 and lambda 0.95 are PPO's usual ones for text. value_learning_rate: of the
    value model. value_epochs: its passes over each rollout before the next one. discount: of later rewards, per token (GAE gamma).
    trace_decay: GAE lambda. value_trace_decay: of the value model's
    targets, where it is another than the policy's (VC-PPO). length_adaptive: alpha > 0: the policy's trace decay is
    1 - 1/(alpha |o|) in place of trace_decay (VAPO). value_clip: the value loss is the larger of that of V and that of V held
    within this of the value before the update. whitening: of the advantages over the batch's tokens: none | population | sample.
    positive_nll: weight of the likelihood of right responses, added (VAPO).
    """

    name: str = "ppo"
    kl_coef: float = 0.04
    kl_estimator: str = "k1"
    kl_in: str = "reward"
    discount: float = 1.0
    trace_decay: float = 0.95
    value_trace_decay: float | None = None
    length_adaptive: float | None = None
    value_clip: float | None = None
    whitening: str = "none"
    positive_nll: float = 0.0
    value_learning_rate: float = 1e-3
    value_epochs: int = 2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "values"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] A_t, A = GAE(r_t - beta log(pi_old/pi_ref), V)"
    equation: ClassVar[str] = "Eqs. 1-2, 18"

    def __post_init__(self) -> None:
        self.check_kl()
        self.check_clip()
        if self.kl_in == "reward_to_go":
            raise ConfigError(
                "coefficient.kl_in=reward_to_go is what GAE makes of a penalty anyway; set coefficient.kl_in=reward"
            )
        one_of("coefficient.whitening", self.whitening, WHITENINGS)
        between("coefficient.discount", self.discount, 0.0, 1.0)
        between("coefficient.trace_decay", self.trace_decay, 0.0, 1.0)
        if self.value_trace_decay is not None:
            between("coefficient.value_trace_decay", self.value_trace_decay, 0.0, 1.0)
        for name in ("length_adaptive", "value_clip"):
            if getattr(self, name) is not None:
                positive(f"coefficient.{name}", getattr(self, name))
        not_negative("coefficient.positive_nll", self.positive_nll)
        positive("coefficient.value_learning_rate", self.value_learning_rate)
        at_least("coefficient.value_epochs", self.value_epochs, 1)

    def describe(self, supervision: str) -> str:
        penalty = f" - beta {KL_VALUES[self.kl_estimator]}" if self.kl_in == "reward" else ""
        whitened = "" if self.whitening == "none" else ", whitened over the batch's tokens"
        kl = f" {self.kl_in_words()}" if self.kl_in == "loss" else ""
        nll = f" + {self.positive_nll:g} 1[right]" if self.positive_nll else ""
        return f"rho {self.gate_in_words()} A_t{kl}{nll}, A = GAE(r_t{penalty}, V){whitened}"

    def prepare(self, inputs: Inputs) -> Inputs:
        mask_BT, values_BT = inputs.response_mask_BT, given(inputs.values_BT)
        rewards_BT = token_rewards(inputs)
        if self.kl_in == "reward":
            rewards_BT = ops.advantages.with_kl_penalty(
                rewards_BT,
                given(inputs.old_logp_BT),
                given(inputs.ref_logp_BT),
                mask_BT,
                self.kl_coef,
                self.kl_estimator,
            )
        decay: float | Tensor = self.trace_decay
        if self.length_adaptive is not None:
            lengths_B = mask_BT.sum(1).clamp(min=1).to(values_BT)
            decay = (1 - 1 / (self.length_adaptive * lengths_B)).clamp(min=0)
        advantages_BT, returns_BT = ops.advantages.gae(
            rewards_BT, values_BT, mask_BT, discount=self.discount, trace_decay=decay
        )
        if self.value_trace_decay is not None:
            _, returns_BT = ops.advantages.gae(
                rewards_BT, values_BT, mask_BT, discount=self.discount, trace_decay=self.value_trace_decay
            )
        if self.whitening != "none":
            advantages_BT = ops.advantages.whitened(advantages_BT, mask_BT, self.whitening)
        found = replace(inputs, advantages_BT=advantages_BT, returns_BT=returns_BT)
        return (
            found
            if self.value_clip is None
            else found.adding({VALUE_ROOM: values_BT.new_full(values_BT.shape, self.value_clip)})
        )

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        ratio = ops.ratios.log_ratio("token", logp_BT, inputs.old_or(logp_BT), inputs.response_mask_BT).exp()
        factors = ops.gates.clipped(ratio, given(inputs.advantages_BT), self.low, self.high, self.dual_clip)
        found = {"advantage": ops.terms.term(**factors)}
        if self.kl_in == "loss":
            found["kl"] = self.kl_term(logp_BT, inputs)
        if self.positive_nll:
            right_B1 = inputs.correct_B[:, None].to(logp_BT)
            found["likelihood"] = ops.terms.term(nll_coef=logp_BT.new_full((), self.positive_nll), correct=right_B1)
        return found


#: How far from its value before the update a value may move before its loss stops shrinking; in `Inputs.more` where it is limited.
VALUE_ROOM = "value_room_BT"


def value_loss(outputs: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """1/2 (V_t - return_t)^2, [b, T], against the returns that `Ppo.prepare` computes; with a value clip, the larger of two."""
    values_bT, returns_bT = outputs["value"], given(inputs.returns_BT)
    loss_bT = 0.5 * (values_bT - returns_bT).square()
    if VALUE_ROOM not in inputs.more:
        return loss_bT
    before_bT, room_bT = given(inputs.values_BT), inputs.more[VALUE_ROOM]
    held_bT = before_bT + (values_bT - before_bT).clamp(min=-room_bT, max=room_bT)
    return loss_bT.maximum(0.5 * (held_bT - returns_bT).square())


COEFFICIENTS = (Ppo,)
ROWS = {
    "ppo": Method("online_samples", "rule", "outcome", "ppo", "PPO"),
    # Returns to the end for the value model, whatever the policy's trace decay. Without the paper's value pre-training.
    "vc_ppo": Method(
        "online_samples",
        "rule",
        "outcome",
        "ppo",
        "VC-PPO",
        settings={"coefficient": {"value_trace_decay": 1.0}},
        equation="arXiv 2503.01491",
    ),
    # The same, with a trace decay that depends on the length, clip-higher, token mean and the likelihood of right responses.
    "vapo": Method(
        "online_samples",
        "rule",
        "outcome",
        "ppo",
        "VAPO",
        aggregation="batch_token_mean",
        settings={
            "coefficient": {
                "kl_coef": 0.0,
                "value_trace_decay": 1.0,
                "length_adaptive": 0.05,
                "clip_high": 0.28,
                "positive_nll": 0.1,
            }
        },
        equation="arXiv 2504.05118",
    ),
}
