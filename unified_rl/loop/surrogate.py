"""The three lines in which every method ends: log-probs, a detached coefficient, and -(w * coefficient * logp) summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from unified_rl.base.types import Ranks
from unified_rl.loop.record import Record, Watched
from unified_rl.methods.base import Coefficient, Inputs
from unified_rl.methods.losses import NamedLoss
from unified_rl.methods.signals import per_micro_batch
from unified_rl.ops import aggregation
from unified_rl.ops.term_checks import check_terms
from unified_rl.ops.terms import Term, Terms, coefficient
from unified_rl.packing.packed_rows import Members


def aggregation_weights(name: str, inputs: Inputs, constant: int, truncated: str, empty: str = "counted") -> Tensor:
    """Weights [B] of the update's sequences (see `ops.aggregation`), with denominators over this whole batch.

    Args:
        name: the aggregation's name. constant: constant_length's length. truncated: "keep", "drop" or "leave_out".
        empty: whether sequences without a response token are "counted" in the denominators, or "left_out".
    """
    if inputs.part_B is not None:
        whole = replace(inputs, part_B=None)
        return _apart(
            inputs.part_B, inputs, lambda rows: aggregation_weights(name, whole.rows(rows), constant, truncated, empty)
        )
    lengths_B = inputs.response_mask_BT.sum(1).to(inputs.rewards_B)
    counted_B = torch.ones_like(inputs.truncated_B)
    if truncated == "leave_out":
        counted_B = counted_B & ~inputs.truncated_B
    if empty == "left_out":
        counted_B = counted_B & (lengths_B > 0)
    if truncated == "leave_out" or empty == "left_out":
        rows = counted_B.nonzero()[:, 0]
        found = _weights(name, lengths_B[rows], inputs.group_B[rows], constant)
        return torch.zeros_like(lengths_B).index_copy_(0, rows, found.to(lengths_B))
    weights_B = _weights(name, lengths_B, inputs.group_B, constant)
    return aggregation.without_truncated(weights_B, inputs.truncated_B) if truncated == "drop" else weights_B


def _apart(part_B: Tensor, inputs: Inputs, weights: Callable[[Tensor], Tensor]) -> Tensor:
    """Weights of each part as if it were the whole update. [B]."""
    found_B = torch.zeros_like(inputs.rewards_B)
    for part in torch.unique(part_B):
        rows = (part_B == part).nonzero()[:, 0]
        found_B = found_B.index_copy(0, rows, weights(rows).to(found_B))
    return found_B


def _weights(name: str, lengths_B: Tensor, group_B: Tensor, constant: int) -> Tensor:
    return {
        "sequence_mean": lambda: aggregation.sequence_mean(lengths_B),
        "prompt_token_mean": lambda: aggregation.prompt_token_mean(lengths_B, group_B),
        "batch_token_mean": lambda: aggregation.batch_token_mean(lengths_B),
        "constant_length": lambda: aggregation.constant_length(lengths_B, constant),
        "pair_mean": lambda: aggregation.pair_mean(lengths_B),
    }[name]()


class SurrogateLoss:
    """-(w * GC * logp) summed over response tokens, with GC detached: its gradient is Eq. 5's, with the sign of a loss.

    Args of the constructor:
        method: what gives the terms. inputs: prepared inputs of the whole update.
        weights_B: aggregation weights of the whole update; None for a coefficient that contains them.
        watched: rows whose per-token terms are kept in `seen`, for the samples.
        losses: the policy's named losses and their weights, which are added.
    """

    def __init__(
        self,
        method: Coefficient,
        inputs: Inputs,
        weights_B: Tensor | None,
        watched: frozenset[int] = frozenset(),
        losses: Mapping[NamedLoss, float] = MappingProxyType({}),
    ) -> None:
        self._method, self._inputs, self._watched = method, inputs, Watched(watched, inputs)
        self._losses, self._side = losses, per_micro_batch(method.needs)
        self._weights_B = torch.ones_like(inputs.rewards_B) if weights_B is None else weights_B
        self._whole: Terms | None = None
        self.record = Record()
        self.seen: dict[int, dict[str, list[float]]] = {}

    def fix(self, outputs: Mapping[str, Tensor]) -> None:
        """Compute the terms of the whole update at once, for a coefficient whose unit is the batch."""
        self._whole = self._method.terms(outputs["logp"], self._beside(self._inputs, outputs))
        check_terms(self._method.name, self._whole, self._inputs.response_mask_BT)

    def __call__(self, outputs: dict[str, Tensor], members: Members) -> Tensor:
        logp_bT, rows_b = outputs["logp"], members.rows_b
        inputs = self._beside(self._inputs.rows(rows_b), outputs)
        terms = self._method.terms(logp_bT.detach(), inputs) if self._whole is None else _rows_of(self._whole, rows_b)
        check_terms(self._method.name, terms, inputs.response_mask_BT)
        coef_bT = coefficient(terms, inputs.response_mask_BT)
        named = {loss: loss.per_token(outputs, inputs) for loss in self._losses}
        self.record.add(terms, coef_bT, outputs, inputs, members, {loss.name: named[loss].detach() for loss in named})
        self._watched.add(terms, coef_bT, logp_bT.detach(), members)
        weights_b1, mask_bT = self._weights_B[rows_b, None], inputs.response_mask_BT
        total = -token_sum(weights_b1 * coef_bT * logp_bT, mask_bT, members)
        for loss, values_bT in named.items():
            total = total + self._losses[loss] * token_sum(weights_b1 * values_bT, mask_bT, members)
        return total

    def _beside(self, inputs: Inputs, outputs: Mapping[str, Tensor]) -> Inputs:
        """The inputs with the signals that come with the log-probs."""
        found = {signal.field: outputs[signal.output].detach() for signal in self._side}
        return inputs.adding(found) if found else inputs

    def gather(self, ranks: Ranks) -> None:
        """Read `record` and `seen` from the device, and complete them with those of the other ranks."""
        found = ranks.gather((self.record.read(), self._watched.read()))
        self.record = Record.merged([record for record, _ in found])
        self.seen = {row: values for _, seen in found for row, values in seen.items()}


class CompanionLoss:
    """A named loss as the whole update of a role beside the policy, weighted like the policy's tokens."""

    def __init__(self, loss: NamedLoss, inputs: Inputs, weights_B: Tensor) -> None:
        self._loss, self._inputs, self._weights_B = loss, inputs, weights_B

    def __call__(self, outputs: dict[str, Tensor], members: Members) -> Tensor:
        inputs = self._inputs.rows(members.rows_b)
        values_bT = self._weights_B[members.rows_b, None] * self._loss.per_token(outputs, inputs)
        return token_sum(values_bT, inputs.response_mask_BT, members)


def token_sum(values_bT: Tensor, mask_bT: Tensor, members: Members) -> Tensor:
    """Sum of the values of the tokens in the mask [b, T], in the order of the response tokens; the others may hold anything."""
    return torch.where(members.tokens(mask_bT), members.tokens(values_bT), 0).sum()


def _rows_of(terms: Terms, rows: Tensor) -> Terms:
    """The terms of some rows. A factor that broadcasts over sequences is kept whole."""

    def pick(factor: Tensor) -> Tensor:
        return factor[rows] if factor.dim() == 2 and factor.shape[0] > 1 else factor

    return {name: Term({key: pick(factor) for key, factor in item.factors.items()}) for name, item in terms.items()}
