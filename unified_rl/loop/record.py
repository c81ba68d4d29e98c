"""What an update's terms and log-probs were: token means for the metrics, and the terms of a few rows for the samples.

Micro-batches are counted on the device; numbers are read from it once, when the update is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from math import prod
from types import MappingProxyType

import torch
from torch import Tensor

from unified_rl.methods.base import Inputs
from unified_rl.ops import kl
from unified_rl.ops.ratios import bounded
from unified_rl.ops.terms import Terms
from unified_rl.packing.packed_rows import Members


class Record:
    """Token means of what an update's terms and log-probs were. Deterministic: summed in float64 in micro-batch order."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._sums: dict[str, float] = defaultdict(float)
        self._largest: dict[str, float] = defaultdict(float)
        self._unread: list[_Counts] = []

    def add(
        self,
        terms: Terms,
        coef_bT: Tensor,
        outputs: Mapping[str, Tensor],
        inputs: Inputs,
        members: Members,
        losses: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Count one micro-batch, whose rows `inputs` and `members` are of. Nothing is read from the device.

        Args:
            losses: values [b, T] of the named losses beside the terms.
        """
        counts, logp_bT = _Counts(members, inputs.response_mask_BT), outputs["logp"].detach()
        counts.mean_and_size("coef/total", coef_bT)
        for name, item in terms.items():
            counts.mean_and_size(f"coef/{name}", item.value())
            if "not_clipped" in item.factors:
                counts.mean("ratio/clip_fraction", 1.0 - item.factors["not_clipped"])
        _importance(counts, terms)
        counts.mean("logp/mean", logp_bT)
        for name, beside_bT in outputs.items():
            if name != "logp":
                counts.mean(f"{name}/mean", beside_bT.detach())
        _mismatch(counts, logp_bT, inputs.behaviour_logp_BT)
        if inputs.old_logp_BT is not None:
            counts.mean("ratio/mean", torch.exp(bounded(logp_bT - inputs.old_logp_BT)))
            counts.largest("ratio/max_log", (logp_bT - inputs.old_logp_BT).abs())
        if inputs.ref_logp_BT is not None:
            for name, estimator in (("k1", kl.k1), ("k2", kl.k2), ("k3", kl.k3)):
                counts.mean(f"kl/{name}", estimator(logp_bT, inputs.ref_logp_BT))
            counts.largest("kl/max_log", (logp_bT - inputs.ref_logp_BT).abs())
        for name, values_bT in losses.items():
            counts.mean(f"loss/{name}", values_bT)
        self._unread.append(counts)

    def read(self) -> Record:
        """This record with all its numbers on the host, which waits for the device here."""
        unread, self._unread = self._unread, []
        numbers = iter(_numbers(tensor for counts in unread for tensor in counts.tensors()))
        for counts in unread:
            self._tokens += next(numbers)
            for name in counts.sums:
                self._sums[name] += next(numbers)
            for name in counts.most:
                self._largest[name] = max(self._largest[name], next(numbers))
        return self

    @classmethod
    def merged(cls, records: Sequence[Record]) -> Record:
        """One record of all ranks' micro-batches, summed in the order of the ranks."""
        whole = cls()
        for record in records:
            record.read()
            whole._tokens += record._tokens
            for name, value in record._sums.items():
                whole._sums[name] += value
            for name, value in record._largest.items():
                whole._largest[name] = max(whole._largest[name], value)
        return whole

    def metrics(self) -> dict[str, float]:
        """Means over the update's response tokens, and the largest |log ratio| to the old policy and to the reference."""
        self.read()
        means = {name: value / max(self._tokens, 1) for name, value in self._sums.items()}
        return {**means, **self._largest}


class _Counts:
    """Sums and largest values over one micro-batch's response tokens, as scalars on its device."""

    def __init__(self, members: Members, mask_bT: Tensor) -> None:
        self._members, self._written_N = members, members.tokens(mask_bT)
        self._tokens = self._written_N.sum()
        self._shape = mask_bT.shape
        self.sums: dict[str, Tensor] = {}
        self.most: dict[str, Tensor] = {}

    def tensors(self) -> list[Tensor]:
        """All of them: the number of tokens, the sums, the largest values."""
        return [self._tokens, *self.sums.values(), *self.most.values()]

    def mean(self, name: str, values_bT: Tensor) -> None:
        found = self._tokens_of(values_bT).sum(dtype=torch.float64)
        self.sums[name] = self.sums[name] + found if name in self.sums else found

    def mean_and_size(self, name: str, values_bT: Tensor) -> None:
        self.mean(f"{name}/mean", values_bT)
        self.mean(f"{name}/abs_mean", values_bT.abs())

    def largest(self, name: str, sizes_bT: Tensor) -> None:
        """Of sizes, which are at least 0."""
        self.most[name] = self._tokens_of(sizes_bT).max()

    def _tokens_of(self, values_bT: Tensor) -> Tensor:
        """Values [N] of the response tokens, 0 where the policy did not write one."""
        values_N = self._members.tokens(values_bT.expand(self._shape))
        return torch.where(self._written_N, values_N, 0)


def _numbers(tensors: Iterable[Tensor]) -> list[float]:
    """Scalars of any dtype from the device to the host, all at once."""
    found = [tensor.double() for tensor in tensors]
    return torch.stack(found).tolist() if found else []


def _mismatch(counts: _Counts, logp_bT: Tensor, behaviour_logp_bT: Tensor) -> None:
    """How far the sampler is from the trainer: |log ratio|, and KL(sampler || trainer) estimated on its own samples."""
    known_bT = torch.where(behaviour_logp_bT.isnan(), logp_bT, behaviour_logp_bT)  # 0 where there was no sampler
    difference_bT = (logp_bT - known_bT).abs()
    counts.mean("sampler/logp_difference", difference_bT)
    counts.largest("sampler/max_logp_difference", difference_bT)
    counts.mean("sampler/kl_k1", kl.k1(known_bT, logp_bT))
    counts.mean("sampler/kl_k3", kl.k3(known_bT, logp_bT))


#: Factors by which an importance weight is limited, or what it weighs dropped.
LIMITS = ("tis", "mis", "kept")


def _importance(counts: _Counts, terms: Terms) -> None:
    """The importance factors, which the terms have in common: their mean, and the share of tokens that a limit touches."""
    factors = next((item.factors for item in terms.values()), {})
    found = [factors[limit] for limit in LIMITS if limit in factors]
    if "sampler_weight" in factors:
        counts.mean("importance/mean", prod(found, start=factors["sampler_weight"]))
    if found:
        touched = [limit != 1 for limit in found]
        counts.mean("importance/limited", reduce(torch.logical_or, touched).to(found[0]))


class Watched:
    """The values per token of a few rows of an update, kept on the device until they are read.

    Args of the constructor:
        rows: which, as indices in the update's batch. inputs: of the whole update.
    """

    def __init__(self, rows: Iterable[int], inputs: Inputs) -> None:
        self._rows, self._mask_BT = sorted(rows), inputs.response_mask_BT
        self._rows_W = torch.tensor(self._rows, dtype=torch.int64, device=self._mask_BT.device)
        self._here_W = torch.zeros_like(self._rows_W, dtype=torch.bool)
        self._values: dict[str, Tensor] = {}

    def add(self, terms: Terms, coef_bT: Tensor, logp_bT: Tensor, members: Members) -> None:
        """Keep what of a micro-batch is of watched rows: its coefficient ("total"), log-probs ("logp") and terms, by name."""
        if not self._rows:
            return
        place_W = torch.searchsorted(members.rows_b, self._rows_W).clamp_(max=len(members.rows_b) - 1)
        here_W = members.rows_b[place_W] == self._rows_W
        for name, value_bT in {
            "total": coef_bT,
            "logp": logp_bT,
            **{name: item.value() for name, item in terms.items()},
        }.items():
            found_WT = value_bT.expand_as(coef_bT)[place_W]
            self._values[name] = torch.where(here_W[:, None], found_WT, self._values.get(name, 0))
        self._here_W |= here_W

    def read(self) -> dict[int, dict[str, list[float]]]:
        """Row -> name -> values of its response tokens, of the rows that were among the micro-batches."""
        values = {name: value.cpu() for name, value in self._values.items()}
        found = {}
        for place, (row, here) in enumerate(zip(self._rows, self._here_W.tolist(), strict=True)):
            if here:
                mask_T = self._mask_BT[row].cpu()
                found[row] = {name: value[place][mask_T].tolist() for name, value in values.items()}
        return found
