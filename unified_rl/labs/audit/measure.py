"""What a configuration's loss does to each token of dumped rollouts: the push w GC, step by step, every step one update's batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.config.schema import Config
from unified_rl.labs.audit.readers import Rollout
from unified_rl.labs.conformance import of_logp
from unified_rl.methods.base import Inputs
from unified_rl.methods.importance import corrected
from unified_rl.ops.terms import Terms
from unified_rl.sources.declaration import Writer
from unified_rl.sources.registry import declared

#: Most places (responses x longest response) of one step that are computed at a time.
MOST = 1 << 27
READABLE = frozenset({"groups", "samples", "ref_logp", "old_logp"})


@dataclass(frozen=True)
class Batch:
    """One step's rollouts as a coefficient reads them. known: the log-probs that the dump has."""

    rollouts: Sequence[Rollout]
    inputs: Inputs
    logp_BT: Tensor
    known: frozenset[str]

    @property
    def step(self) -> int:
        return self.rollouts[0].step


@dataclass(frozen=True)
class Pushed:
    """push_BT: w GC, the ascent on each log-prob. advantage_B: of the first token. gated_BT: tokens with a factor 0 beside an A."""

    push_BT: Tensor
    advantage_B: Tensor
    gated_BT: Tensor


def batches(rollouts: Sequence[Rollout], lengths: Sequence[int]) -> list[Batch]:
    """The rollouts by their steps. lengths: tokens of each response (of its `tokens`, where it has some).

    Raises:
        DataError: a step is too large to be computed at once.
    """
    of_step: dict[int, list[int]] = {}
    for place, one in enumerate(rollouts):
        of_step.setdefault(one.step, []).append(place)
    return [
        _batch([rollouts[i] for i in places], [lengths[i] for i in places], step) for step, places in sorted(of_step.items())
    ]


def _batch(rollouts: Sequence[Rollout], lengths: Sequence[int], step: int) -> Batch:
    longest = max(1, *lengths)
    if longest * len(rollouts) > MOST:
        raise DataError(
            f"step {step} has {len(rollouts)} responses of up to {longest} tokens, too many to compute at once; split it"
        )
    lengths_B = torch.tensor(lengths)
    mask_BT = torch.arange(longest) < lengths_B[:, None]
    numbers: dict[str, int] = {}
    group_B = torch.tensor([numbers.setdefault(one.prompt, len(numbers)) for one in rollouts])
    rewards_B = torch.tensor([one.reward for one in rollouts], dtype=torch.float64)
    known = frozenset.intersection(*(frozenset(one.logps) for one in rollouts))
    logps = {name: _padded([one.logps[name] for one in rollouts], mask_BT) for name in known}
    nothing_BT = torch.zeros(mask_BT.shape, dtype=torch.float64)
    old_BT = _one_of(logps, ("old_logp", "logp", "behaviour_logp"), nothing_BT)
    logp_BT = _one_of(logps, ("logp", "old_logp", "behaviour_logp"), nothing_BT)
    inputs = Inputs(
        response_mask_BT=mask_BT,
        group_B=group_B,
        rewards_B=rewards_B,
        correct_B=(rewards_B > 0).double(),
        truncated_B=torch.tensor([bool(one.truncated) for one in rollouts]),
        behaviour_logp_BT=logps.get("behaviour_logp", old_BT),
        old_logp_BT=old_BT,
        ref_logp_BT=logps.get("ref_logp", logp_BT),
    )
    return Batch(rollouts, inputs, logp_BT, known)


def _one_of(logps: dict[str, Tensor], names: Sequence[str], otherwise: Tensor) -> Tensor:
    return next((logps[name] for name in names if name in logps), otherwise)


def _padded(values: Sequence[Sequence[float]], mask_BT: Tensor) -> Tensor:
    found = torch.zeros(mask_BT.shape, dtype=torch.float64)
    found[mask_BT] = torch.tensor([value for row in values for value in row], dtype=torch.float64)
    return found


def check(config: Config, word: str) -> None:
    """Refuse a configuration whose loss reads what no dump has, or has a part that is not audited.

    Raises:
        ConfigError: names the word at fault.
    """
    lacking = sorted(config.coefficient.needs - READABLE)
    if config.reward.supervision == "process":
        lacking.append("step rewards")
    if declared(config.source).provides.writer is Writer.DATA:
        lacking.append("demonstrations")  # a dump's responses are a policy's
    if lacking:
        raise ConfigError(
            f"{word}: method={config.method} reads {', '.join(lacking)}, which no dump has; audit it as method=grpo"
        )
    beside = [name for name, weight in config.losses.items() if weight]
    if beside:
        raise ConfigError(
            f"losses.{beside[0]}={config.losses[beside[0]]:g}: losses beside the method's own are not audited; leave it out"
        )


def constant_length(config: Config, length: int) -> Config:
    """The configuration with one constant for all steps, as in training, where its aggregation needs one and states none."""
    options = config.aggregation
    return replace(config, aggregation=replace(options, length=length)) if options.lacks_length else config


def push(config: Config, batch: Batch) -> Pushed:
    """What the configuration does to every token of the batch. Without a reference's log-probs its KL is left out.

    Raises:
        DataError: it is too large for a number.
    """
    push_BT = -of_logp(_without_unknown(config, batch), batch.inputs, batch.logp_BT)
    _check_finite(push_BT, batch)
    terms, prepared = terms_of(config, batch)
    advantages_BT = _advantages(terms, prepared).expand_as(push_BT)
    factors = terms["advantage"].factors if "advantage" in terms else {}
    gates: list[Tensor] = [value.expand_as(push_BT) for name, value in factors.items() if name != "advantage"]
    open_BT = torch.stack([gate != 0 for gate in gates]).all(0) if gates else torch.ones_like(push_BT, dtype=torch.bool)
    mask_BT = prepared.response_mask_BT
    first = mask_BT.int().argmax(1, keepdim=True)
    return Pushed(push_BT, advantages_BT.gather(1, first)[:, 0], ~open_BT & mask_BT & (advantages_BT != 0))


def _advantages(terms: Terms, prepared: Inputs) -> Tensor:
    """[B, T] or broadcasting to it; the coefficient itself of a method that has no advantages, as RFT's indicator."""
    if prepared.advantages_BT is not None:
        return prepared.advantages_BT
    return torch.stack(torch.broadcast_tensors(*(one.value() for one in terms.values()))).sum(0)


def _check_finite(push_BT: Tensor, batch: Batch) -> None:
    wrong_B = ~push_BT.isfinite().all(1)
    if bool(wrong_B.any()):
        one = batch.rollouts[int(wrong_B.int().argmax())]
        raise DataError(f"{one.where}: its push overflows: rewards or log-probs are too far apart, or an option is too large")


def terms_of(config: Config, batch: Batch) -> tuple[Terms, Any]:
    """The coefficient's named terms on the batch, each a product of named factors, and the inputs that they were made of."""
    config = _without_unknown(config, batch)
    method: Any = corrected(config.coefficient, config.importance)
    prepared = method.prepare(batch.inputs)
    return method.terms(batch.logp_BT, prepared), prepared


def _without_unknown(config: Config, batch: Batch) -> Config:
    if "ref_logp" not in batch.known and getattr(config.coefficient, "kl_coef", 0.0) > 0:
        return replace(config, coefficient=replace(config.coefficient, kl_coef=0.0))
    return config
