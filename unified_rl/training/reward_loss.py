"""What a reward model is trained on: binary cross-entropy of the logits after labelled tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unified_rl.base.errors import DataError
from unified_rl.models.roles import Outputs
from unified_rl.packing.packed_rows import Members


class RewardLoss:
    """Binary cross-entropy with logits, a mean over all labelled tokens of the update:

        L = 1/M sum_{(i,t) labelled} -[ y log sigma(s) + (1 - y) log(1 - sigma(s)) ],   s = logit after token t of response i

    y may be any number in 0..1 (soft labels). M counts the labels of the whole update, before any split into micro-batches or
    over processes. An outcome label is one per response, at its last token; a process label one per step, so a response of six
    steps counts three times as much as one of two.

    Args of the constructor:
        ends: per sequence, int64 [K], the tokens that carry a label. labels: per sequence, [K] in 0..1; NaN is no label.
        device: where the logits will be. Brought there in the midst of an update, labels would have the host wait.

    Raises:
        DataError: labels that do not match their places or lie outside 0..1, or none at all.
    """

    def __init__(self, ends: Sequence[np.ndarray], labels: Sequence[np.ndarray], device: torch.device | str = "cpu") -> None:
        known = [_known(index, *given) for index, given in enumerate(zip(ends, labels, strict=True))]
        self._count = sum(len(label_K) for _, label_K in known)
        if not self._count:
            raise DataError("no response of this update has a label; check the step labels and the segmentation")
        width = max(int(end_K.max(initial=0)) for end_K, _ in known) + 2
        label_BT = np.full((len(known), width), np.nan)  # at the place of the output after each labelled token; NaN elsewhere
        for row, (end_K, label_K) in zip(label_BT, known, strict=True):
            row[end_K + 1] = label_K
        self._label_BT = torch.from_numpy(label_BT).to(device)

    def __call__(self, outputs: Outputs, members: Members) -> Tensor:
        logits_bT = outputs["logit"]
        self._label_BT = self._label_BT.to(logits_bT)  # once
        label_bT = nn.functional.pad(
            self._label_BT[members.rows_b], (0, logits_bT.shape[1] - self._label_BT.shape[1]), value=torch.nan
        )
        label_N = members.tokens(label_bT)
        known_N = ~label_N.isnan()
        loss_N = nn.functional.binary_cross_entropy_with_logits(
            members.tokens(logits_bT), torch.where(known_N, label_N, 0), reduction="none"
        )
        return torch.where(known_N, loss_N, 0).sum() / self._count


def _known(index: int, end_K: np.ndarray, label_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labelled places of sequence `index`, int64 [K], and their labels; those that are NaN left out. Raises DataError."""
    end_K, label_K = np.asarray(end_K, dtype=np.int64), np.asarray(label_K, dtype=np.float64)
    if end_K.shape != label_K.shape:
        raise DataError(f"sequence {index} has {len(end_K)} labelled places but {len(label_K)} labels")
    known = ~np.isnan(label_K)
    if ((label_K[known] < 0) | (label_K[known] > 1)).any():
        raise DataError(f"sequence {index} has a label outside 0..1: {label_K[known].tolist()}")
    return end_K[known], label_K[known]
