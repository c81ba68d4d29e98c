"""Whether the terms that a coefficient gave can be what they stand for: there, and of the response tokens' shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unified_rl.base.errors import ConfigError
from unified_rl.ops.terms import Term


def check_terms(name: str, terms: Any, mask_BT: Tensor) -> None:
    """Refuse terms that are none, or are of other shapes than the response tokens. Looks at no number, so that no device waits.

    Raises:
        ConfigError: naming the coefficient (`name`) and the term.
    """
    who = f"coefficient {name}: terms()"
    if not isinstance(terms, dict) or not terms:
        raise ConfigError(
            f"{who} gave {'no terms' if terms == {} else type(terms).__name__}; return {{'advantage': term(...)}}"
        )
    for key, item in terms.items():
        if not isinstance(item, Term) or not item.factors:
            raise ConfigError(f"{who} gave {key!r} as a {type(item).__name__} or without factors; use term(factor=tensor)")
        for factor, value in item.factors.items():
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else None
            if shape is None or not _fits(shape, tuple(mask_BT.shape)):
                said = type(value).__name__ if shape is None else f"of shape {list(shape)}"
                raise ConfigError(
                    f"{who}: factor {factor!r} of term {key!r} is {said}; give a tensor that broadcasts to [B, T] = "
                    f"{list(mask_BT.shape)}"
                )


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a tensor broadcasts to [B, T] and to nothing larger."""
    if len(shape) == 1 and shape[0] > 1:
        return False  # one number for each sequence would be taken for one for each token, where there are as many
    padded = (1,) * (len(wanted) - len(shape)) + shape
    return len(padded) == len(wanted) and all(size in (1, whole) for size, whole in zip(padded, wanted, strict=True))
