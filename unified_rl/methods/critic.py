"""Advantages from a learned value model: PPO, and the value model's own loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unified_rl import ops
from unified_rl.config.ranges import at_least, between, not_negative, positive
from unified_rl.methods.base import Coefficient, Inputs, Method, given, token_rewards

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass
class Ppo(Coefficient):
    """GAE on token rewards with a KL penalty (Eq. 2) and a learned value model, which is a companion update of its own.

    The paper gives no GAE settings; discount 1 and trace decay 0.95 are PPO's usual ones for text. `value_learning_rate` and
    `value_epochs` belong to the companion: epochs over each rollout before the next one.
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

    def prepare(self, inputs: Inputs) -> Inputs:
        mask = inputs.response_mask_BT
        rewards_BT = ops.advantages.with_kl_penalty(
            token_rewards(inputs), given(inputs.old_logp_BT), given(inputs.ref_logp_BT), mask, self.kl_coef
        )
        advantages_BT, returns_BT = ops.advantages.gae(
            rewards_BT, given(inputs.values_BT), mask, discount=self.discount, trace_decay=self.trace_decay
        )
        return replace(inputs, advantages_BT=advantages_BT, returns_BT=returns_BT)

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        return ops.coefficients.ppo(logp_BT, inputs.old_or(logp_BT), given(inputs.advantages_BT), self.clip_eps)


def value_loss(outputs: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """1/2 (V_t - return_t)^2, [b, T], against the returns that `Ppo.prepare` computes."""
    return 0.5 * (outputs["value"] - given(inputs.returns_BT)).square()


COEFFICIENTS = (Ppo,)
ROWS = {"ppo": Method("online_samples", "rule", "outcome", "ppo", "PPO")}
