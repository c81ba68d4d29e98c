"""The three lines in which every method ends: log-probs, a detached coefficient, and -(w * coefficient * logp) summed.

Also the book-keeping that keeps the terms' names: what each term did, per update, for the metrics and the samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from unified_rl.coefficients import Coefficient, Inputs
from unified_rl.methods.losses import NamedLoss
from unified_rl.methods.signals import per_micro_batch
from unified_rl.ops import aggregation, kl
from unified_rl.ops.terms import Term, Terms, coefficient
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
        self._method, self._inputs, self._watched, self._losses = method, inputs, watched, losses
        self._side = per_micro_batch(method.needs)
        self._weights_B = torch.ones_like(inputs.rewards_B) if weights_B is None else weights_B
        self._whole: Terms | None = None
        self.record = Record()
        self.seen: dict[int, dict[str, list[float]]] = {}

    def fix(self, outputs: Mapping[str, Tensor]) -> None:
        """Compute the terms of the whole update at once, for a coefficient whose unit is the batch."""
        self._whole = self._method.terms(outputs["logp"], self._beside(self._inputs, outputs))

    def __call__(self, outputs: dict[str, Tensor], rows: Tensor) -> Tensor:
        inputs, logp_bT = self._beside(self._inputs.rows(rows), outputs), outputs["logp"]
        mask_bT = inputs.response_mask_BT
        terms = self._method.terms(logp_bT.detach(), inputs) if self._whole is None else _rows_of(self._whole, rows)
        coef_bT = coefficient(terms, mask_bT)
        self.record.add(terms, coef_bT, outputs, inputs)
        self._keep_watched(terms, coef_bT, logp_bT, mask_bT, rows)
        surrogate = -(self._weights_B[rows, None] * coef_bT * logp_bT)[mask_bT].sum()
        return surrogate + self._named(outputs, inputs, rows) if self._losses else surrogate

    def _beside(self, inputs: Inputs, outputs: Mapping[str, Tensor]) -> Inputs:
        """The inputs with the signals that come with the log-probs."""
        found = {signal.field: outputs[signal.output].detach() for signal in self._side}
        return inputs.adding(found) if found else inputs

    def _named(self, outputs: dict[str, Tensor], inputs: Inputs, rows: Tensor) -> Tensor:
        """The named losses of these rows, each by its weight."""
        total = torch.zeros((), dtype=self._weights_B.dtype, device=self._weights_B.device)
        for loss, weight in self._losses.items():
            values_bT = loss.per_token(outputs, inputs)
            self.record.add_loss(loss.name, values_bT.detach(), inputs.response_mask_BT)
            total = total + weight * (self._weights_B[rows, None] * values_bT)[inputs.response_mask_BT].sum()
        return total

    def gather(self, ranks: Ranks) -> None:
        """Complete `record` and `seen`, of this rank's rows so far, with those of the other ranks."""
        found = ranks.gather((self.record, self.seen))
        self.record = Record.merged([record for record, _ in found])
        self.seen = {row: values for _, seen in found for row, values in seen.items()}

    def _keep_watched(self, terms: Terms, coef_bT: Tensor, logp_bT: Tensor, mask_bT: Tensor, rows: Tensor) -> None:
        for place, row in enumerate(rows.tolist()):
            if row in self._watched:
                values = {"total": coef_bT, "logp": logp_bT.detach()}
                values |= {name: item.value().expand_as(coef_bT) for name, item in terms.items()}
                self.seen[row] = {name: value[place][mask_bT[place]].tolist() for name, value in values.items()}


