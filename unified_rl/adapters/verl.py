"""Any policy-gradient row inside verl: an advantage estimator and a policy loss, registered by verl's own decorators.

    # my_rows.py, on PYTHONPATH; VERL_USE_EXTERNAL_MODULES=my_rows has verl import it in every process
    from unified_rl.adapters.verl import register

    register("method=gspo", name="our_gspo")

    # algorithm.adv_estimator=our_gspo actor_rollout_ref.actor.policy_loss.loss_mode=our_gspo
    # actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean

verl samples, rewards and makes the updates; advantages, ratios and gates are the row's. verl knows the global batch, so its own
aggregation averages, and must be the row's; the KL is verl's own loss (`actor.use_kl_loss`), since a policy loss is not given the
reference's log-probs. A response counts as accepted where its reward is above 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unified_rl.base.errors import ConfigError
from unified_rl.config.schema import Config
from unified_rl.methods.base import Inputs, given
from unified_rl.methods.composition import PolicyGradient
from unified_rl.ops.terms import Terms, coefficient
from unified_rl.presets.loading import load_config

#: The versions of verl that this was tested with.
TESTED = ("0.9.1",)
#: What a row may need and verl supplies to an advantage estimator or to a policy loss.
SUPPLIED = frozenset({"groups", "samples", "old_logp"})
#: Our aggregations as verl's `loss_agg_mode`.
AGGREGATIONS = {
    "sequence_mean": "seq-mean-token-mean",
    "batch_token_mean": "token-mean",
    "constant_length": "seq-mean-token-sum-norm",
}


def register(*words: str, name: str) -> Config:
    """Register a row with verl as advantage estimator and as policy loss `name`.

    Args:
        words: as on our command line: `method=NAME`, and what of sections coefficient and aggregation is otherwise.

    Returns:
        The row's configuration.

    Raises:
        ConfigError: verl is not installed, the name is taken, or the row needs what verl does not supply, with the remedy.
    """
    config = load_config(words)
    check_row(config)
    try:
        from verl.trainer.ppo import core_algos
    except ImportError as error:
        raise ConfigError(f"unified_rl.adapters.verl needs verl ({error}); install verl {TESTED[-1]}") from error
    if name in core_algos.ADV_ESTIMATOR_REGISTRY or name in core_algos.POLICY_LOSS_REGISTRY:
        raise ConfigError(f"name={name!r} is registered with verl already; give the row another name")
    core_algos.register_adv_est(name)(estimator(config))
    core_algos.register_policy_loss(name)(policy_loss(config, core_algos.agg_loss))
    return config


def check_row(config: Config) -> None:
    """Refuse a row that verl cannot follow. Raises ConfigError."""
    rule = config.coefficient
    who = f"coefficient={rule.name}"
    if not isinstance(rule, PolicyGradient):
        raise ConfigError(
            f"{who} is no ratio x gate x advantage, and verl hands a policy loss advantages; train it with unified-rl"
        )
    if rule.kl_coef:
        raise ConfigError(
            f"{who} has a KL of weight {rule.kl_coef:g}, but verl gives a policy loss no reference; set coefficient.kl_coef=0, and "
            "verl's actor.use_kl_loss, kl_loss_coef and kl_loss_type"
        )
    if missing := sorted(rule.needs - SUPPLIED - {"ref_logp"}):  # which a KL of weight 0 names, and nothing reads
        raise ConfigError(f"{who} needs {', '.join(missing)}, which verl does not give; train it with unified-rl")
    if rule.unit in ("pair", "group", "batch"):
        raise ConfigError(
            f"{who} is computed over a whole {rule.unit}, but verl divides updates by responses; train it with unified-rl"
        )
    if config.reward.supervision != "outcome":
        raise ConfigError(
            f"verl's token_level_rewards do not say where steps end, but reward.supervision={config.reward.supervision}; set "
            "outcome"
        )
    _check_sections(config)


def _check_sections(config: Config) -> None:
    options = config.aggregation
    if options.name not in AGGREGATIONS:
        raise ConfigError(
            f"aggregation={options.name} is none of verl's; set aggregation={' or '.join(AGGREGATIONS)}, or train it with "
            "unified-rl"
        )
    default = type(options)()
    if (options.truncated, options.empty) != (default.truncated, default.empty):
        raise ConfigError(
            "verl's aggregation has no word on truncated or empty responses; leave them out of section aggregation"
        )
    if config.importance.name != "none" or config.losses:
        raise ConfigError(
            "the adapter has no importance correction and no further losses (verl has its own: rollout_correction, entropy_coeff); "
            "leave `importance` and `losses` out"
        )


def estimator(config: Config) -> Callable[..., tuple[Tensor, Tensor]]:
    """The row's advantages as verl's advantage estimators give them."""

    def advantages(
        token_level_rewards: Tensor,
        response_mask: Tensor,
        config: Any = None,
        index: Sequence[Any] | None = None,
        **others: Any,
    ) -> tuple[Tensor, Tensor]:
        """Advantages [B, T], and the same as returns. index: of each response's prompt."""
        mask_BT = response_mask.bool()
        rewards_B = torch.where(mask_BT, token_level_rewards, 0).sum(1)
        found = rule.prepare(_inputs(mask_BT, rewards_B, _groups(index, rewards_B, "groups" in rule.needs)))
        found_BT = torch.where(mask_BT, given(found.advantages_BT), 0)
        return found_BT, found_BT

    rule = config.coefficient
    return advantages


