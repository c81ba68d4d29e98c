"""What in an update was not finite, in words: the first input of it that is not, with the prompt it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unified_rl.loop.record import Record
from unified_rl.methods.base import Inputs
from unified_rl.packing.packed_rows import TokenSequence

#: Inputs in the order in which one follows from another.
_LOOKED_AT = ("rewards_B", "step_rewards_BT", "ref_logp_BT", "old_logp_BT", "values_BT", "advantages_BT", "returns_BT")


def not_finite(inputs: Inputs, sequences: Sequence[TokenSequence], record: Record) -> str:
    """Which input or term of an update is not finite. Called where the update was not made, so the device may be waited for."""
    for name in _LOOKED_AT:
        value = getattr(inputs, name)
        if value is None:
            continue
        bad = ~torch.isfinite(value)
        if name.endswith("_BT"):
            bad = (bad & inputs.response_mask_BT).any(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            return (
                f"{name.rpartition('_')[0]} of a response to prompt {sequences[row].name!r} is not finite: mend what gives it"
            )
    terms = [name for name, value in record.metrics().items() if name.startswith("coef/") and not abs(value) < float("inf")]
    if terms:
        return f"{terms[-1].split('/')[1]!r} of the coefficient is not finite: mend its terms"
    return "its inputs are finite, so the log-probs are not: lower trainer.learning_rate"