class Record:
    """Token means of what an update's terms and log-probs were. Deterministic: summed in float64 in micro-batch order."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._tokens = 0
        self._largest: dict[str, float] = defaultdict(float)

    def add(self, terms: Terms, coef_bT: Tensor, outputs: dict[str, Tensor], inputs: Inputs) -> None:
        """Count one micro-batch."""
        mask_bT, logp_bT = inputs.response_mask_BT, outputs["logp"].detach()
        self._tokens += int(mask_bT.sum())
        self._mean_and_size("coef/total", coef_bT, mask_bT)
        for name, item in terms.items():
            self._mean_and_size(f"coef/{name}", item.value(), mask_bT)
            if "not_clipped" in item.factors:
                self._mean("ratio/clip_fraction", 1.0 - item.factors["not_clipped"], mask_bT)
        self._importance(terms, mask_bT)
        self._mean("logp/mean", logp_bT, mask_bT)
        self._mean("entropy/mean", outputs["entropy"], mask_bT)
        self._mismatch(logp_bT, inputs.behaviour_logp_BT, mask_bT)
        if inputs.old_logp_BT is not None:
            self._mean("ratio/mean", torch.exp(logp_bT - inputs.old_logp_BT), mask_bT)
            self._max("ratio/max_log", (logp_bT - inputs.old_logp_BT).abs(), mask_bT)
        if inputs.ref_logp_BT is not None:
            for name, estimator in (("k1", kl.k1), ("k2", kl.k2), ("k3", kl.k3)):
                self._mean(f"kl/{name}", estimator(logp_bT, inputs.ref_logp_BT), mask_bT)
            self._max("kl/max_log", (logp_bT - inputs.ref_logp_BT).abs(), mask_bT)

    def add_loss(self, name: str, values_bT: Tensor, mask_bT: Tensor) -> None:
        """Count a named loss of one micro-batch."""
        self._mean(f"loss/{name}", values_bT, mask_bT)

    @classmethod
    def merged(cls, records: Sequence[Record]) -> Record:
        """One record of all ranks' micro-batches, summed in the order of the ranks."""
        whole = cls()
        for record in records:
            whole._tokens += record._tokens
            for name, value in record._sums.items():
                whole._sums[name] += value
            for name, value in record._largest.items():
                whole._largest[name] = max(whole._largest[name], value)
        return whole

    def metrics(self) -> dict[str, float]:
        """Means over the update's response tokens, and the largest |log ratio| to the old policy and to the reference."""
        means = {name: value / max(self._tokens, 1) for name, value in self._sums.items()}
        return {**means, **self._largest}

    def _mismatch(self, logp_bT: Tensor, behaviour_logp_bT: Tensor, mask_bT: Tensor) -> None:
        """How far the sampler is from the trainer: |log ratio|, and KL(sampler || trainer) estimated on its own samples."""
        known_bT = torch.where(behaviour_logp_bT.isnan(), logp_bT, behaviour_logp_bT)  # 0 where there was no sampler
        difference_bT = (logp_bT - known_bT).abs()
        self._mean("sampler/logp_difference", difference_bT, mask_bT)
        self._max("sampler/max_logp_difference", difference_bT, mask_bT)
        self._mean("sampler/kl_k1", kl.k1(known_bT, logp_bT), mask_bT)
        self._mean("sampler/kl_k3", kl.k3(known_bT, logp_bT), mask_bT)

    def _importance(self, terms: Terms, mask_bT: Tensor) -> None:
        """The importance factors, which all terms have in common: their mean, and the share of tokens that the limit touches."""
        factors = next((item.factors for item in terms.values()), {})
        for limit in ("tis", "mis"):
            if limit in factors:
                self._mean("importance/mean", factors["sampler_weight"] * factors[limit], mask_bT)
                self._mean("importance/limited", (factors[limit] < 1).to(factors[limit]), mask_bT)

    def _mean_and_size(self, name: str, values_bT: Tensor, mask_bT: Tensor) -> None:
        self._mean(f"{name}/mean", values_bT, mask_bT)
        self._mean(f"{name}/abs_mean", values_bT.abs(), mask_bT)

    def _mean(self, name: str, values_bT: Tensor, mask_bT: Tensor) -> None:
        self._sums[name] += values_bT.expand_as(mask_bT)[mask_bT].sum(dtype=torch.float64).item()

    def _max(self, name: str, values_bT: Tensor, mask_bT: Tensor) -> None:
        if mask_bT.any():
            self._largest[name] = max(self._largest[name], values_bT[mask_bT].max().item())


class CompanionLoss:
    """A named loss as the whole update of a role beside the policy, weighted like the policy's tokens."""

    def __init__(self, loss: NamedLoss, inputs: Inputs, weights_B: Tensor) -> None:
        self._loss, self._inputs, self._weights_B = loss, inputs, weights_B

    def __call__(self, outputs: dict[str, Tensor], rows: Tensor) -> Tensor:
        inputs = self._inputs.rows(rows)
        return (self._weights_B[rows, None] * self._loss.per_token(outputs, inputs))[inputs.response_mask_BT].sum()


def _rows_of(terms: Terms, rows: Tensor) -> Terms:
    """The terms of some rows. A factor that broadcasts over sequences is kept whole."""

    def pick(factor: Tensor) -> Tensor:
        return factor[rows] if factor.dim() == 2 and factor.shape[0] > 1 else factor

    return {name: Term({key: pick(factor) for key, factor in item.factors.items()}) for name, item in terms.items()}
