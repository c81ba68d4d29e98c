"""Passes of a Hugging Face model while it decodes: by a cache of keys and values, or, where that is wrong, over all tokens again.

A model that carries a state, or that makes its own mask, is right only in its plain pass. Repeating it costs as many passes over a
whole response as the response has tokens; an engine of its own (vLLM) is what long responses of such models want.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel

from unified_rl.models.attention import for_layers
from unified_rl.models.decoder_pass import decoder_of, last_hidden, takes_positions
from unified_rl.models.limits import context_limit
from unified_rl.models.reach import Reach, reaches
from unified_rl.models.traits import transform_of
from unified_rl.sampling.kv_cache import RowCache
from unified_rl.sampling.llama_decoder import PromptKV


class CachedPasses:
    """Prompts by the rectangle, then one token per row, whose keys and values are kept in a `RowCache`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model, self._decoder = model, decoder_of(model)
        self._reaches = reaches(self._decoder.config)

    def new_cache(self) -> RowCache:
        """An empty cache for sequences of this model."""
        return RowCache(self._model.config.get_text_config(decoder=True).num_hidden_layers)

    def prefill(self, ids_PL: Tensor) -> PromptKV:
        """Keys and values [P, kv_heads, L, head_dim] per layer of right-padded prompts.

        Causality keeps the padding from being seen by the prompt, so the plain causal mask serves all rows.
        """
        length, device = ids_PL.shape[1], ids_PL.device
        # Padding may lie behind the last position of a table of learned positions, or behind where rotary positions switch.
        last_position = context_limit(self._model.config)[0] or length
        positions_L = torch.arange(length, device=device)
        given_PL = positions_L.clamp(max=last_position - 1)[None].expand(len(ids_PL), -1)
        cache = DynamicCache()
        self._decoder(
            input_ids=ids_PL,
            attention_mask=for_layers(self._reaches, lambda reach: self._mask(positions_L[None], length, reach)),
            past_key_values=cache,
            use_cache=True,
            **self._positions(given_PL),
        )
        layers: list[Any] = cache.layers
        return [(layer.keys, layer.values) for layer in layers]

    def logits(self, cache: RowCache, ids_R: Tensor, positions_R: Tensor) -> Tensor:
        """Logits [R, V] after one token per row, `ids_R` at `positions_R`."""
        cache.plan_step(positions_R)
        output = self._model(
            input_ids=ids_R[:, None],
            attention_mask=for_layers(self._reaches, lambda reach: self._mask(positions_R[:, None], cache.length, reach)),
            past_key_values=cache,
            use_cache=True,
            **self._positions(positions_R[:, None]),
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _positions(self, positions: Tensor) -> dict[str, Tensor]:
        return {"position_ids": positions} if takes_positions(self._decoder) else {}

    def _mask(self, query_RQ: Tensor, slots: int, reach: Reach) -> Tensor:
        """Additive mask [R, 1, Q, slots] of tokens at positions `query_RQ`; slot s of a row holds position s."""
        key_S, query_RQ1 = torch.arange(slots, device=query_RQ.device), query_RQ[:, :, None]
        hidden_RQS = key_S > query_RQ1
        if reach.window:
            hidden_RQS |= query_RQ1 - key_S >= reach.window
        if reach.chunk:
            hidden_RQS |= query_RQ1 // reach.chunk != key_S // reach.chunk
        mask_RQS = torch.zeros(hidden_RQS.shape, dtype=self._model.dtype, device=query_RQ.device)
        return mask_RQS.masked_fill_(hidden_RQS, float("-inf"))[:, None]


class WholePasses:
    """No cache: the plain pass over each row's tokens, from the first one."""

    def __init__(self, model: PreTrainedModel, tokens_at_once: int) -> None:
        self._decoder, self._head, self._transform = decoder_of(model), model.get_output_embeddings(), transform_of(model)
        self._device, self._tokens_at_once = model.device, tokens_at_once

    def new_cache(self) -> RowCache:
        """Of no layers: nothing is kept."""
        return RowCache(0)

    def logits(self, rows: Sequence[np.ndarray]) -> Tensor:
        """Logits [R, V] after the token ids of each row, int64 [its length]; each one is a function of its row alone."""
        at_once = max(1, self._tokens_at_once // max(map(len, rows)))
        parts = [self._of_some(rows[start : start + at_once]) for start in range(0, len(rows), at_once)]
        return torch.cat(parts)

    def _of_some(self, rows: Sequence[np.ndarray]) -> Tensor:
        ids_RL = pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True).to(self._device)
        last_R = torch.tensor([len(row) - 1 for row in rows], device=self._device)
        positions_RL = torch.arange(ids_RL.shape[1], device=self._device).minimum(last_R[:, None])
        given = positions_RL if takes_positions(self._decoder) else None
        hidden_RLD = last_hidden(self._decoder, ids_RL, given, None)
        head: Any = self._head
        return self._transform(head(hidden_RLD[torch.arange(len(rows), device=self._device), last_R]))


@contextmanager
def sampling_mode(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode without gradients, and on the CPU the attention whose rows do not depend on each other.

    The training flag of every submodule is put back as it was. `no_grad` rather than `inference_mode`: a module may keep a
    buffer that it makes on the way (rotary frequencies), and an inference tensor among them would break training.
    """
    training = {module: module.training for module in model.modules()}
    attention = model.config._attn_implementation
    model.eval()
    model.set_attn_implementation(_sampling_attention(model))
    try:
        with torch.no_grad():
            yield
    finally:
        model.set_attn_implementation(attention)
        for module, flag in training.items():
            module.training = flag


def _sampling_attention(model: PreTrainedModel) -> str:
    """The attention implementation that suits rows of different lengths, whose mask is a full matrix."""
    if next(model.parameters()).device.type == "cpu":
        # The fused CPU kernel gives its threads differently aligned scratch memory, hence different rounding.
        return "eager"
    current = model.config._attn_implementation
    return "sdpa" if "flash" in current or "flex" in current else current
