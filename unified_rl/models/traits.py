"""What was found out about a model when it was first looked at, kept with it and with its copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.limits import context_limit
from unified_rl.models.logits import LogitTransform, find_transform
from unified_rl.models.probe import find_rows
from unified_rl.packing.layout import Layout
from unified_rl.packing.rows import Holds

_ROWS, _TRANSFORM = "_rows_hold", "_logit_transform"


def rows_of(decoder: PreTrainedModel) -> Holds:
    """What a row may hold for a decoder. Raises ConfigError where it computes no rows rightly."""
    if not hasattr(decoder, _ROWS):
        setattr(decoder, _ROWS, find_rows(decoder))
    found: Holds = getattr(decoder, _ROWS)
    return found


def transform_of(model: PreTrainedModel) -> LogitTransform:
    """What a model does to the products of its output embeddings. Raises ConfigError where that is more than is known here."""
    if not hasattr(model, _TRANSFORM):
        setattr(model, _TRANSFORM, find_transform(model, decoder_of(model)))
    found: LogitTransform = getattr(model, _TRANSFORM)
    return found


def look_at(model: nn.Module) -> Holds:
    """Find everything out now, while the weights are whole: of a causal language model, or of a decoder with a scalar head."""
    if isinstance(model, PreTrainedModel):
        try:
            transform_of(model)
            return rows_of(decoder_of(model))
        except ConfigError:
            raise
        except Exception as error:  # whatever a stranger's code raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"{type(model).__name__} cannot be run on token ids alone ({reason}); choose another model"
            ) from error
    backbone = getattr(model, "backbone", None)
    return rows_of(backbone) if isinstance(backbone, PreTrainedModel) else "shared prompts"


def fitted(layout: Layout, model: nn.Module) -> Layout:
    """The layout, with rows that the model computes rightly: one that counts places in the row has no more than its context."""
    holds, row_tokens = look_at(model), layout.row_tokens
    if holds == "whole sequences":
        config: Any = model.config if isinstance(model, PreTrainedModel) else model.get_submodule("backbone").config
        row_tokens = min(row_tokens, context_limit(config)[0] or row_tokens)
    return replace(layout, holds=holds, row_tokens=row_tokens)
