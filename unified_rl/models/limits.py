"""What a model's configuration says of its sequences: how long one may be, and which tokens end a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified_rl.base.types import Tokenizer

#: What configurations call the most positions of a sequence; the first that one has counts.
POSITIONS = ("max_position_embeddings", "max_seq_len", "max_sequence_length")
#: Rotary scalings whose frequencies follow the longest sequence of a batch once it is longer than the original context. What a
#: sequence is given would then depend on its company, and tokens kept in a cache would have been turned by other frequencies.
SWITCHING = ("longrope", "dynamic")


def context_limit(config: Any) -> tuple[int | None, str]:
    """The most tokens that a sequence may have under a model's configuration, None = any number, and the name of what limits it."""
    config = config.get_text_config(decoder=True)
    named = [(getattr(config, name, None), name) for name in POSITIONS]
    limits = [(value, name) for value, name in named if isinstance(value, int) and value > 0][:1]
    for rotary in _rotary(config):
        original = rotary.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
        if rotary.get("rope_type") in SWITCHING and original:
            limits.append((int(original), "original_max_position_embeddings"))
    return min(limits) if limits else (None, "")


def _rotary(config: Any) -> list[dict[str, Any]]:
    """The settings of rotary positions: one, or one for each kind of layer."""
    found = getattr(config, "rope_parameters", None) or {}
    nested = [one for one in found.values() if isinstance(one, dict) and "rope_type" in one]
    return nested or [found]


def eos_ids(declared: int | Sequence[int] | None, tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """All ids that end a response, ascending: those declared by a model and the tokenizer's own. None where neither has one."""
    found: set[int] = set()
    for value in (declared, getattr(tokenizer, "eos_token_id", None)):
        found |= set() if value is None else {value} if isinstance(value, int) else set(value)
    return tuple(sorted(found))
