"""The three lines in which every method ends: log-probs, a detached coefficient, and -(w * coefficient * logp) summed."""

from __future__ import annotations

import torch
from torch import Tensor

from unified_rl.coefficients import Coefficient, Inputs
from unified_rl.engines.packing import Members
from unified_rl.ops import aggregation
from unified_rl.ops.terms import Term, Terms, coefficient
from unified_rl.record import Record, Watched
from unified_rl.types import Ranks


def aggregation_weights(name: str, inputs: Inputs, constant: int, truncated: str) -> Tensor:
    """Weights [B] of the update's sequences (see `ops.aggregation`), with denominators over this whole batch.

    Args:
        name: the aggregation's name. constant: constant_length's length. truncated: "keep" or "drop".
    """
    lengths_B = inputs.response_mask_BT.sum(1).to(inputs.rewards_B)
    weights_B = {
        "sequence_mean": lambda: aggregation.sequence_mean(lengths_B),
        "prompt_token_mean": lambda: aggregation.prompt_token_mean(lengths_B, inputs.group_B),
        "batch_token_mean": lambda: aggregation.batch_token_mean(lengths_B),
        "constant_length": lambda: aggregation.constant_length(lengths_B, constant),
        "pair_mean": lambda: aggregation.pair_mean(lengths_B),
    }[name]()
    return aggregation.without_truncated(weights_B, inputs.truncated_B) if truncated == "drop" else weights_B


class SurrogateLoss:
    """-(w * GC * logp) summed over response tokens, with GC detached: its gradient is Eq. 5's, with the sign of a loss.

    Args of the constructor:
        method: what gives the terms. inputs: prepared inputs of the whole update.
        weights_B: aggregation weights of the whole update; None for a coefficient that contains them.
        watched: rows whose per-token terms are kept in `seen`, for the samples.
    """

    def __init__(
        self, method: Coefficient, inputs: Inputs, weights_B: Tensor | None, watched: frozenset[int] = frozenset()
    ) -> None:
        self._method, self._inputs, self._watched = method, inputs, Watched(watched, inputs)
        self._weights_B = torch.ones_like(inputs.rewards_B) if weights_B is None else weights_B
        self._whole: Terms | None = None
        self.record = Record()
        self.seen: dict[int, dict[str, list[float]]] = {}

    def fix(self, logp_BT: Tensor) -> None:
        """Compute the terms of the whole update at once, for a coefficient whose unit is the batch."""
        self._whole = self._method.terms(logp_BT, self._inputs)

    def __call__(self, outputs: dict[str, Tensor], members: Members) -> Tensor:
        inputs, logp_bT, rows_b = self._inputs.rows(members.rows_b), outputs["logp"], members.rows_b
        terms = self._method.terms(logp_bT.detach(), inputs) if self._whole is None else _rows_of(self._whole, rows_b)
        coef_bT = coefficient(terms, inputs.response_mask_BT)
        self.record.add(terms, coef_bT, outputs, inputs, members)
        self._watched.add(terms, coef_bT, logp_bT.detach(), members)
        return -token_sum(self._weights_B[rows_b, None] * coef_bT * logp_bT, inputs.response_mask_BT, members)

    def gather(self, ranks: Ranks) -> None:
        """Read `record` and `seen` from the device, and complete them with those of the other ranks."""
        found = ranks.gather((self.record.read(), self._watched.read()))
        self.record = Record.merged([record for record, _ in found])
        self.seen = {row: values for _, seen in found for row, values in seen.items()}


class ValueLoss:
    """1/2 (V - return)^2, weighted like the policy's tokens: PPO's companion update."""

    def __init__(self, inputs: Inputs, weights_B: Tensor) -> None:
        assert inputs.returns_BT is not None, "a value update needs the returns that `prepare` computes"
        self._inputs, self._returns_BT, self._weights_B = inputs, inputs.returns_BT, weights_B

    def __call__(self, outputs: dict[str, Tensor], members: Members) -> Tensor:
        rows_b = members.rows_b
        error_bT = outputs["value"] - self._returns_BT[rows_b]
        mask_bT = self._inputs.response_mask_BT[rows_b]
        return token_sum(0.5 * self._weights_B[rows_b, None] * error_bT.square(), mask_bT, members)


def token_sum(values_bT: Tensor, mask_bT: Tensor, members: Members) -> Tensor:
    """Sum of the values of the tokens in the mask [b, T], in the order of the response tokens; the others may hold anything."""
    return torch.where(members.tokens(mask_bT), members.tokens(values_bT), 0).sum()


def _rows_of(terms: Terms, rows: Tensor) -> Terms:
    """The terms of some rows. A factor that broadcasts over sequences is kept whole."""

    def pick(factor: Tensor) -> Tensor:
        return factor[rows] if factor.dim() == 2 and factor.shape[0] > 1 else factor

    return {name: Term({key: pick(factor) for key, factor in item.factors.items()}) for name, item in terms.items()}
