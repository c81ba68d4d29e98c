"""A pass without gradient over whole sequences: what a role computes of them, in whatever rows and micro-batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from unified_rl.engines.layout import Layout
from unified_rl.engines.packing import TokenSequence
from unified_rl.engines.roles import Outputs, Role
from unified_rl.engines.shares import longest, share_of_units, whole_outputs
from unified_rl.types import ONE_RANK, Ranks


@torch.no_grad()
def evaluate_role(
    model: nn.Module, role: Role, sequences: Sequence[TokenSequence], layout: Layout, ranks: Ranks = ONE_RANK
) -> Outputs:
    """A role's outputs for whole sequences, as right-padded [B, T] (0 where there is no token), without gradient.

    Each rank computes its share of the sequences and gets the outputs of all.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = share_of_units(sequences, None, ranks)
    own: Outputs = {}
    for packed in layout.pack([sequences[row] for row in rows], None, device) if len(rows) else ():
        for name, values_N in role(model, packed).items():
            if name not in own:
                own[name] = torch.zeros(len(rows), longest(sequences), dtype=values_N.dtype, device=device)
            own[name][packed.sequence_N, packed.token_N] = values_N
    if ranks.size == 1:
        return own
    return whole_outputs(ranks.gather((rows, {name: values.cpu() for name, values in own.items()})), device)
