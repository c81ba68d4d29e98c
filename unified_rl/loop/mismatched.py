"""The KL of the policy to the reference where neither has anything to gain: responses after prompts that are not theirs (KTO)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.batch import Batch

#: Log-probs of sequences, without gradient.
Logp = Callable[[Sequence[TokenSequence]], Mapping[str, Tensor]]


def mismatched_kl(
    sequences: Sequence[TokenSequence], response_mask_BT: Tensor, group_B: Tensor, policy: Logp, reference: Logp
) -> Tensor:
    """max(0, mean over the update of sum_t log(pi/pi_ref)(y_j | x_i)), the same for each response, [B].

    y_j is the response that stands as many rows after x_i as x_i's group is large: of another prompt, where there is one and its
    rows stand together. Source: z_0 of KTO (arXiv 2402.01306, section 4.1); without gradient.
    """
    sizes_B = (group_B[:, None] == group_B).sum(1)
    partner_B = (torch.arange(len(sequences), device=group_B.device) + sizes_B) % len(sequences)
    mixed = Batch(
        [
            TokenSequence(one.prompt_ids, sequences[other].response_ids, one.name)
            for one, other in zip(sequences, partner_B.tolist(), strict=True)
        ]
    )
    gap_BT = policy(mixed)["logp"] - reference(mixed)["logp"]
    mask_BT = response_mask_BT[partner_B][:, : gap_BT.shape[1]]
    mean = torch.where(mask_BT, gap_BT, 0).sum(1).mean()
    return mean.clamp(min=0).expand(len(sequences))
