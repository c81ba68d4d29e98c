"""A pass without gradient over whole sequences: what a role computes of them, in whatever rows and micro-batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from unified_rl.base.types import ONE_RANK, Ranks
from unified_rl.models.roles import Outputs, Role
from unified_rl.models.traits import fitted
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import PackedRows, TokenSequence
from unified_rl.records.progress import one_by_one
from unified_rl.training.batch import Batch
from unified_rl.training.shares import whole_outputs


@torch.no_grad()
def evaluate_role(
    model: nn.Module, role: Role, sequences: Sequence[TokenSequence], layout: Layout, ranks: Ranks = ONE_RANK
) -> Outputs:
    """A role's outputs for whole sequences, as right-padded [B, T] (0 where there is no token), without gradient.

    Each rank computes its share of the sequences and gets the outputs of all.
    """
    model.eval()
    device = next(model.parameters()).device
    batch = Batch.of(sequences)
    share = batch.share(fitted(layout, model), None, ranks, device)
    own: Outputs = {}
    for packed in one_by_one("log-probs, pass", share.micro_batches):
        put(own, role(model, packed), packed, (len(share.rows), batch.longest))
    if ranks.size == 1:
        return own
    return whole_outputs(ranks.gather((share.rows, {name: values.cpu() for name, values in own.items()})), device)


def put(whole: Outputs, found: Outputs, packed: PackedRows, shape: tuple[int, int]) -> None:
    """Add a micro-batch's outputs [N] to those of its share, right-padded [b, T] of this `shape`; 0 where there is no token."""
    for name, values_N in found.items():
        if name not in whole:
            whole[name] = torch.zeros(shape, dtype=values_N.dtype, device=values_N.device)
        whole[name][packed.sequence_N, packed.token_N] = values_N
