"""Losses that are not functions of the sampled tokens' log-probs, by name. No torch.

They stand beside the terms of a coefficient: per response token, weighted by the same aggregation, and in the same ledger (metric
`loss/NAME`). A loss of the policy is added to its update with the weight that `losses.NAME` says. The loss of another trained role
is that role's whole update: PPO's value model follows the returns by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.methods import critic, distillation
from unified_rl.methods.base import Inputs
from unified_rl.methods.signals import ROLES

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NamedLoss:
    """One loss, to be minimised.

    role: whose update it belongs to. formula: per response token, for `explain`.
    per_token: (the role's outputs [b, T], the same rows' inputs) -> [b, T].
    differentiates: the outputs, beside the log-probs, through which its gradient flows: signals of every micro-batch by name, whose
    roles the loss needs.
    """

    name: str
    role: str
    formula: str
    per_token: Callable[[Mapping[str, Tensor], Inputs], Tensor]
    differentiates: frozenset[str] = frozenset()


def negative_entropy(outputs: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """-H of the distribution that each token was drawn from, [b, T], in nats at the sampling temperature."""
    return -outputs["entropy"]


LOSSES: dict[str, NamedLoss] = {
    loss.name: loss
    for loss in (
        NamedLoss("value", "value", "1/2 (V_t - return_t)^2", critic.value_loss),
        NamedLoss(
            "teacher_reverse_kl",
            "policy",
            "KL(pi(.|q, o_<t) || pi_T(.|q, o_<t))",
            distillation.reverse_kl,
            frozenset({"reverse_kl"}),
        ),
        NamedLoss(
            "teacher_forward_kl",
            "policy",
            "KL(pi_T(.|q, o_<t) || pi(.|q, o_<t))",
            distillation.forward_kl,
            frozenset({"forward_kl"}),
        ),
        NamedLoss(
            "teacher_jsd",
            "policy",
            "(1 - b) KL(pi || m) + b KL(pi_T || m), m = (1 - b) pi + b pi_T, b = jsd_beta",
            distillation.generalised_jsd,
            frozenset({"jsd"}),
        ),
        NamedLoss("entropy_bonus", "policy", "-H(pi(.|q, o_<t))", negative_entropy, frozenset({"entropy"})),
    )
}


def of_policy(weights: Mapping[str, float]) -> dict[NamedLoss, float]:
    """The configured losses of the policy with their weights."""
    return {LOSSES[name]: weight for name, weight in weights.items() if weight}


def needs(config: Any) -> dict[str, frozenset[str]]:
    """Who of a configuration needs what: its coefficient, the losses beside it, and what is only logged."""
    coefficient = config.coefficient
    beside = {f"losses.{loss.name}": loss.differentiates for loss in of_policy(config.losses)}
    watched = {"logging.reference_kl": frozenset({"ref_logp"})} if config.logging.reference_kl else {}
    return {f"coefficient={coefficient.name}": coefficient.needs, **beside, **watched}


def all_needs(config: Any) -> frozenset[str]:
    """Everything that a configuration needs of the loop and of its source."""
    return frozenset().union(*needs(config).values())


def of_role(role: str) -> NamedLoss:
    """The loss by which a trained role beside the policy is updated."""
    return next(loss for loss in LOSSES.values() if loss.role == role)


def check_losses(config: Any) -> None:
    """Raise ConfigError for a name or a weight that means nothing."""
    known = [loss.name for loss in LOSSES.values() if not ROLES[loss.role].options]
    for name in config.losses:
        if name not in known:
            raise ConfigError(f"losses.{name} is not known{did_you_mean(name, known)}; set one of these, or leave it out")
    if not 0 < config.jsd_beta < 1:
        raise ConfigError(
            f"jsd_beta={config.jsd_beta} leaves one distribution in the mixture, and a divergence of 0; set "
            "losses.teacher_forward_kl in place of losses.teacher_jsd for 0, losses.teacher_reverse_kl for 1"
        )
    if config.coefficient.by_losses and not any(config.losses.values()):
        raise ConfigError(
            f"coefficient={config.coefficient.name} has no term of its own, and there is no loss beside it; set "
            "losses.teacher_jsd, losses.teacher_forward_kl or losses.teacher_reverse_kl"
        )
    if any(config.losses.values()) and config.coefficient.contains_weights:
        raise ConfigError(
            f"coefficient={config.coefficient.name} contains its own average, to which losses weighted by an aggregation cannot be "
            "added; set them to 0, or put them into its objective"
        )
