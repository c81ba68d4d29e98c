"""The loss of pre-training: the likelihood row of the table on every token of every row, and what of it is which source's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unified_rl.base.types import Ranks
from unified_rl.loop.surrogate import SurrogateLoss
from unified_rl.methods.base import Inputs
from unified_rl.methods.likelihood import Sft
from unified_rl.models.roles import Outputs
from unified_rl.ops import aggregation
from unified_rl.packing.packed_rows import Members, TokenSequence, response_mask


class RowLoss:
    """Minus the mean log-prob of the batch's tokens, of all sources together.

    Args:
        source_B: of each sequence, its source's number, int64 [B]. sources: how many there are.
    """

    def __init__(self, sequences: list[TokenSequence], source_B: Tensor, sources: int) -> None:
        mask_BT = response_mask(sequences).to(source_B.device)
        inputs = _inputs(mask_BT)
        self._loss = SurrogateLoss(Sft(), inputs, aggregation.batch_token_mean(mask_BT.sum(1).to(inputs.rewards_B)))
        self._source_B = source_B
        self._sums = torch.zeros(sources, dtype=torch.float64, device=source_B.device)
        self._tokens = torch.zeros_like(self._sums).index_add_(0, source_B, mask_BT.sum(1).double())

    def __call__(self, outputs: Outputs, members: Members) -> Tensor:
        loss = self._loss(outputs, members)
        logp_N = members.tokens(outputs["logp"].detach()).double()
        self._sums.index_add_(0, self._source_B[members.rows_b][members.row_N], -logp_N)
        return loss

    def of_sources(self, ranks: Ranks) -> list[float]:
        """Nats a token of each source, NaN for one without a row in this batch."""
        sums = torch.stack([torch.tensor(one, dtype=torch.float64) for one in ranks.gather(self._sums.tolist())]).sum(0)
        return [total / count if count else math.nan for total, count in zip(sums.tolist(), self._tokens.tolist(), strict=True)]


def _inputs(mask_BT: Tensor) -> Inputs:
    """Texts that nobody sampled and nobody judges."""
    zero_B = torch.zeros(len(mask_BT), dtype=torch.float32, device=mask_BT.device)
    return Inputs(
        response_mask_BT=mask_BT,
        group_B=torch.arange(len(mask_BT), device=mask_BT.device),
        rewards_B=zero_B,
        correct_B=zero_B,
        truncated_B=zero_B.bool(),
        behaviour_logp_BT=zero_B.new_full((), math.nan).expand(mask_BT.shape),
    )
