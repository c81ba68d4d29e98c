"""One decoding step of a Llama-shaped model of any size, on shapes that do not change: what a CUDA graph can hold.

It reads the parameters of the module that is trained, where they lie, so that a captured step always has the current weights. State
(tokens, positions, uniform numbers, what was drawn) and cache are buffers that live as long as the graphs; a step advances them by
one token, and nothing in it asks the device a question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2ForCausalLM

from unified_rl.base.types import Decoding
from unified_rl.models.reach import WHOLE, reaches
from unified_rl.sampling.draws import draw, draw_by_blocks
from unified_rl.sampling.llama_decoder import is_plain

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def supports(model: PreTrainedModel) -> bool:
    """Whether the model is exactly a Llama or Qwen2 on one device, rotations plain and no window: the arithmetic written here."""
    if type(model) not in (LlamaForCausalLM, Qwen2ForCausalLM) or model.dtype not in DTYPES:
        return False
    config = model.config
    standard = config.hidden_act == "silu" and reaches(config) == WHOLE
    standard = standard and config.rope_parameters["rope_type"] == "default"
    together = len({parameter.device for parameter in model.parameters()}) == 1
    return standard and together and all(is_plain(module) for module in model.modules())


@dataclass(frozen=True, slots=True)
class StepState:
    """Buffers of a window of steps, for `rows` sequences and `window` tokens each.

    token, position: int64 [rows], the last token of each sequence and its place. place: int64 [1], the step within the window.
    uniforms: float64 [rows, window]. drawn: int64 [rows, window] and logp: float32 [rows, window], what the steps drew.
    """

    token: torch.Tensor
    position: torch.Tensor
    place: torch.Tensor
    uniforms: torch.Tensor
    drawn: torch.Tensor
    logp: torch.Tensor

    @staticmethod
    def zeros(rows: int, window: int, device: torch.device) -> StepState:
        """Buffers in which nothing has been drawn."""
        whole = torch.zeros(rows, window, dtype=torch.int64, device=device)
        vector = torch.zeros(rows, dtype=torch.int64, device=device)
        place = torch.zeros(1, dtype=torch.int64, device=device)
        return StepState(vector, vector.clone(), place, whole.double(), whole, whole.float())

    def first_rows(self, rows: int) -> StepState:
        """The same buffers, seen by their first rows alone."""
        wide = (self.token, self.position, self.uniforms, self.drawn, self.logp)
        token, position, uniforms, drawn, logp = (buffer[:rows] for buffer in wide)
        return StepState(token, position, self.place, uniforms, drawn, logp)


class StaticStep:
    """The step of one model, by the module's own parameters."""

    def __init__(self, model: PreTrainedModel, decoding: Decoding) -> None:
        self.model, self.decoding = model, decoding
        config: Any = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.eps = config.rms_norm_eps

    def __call__(
        self,
        state: StepState,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        turn: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        """Append a token to each sequence of `state`.

        Args:
            keys, values: per layer [rows, kv_heads, length, head_dim]; a step at a position writes there, and looks at what
                lies before. length is more than every position in use.
            turn: cos and sin by position [at least length, head_dim].
        """
        length = keys[0].shape[2]
        uniforms = state.uniforms.index_select(1, state.place)[:, 0]
        drawn, logp = self._draw(self._logits(state.token, state.position, keys, values, turn), uniforms)
        state.drawn.index_copy_(1, state.place, drawn[:, None])
        state.logp.index_copy_(1, state.place, logp[:, None])
        state.token.copy_(drawn)
        # A sequence that has ended goes on until the window is over: it stays within its own row.
        state.position.add_(1).clamp_(max=length - 1)
        state.place.add_(1).clamp_(max=state.drawn.shape[1] - 1)

    def _logits(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        turn: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """float32 [rows, V]."""
        body: Any = self.model.model
        x = F.embedding(token_ids, body.embed_tokens.weight)
        cos, sin = (table.index_select(0, positions)[:, None] for table in turn)
        rows = torch.arange(token_ids.shape[0], device=x.device)
        hidden = torch.arange(keys[0].shape[2], device=x.device) > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill_(hidden, float("-inf"))[:, None, None]
        for layer, cached_keys, cached_values in zip(body.layers, keys, values, strict=True):
            query, key, value = self._heads(layer.self_attn, self._normed(x, layer.input_layernorm), cos, sin)
            cached_keys[rows, :, positions] = key
            cached_values[rows, :, positions] = value
            mixed = self._attention(query, cached_keys, cached_values, mask, layer.self_attn.scaling)
            x = x + layer.self_attn.o_proj(mixed)
            normed = self._normed(x, layer.post_attention_layernorm)
            x = x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(normed)).mul_(layer.mlp.up_proj(normed)))
        return self._head(self._normed(x, body.norm))

    def _heads(
        self, attention: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query [rows, heads, head_dim], key and value [rows, kv_heads, head_dim]; query and key turned."""
        dim = attention.head_dim
        query, key, value = (each(x).view(len(x), -1, dim) for each in (attention.q_proj, attention.k_proj, attention.v_proj))
        both = torch.cat([query, key], dim=1)
        both = torch.addcmul(both * cos, both.roll(dim // 2, dims=-1), sin)
        query, key = both.split([self.heads, self.kv_heads], dim=1)
        return query, key, value

    def _attention(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Heads' outputs joined. The queries of one key-value head are its rows, so that keys and values are read once."""
        rows, _, dim = query.shape
        grouped = query.reshape(rows, self.kv_heads, -1, dim)
        mask = mask.expand(-1, self.kv_heads, grouped.shape[2], -1)
        mixed = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scaling)
        return mixed.reshape(rows, -1)

    def _normed(self, x: torch.Tensor, norm: Any) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), norm.weight, self.eps)

    def _head(self, x: torch.Tensor) -> torch.Tensor:
        """float32 logits, of bfloat16 factors without a copy of either in float32."""
        head: Any = self.model.lm_head
        if x.dtype == torch.float32 or x.device.type != "cuda":
            return head(x).float()
        logits = torch.mm(x, head.weight.t(), out_dtype=torch.float32)
        return logits if head.bias is None else logits.add_(head.bias)

    def _draw(self, logits: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.decoding.full_support or self.decoding.temperature == 0:
            return draw(logits, uniforms, self.decoding)
        return draw_by_blocks(logits if self.decoding.temperature == 1 else logits / self.decoding.temperature, uniforms)
