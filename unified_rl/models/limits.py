"""What a model's configuration says of its sequences: how long one may be, and which tokens end a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified_rl.base.types import Tokenizer

#: Settings of a model that limit a sequence. Within the sliding window of a model that has one, its attention is the plain causal
#: one, which is all that is done here.
CONTEXT_LIMITS = ("max_position_embeddings", "sliding_window", "attention_chunk_size")


def context_limit(config: Any) -> tuple[int | None, str]:
    """The most tokens that a sequence may have under a model's configuration, None = any number, and the name of what limits it."""
    windowed = getattr(config, "use_sliding_window", True)
    names = [name for name in CONTEXT_LIMITS if windowed or name != "sliding_window"]
    limits = [(int(limit), name) for name in names if (limit := getattr(config, name, None))]
    return min(limits) if limits else (None, "")


def eos_ids(declared: int | Sequence[int] | None, tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """All ids that end a response, ascending: those declared by a model and the tokenizer's own. None where neither has one."""
    found: set[int] = set()
    for value in (declared, getattr(tokenizer, "eos_token_id", None)):
        found |= set() if value is None else {value} if isinstance(value, int) else set(value)
    return tuple(sorted(found))