def policy_loss(config: Config, agg_loss: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, dict[str, Any]]]:
    """The row's surrogate, -(w GC log pi) summed, as verl's policy losses give it. agg_loss: verl's own, which has the w."""

    def loss(
        old_log_prob: Tensor,
        log_prob: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        loss_agg_mode: str = "token-mean",
        config: Any = None,
        rollout_is_weights: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        if loss_agg_mode != mode:
            raise ConfigError(
                f"actor.loss_agg_mode={loss_agg_mode} is not the row's aggregation={row.aggregation.name}; set "
                f"actor.loss_agg_mode={mode}"
            )
        mask_BT = response_mask.bool()
        terms = _terms(row, log_prob.detach(), old_log_prob, advantages, mask_BT)
        coef_BT = coefficient(terms, mask_BT)
        if rollout_is_weights is not None:
            coef_BT = coef_BT * rollout_is_weights
        batch = getattr(config, "global_batch_info", {})
        surrogate_BT = torch.where(mask_BT, -coef_BT * log_prob, 0)
        return agg_loss(loss_mat=surrogate_BT, loss_mask=mask_BT, loss_agg_mode=mode, **batch), _metrics(terms, mask_BT)

    row, mode = config, AGGREGATIONS[config.aggregation.name]
    return loss


def _terms(row: Config, logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor) -> Terms:
    """The row's terms of a micro-batch, from its advantages. What a reward was is not known here any more."""
    unknown_B = logp_BT.new_full((len(logp_BT),), torch.nan)
    known = {"old_logp_BT": old_logp_BT, "ref_logp_BT": old_logp_BT, "advantages_BT": advantages_BT}
    return row.coefficient.terms(logp_BT, _inputs(mask_BT, unknown_B, torch.zeros_like(unknown_B).long()).adding(known))


def _inputs(mask_BT: Tensor, rewards_B: Tensor, group_B: Tensor) -> Inputs:
    """Responses as a coefficient reads them."""
    return Inputs(
        response_mask_BT=mask_BT,
        group_B=group_B,
        rewards_B=rewards_B,
        correct_B=(rewards_B > 0).to(rewards_B),
        truncated_B=torch.zeros_like(rewards_B).bool(),
        behaviour_logp_BT=rewards_B.new_full(mask_BT.shape, torch.nan),
    )


def _groups(index: Sequence[Any] | None, rewards_B: Tensor, wanted: bool) -> Tensor:
    """A number for each response's prompt."""
    if index is None:
        if wanted:
            raise ConfigError("the row compares the responses to one prompt, but verl's batch has no uid; give it one")
        return torch.arange(len(rewards_B), device=rewards_B.device)
    _, number = np.unique(np.asarray(index).astype(str), return_inverse=True)
    return torch.as_tensor(number, device=rewards_B.device)


def _metrics(terms: Terms, mask_BT: Tensor) -> dict[str, float]:
    """Token means of the terms' sizes, and of what the clip stops, among verl's metrics."""
    found = {f"actor/coef/{name}/abs_mean": item.value().abs() for name, item in terms.items()}
    for item in terms.values():
        if "not_clipped" in item.factors:
            found["actor/pg_clipfrac"] = 1 - item.factors["not_clipped"]
    count = mask_BT.sum().clamp(min=1)
    return {name: float(torch.where(mask_BT, value.expand(mask_BT.shape), 0).sum() / count) for name, value in found.items()}
