"""One decoding step of a small Llama-shaped model in a few large operations.

A step of a model of a million parameters spends most of its time on the way to the kernels, not in them: through the modules it
takes some two hundred small operations. This is the same arithmetic with the projections of a layer joined, on the same weights
(copied at the start of each `generate`, which is why it is kept to small models). Everything else goes through the modules.

`DecodingStep` is the arithmetic alone, on weights that it is given, so that it can be compiled once for any weights
(`compiled_step.py`); `LlamaDecoder` brings weights and cache to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2ForCausalLM

from unified_rl.models.adapters import adapted_layers, effective_weight
from unified_rl.models.reach import WHOLE, reaches
from unified_rl.sampling.fixed_shapes import BLOCK, CHUNK, MATRICES, in_order, linear
from unified_rl.sampling.paged_cache import PagedCache

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer
    from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

MAX_PARAMETERS = 30_000_000
"""Above this the kernels outweigh the way to them, and a copy of the weights would be felt."""

LEAST_ROWS = MATRICES * BLOCK
"""Rows of the least step that a compiled decoder is exported for."""

Tensors = list[torch.Tensor | None]
"""Weights, each at its place, and None at the place of a bias that the model lacks."""
Places = list[Any]
"""`Tensors` as the arithmetic takes them apart: no type of a list says that its biases alone may be None."""
Turn = tuple[torch.Tensor, torch.Tensor]
"""cos and sin of the tokens' rotations, each [N, 1, head_dim]; sin is negated in its first half."""
PromptKV = list[tuple[torch.Tensor, torch.Tensor]]
"""Per layer keys and values [prompts, kv_heads, length, head_dim]."""
CompiledStep = Callable[..., torch.Tensor]
"""`DecodingStep.forward`, compiled."""


@dataclass(frozen=True, slots=True)
class StepShape:
    """All that a decoding step depends on but its weights' values."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    scaling: float
    eps: float
    qkv_bias: bool
    output_bias: bool
    head_bias: bool

    @staticmethod
    def of(model: PreTrainedModel) -> StepShape:
        """The shape of a model that `LlamaDecoder.supports`."""
        config, attention = model.config, model.model.layers[0].self_attn
        return StepShape(
            vocabulary=model.lm_head.weight.shape[0],
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=attention.head_dim,
            scaling=attention.scaling,
            eps=config.rms_norm_eps,
            qkv_bias=attention.q_proj.bias is not None,
            output_bias=attention.o_proj.bias is not None,
            head_bias=model.lm_head.bias is not None,
        )


class DecodingStep(nn.Module):
    """The forward of one token per row, from token ids to logits, on weights and a cache that it is given."""

    eps: torch.Tensor
    hidden: torch.Tensor

    def __init__(self, shape: StepShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("eps", torch.tensor(shape.eps))
        hidden = torch.arange(CHUNK) >= torch.arange(CHUNK + 1)[:, None]  # of a page's slots, by how many are visible
        self.register_buffer("hidden", torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf")).repeat(1, shape.kv_heads))

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        table: torch.Tensor,
        page_rows: torch.Tensor,
        page_chunks: torch.Tensor,
        visible: torch.Tensor,
        ends: Places,
        layers: list[Places],
    ) -> torch.Tensor:
        """Logits [B, V] after `token_ids` [B] at `positions` [B], whose keys and values are written to the cache.

        Args:
            cos, sin: rotations by position [at least as many as positions are in use, 1, head_dim]; sin is negated in its first
                half, so that a rotation is x * cos + roll(x) * sin.
            keys, values, table, page_rows, page_chunks, visible: `Pages`, of B rows in whole blocks.
            ends: embedding [V, D], head [D, V] with the last norm's weight in it, the head's bias or None.
            layers: `layer_weights` of every layer.
        """
        embedding, head, head_bias = ends
        x = F.embedding(token_ids, embedding)
        turn = cos[positions], sin[positions]
        pages, slots = table.gather(1, (positions // CHUNK)[:, None])[:, 0], positions % CHUNK
        places = self._places(table, page_rows, page_chunks, visible)
        for weights, cached_keys, cached_values in zip(layers, keys, values, strict=True):
            query, key, value = self.heads(x, turn, weights)
            cached_keys[pages, :, slots] = key
            cached_values[pages, :, slots] = value
            x = self.after_attention(x, self._attention(query, cached_keys, cached_values, places), weights)
        return linear(self._normed(x), head, head_bias)

    def heads(self, x: torch.Tensor, turn: Turn, weights: Places) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query [N, heads, head_dim], key and value [N, kv_heads, head_dim] of tokens whose residual stream is x [N, D]."""
        heads, kv_heads, dim = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        projected = linear(self._normed(x), weights[0], weights[1]).view(-1, heads + 2 * kv_heads, dim)
        qk, value = projected.split([heads + kv_heads, kv_heads], dim=1)
        turned = qk * turn[0]
        for half, other, sin in zip(_halves(turned), reversed(_halves(qk)), _halves(turn[1]), strict=True):
            half.addcmul_(other, sin)
        query, key = turned.split([heads, kv_heads], dim=1)
        return query, key, value

    def after_attention(self, x: torch.Tensor, mixed: torch.Tensor, weights: Places) -> torch.Tensor:
        """The residual stream [N, D] behind the layer, from that before it and the heads' outputs [N, heads * head_dim]."""
        _, _, output, output_bias, gate_up, down = weights
        x = linear(mixed, output, x if output_bias is None else x + output_bias)
        gate, up = linear(self._normed(x), gate_up).chunk(2, dim=-1)
        return linear(F.silu(gate).mul_(up), down, x)

    def _places(
        self, table: torch.Tensor, rows: torch.Tensor, chunks: torch.Tensor, visible: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """What the layers' attention shares, of B rows, P pages, C chunks.

        The mask that is added to the scores [P * kv_heads, 1, CHUNK]; the rows of the pages [P]; the places of the rows' scores
        among the pages' [B * heads * C], and of the pages' among the rows' [P * heads]; the table [B, C].
        """
        heads = torch.arange(self.shape.heads, device=table.device)
        of_rows = (table[:, None] * len(heads) + heads[:, None]).flatten()
        of_pages = (((rows * len(heads))[:, None] + heads) * table.shape[1] + chunks[:, None]).flatten()
        return self.hidden.index_select(0, visible).view(-1, 1, CHUNK), rows, of_rows, of_pages, table

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        """x / rms(x); the norms' weights are in the matrices that read it."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self.eps, norm, norm, value=1 / self.shape.hidden).rsqrt_()

    def _attention(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, places: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """Heads' outputs joined [B, heads * head_dim].

        Products are of one page each. A softmax over whole tiles adds up lane by lane, one vector after another, and the chunks'
        values are added one after another, so that chunks behind a row's own, whose weight is zero, change no bit.
        """
        heads, kv_heads, dim = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        mask, rows, of_rows, of_pages, table = places
        query = query.index_select(0, rows).view(-1, heads // kv_heads, dim)
        scores = torch.baddbmm(mask, query, keys.view(-1, CHUNK, dim).transpose(1, 2), alpha=self.shape.scaling)
        scores = scores.view(-1, CHUNK).index_select(0, of_rows).view(-1, table.shape[1] * CHUNK)
        weights = scores.softmax(dim=-1).view(-1, CHUNK).index_select(0, of_pages).view(-1, heads // kv_heads, CHUNK)
        mixed = torch.bmm(weights, values.view(-1, CHUNK, dim)).view(-1, heads * dim)
        return in_order(mixed.index_select(0, table.flatten()).view(*table.shape, heads * dim))


def layer_weights(layer: LlamaDecoderLayer | Qwen2DecoderLayer) -> Tensors:
    """[qkv, its bias, output, its bias, gate and up, down] of one decoder layer, the matrices as [in, out].

    Matrices that read the same input are joined, and hold the weight of the norm before them. Biases may be None.
    """
    attention, mlp = layer.self_attn, layer.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    biased = projections[0].bias is not None
    return [
        _read_by_rows(torch.cat([effective_weight(projection) for projection in projections]) * layer.input_layernorm.weight),
        torch.cat([projection.bias for projection in projections]) if biased else None,
        _read_by_rows(effective_weight(attention.o_proj)),
        attention.o_proj.bias,
        _read_by_rows(
            torch.cat([effective_weight(mlp.gate_proj), effective_weight(mlp.up_proj)]) * layer.post_attention_layernorm.weight
        ),
        _read_by_rows(effective_weight(mlp.down_proj)),
    ]


def _halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the last dimension, without a copy."""
    first, second = x.chunk(2, dim=-1)
    return first, second


def _read_by_rows(weight: torch.Tensor) -> torch.Tensor:
    """[in, out], contiguous, of a module's [out, in]."""
    return weight.t().contiguous()


class LlamaDecoder:
    """One token more per row. Holds copies of the weights: make a new one after an update."""

    @staticmethod
    def supports(model: PreTrainedModel) -> bool:
        """Whether the model is exactly of a known architecture: no subclass, quantised layer or hook changes it.

        Adapters that we have put into it do not: the copies are of what its layers compute with.
        """
        if type(model) not in (LlamaForCausalLM, Qwen2ForCausalLM) or model.dtype != torch.float32:
            return False
        config = model.config
        standard = config.hidden_act == "silu" and reaches(config) == WHOLE and not getattr(config, "mlp_bias", False)
        standard = standard and config.rope_parameters["rope_type"] == "default"
        small = sum(parameter.numel() for parameter in model.parameters()) <= MAX_PARAMETERS
        adapted = {id(layer) for layer in adapted_layers(model).values()}
        plain = all(is_plain(module) or id(module) in adapted for module in model.modules())
        return standard and small and plain

    def __init__(self, model: PreTrainedModel, compiled: CompiledStep | None = None) -> None:
        """
        Args:
            compiled: the step to run, compiled for `StepShape.of(model)`; None runs `DecodingStep` as it is.
        """
        self.model, self.shape, self.compiled = model, StepShape.of(model), compiled
        self.plain = DecodingStep(self.shape).to(model.device)
        self.cos = self.sin = torch.empty(0)
        body, head = model.model, model.lm_head
        self.ends = [body.embed_tokens.weight, _read_by_rows(head.weight * body.norm.weight), head.bias]
        self.layers = [layer_weights(layer) for layer in body.layers]

    def new_cache(self) -> PagedCache:
        """An empty cache for sequences of this model."""
        return PagedCache(self.shape.layers, self.shape.kv_heads, self.shape.head_dim, self.ends[0])

    def logits(self, token_ids: np.ndarray, positions: np.ndarray, cache: PagedCache) -> torch.Tensor:
        """Logits [B, V] after `token_ids` (int64 [B]) at `positions` (int64 [B]); B is a multiple of BLOCK.

        For a compiled step, fewer rows than LEAST_ROWS are filled up with rows at position 0.
        """
        count = len(token_ids)
        if self.compiled is None:
            return self.plain(*self._arguments(token_ids, positions, cache))
        if count < LEAST_ROWS:
            token_ids, positions = (np.pad(each, (0, LEAST_ROWS - count)) for each in (token_ids, positions))
        return self.compiled(*self._arguments(token_ids, positions, cache))[:count]

    def prefill(self, token_ids: torch.Tensor) -> PromptKV:
        """Keys and values of prompts [P, length], right-padded: causality keeps the padding from being seen.

        As many operations as a decoding step, and none behind the last layer's keys and values.
        """
        prompts, length = token_ids.shape
        if prompts < MATRICES:
            return [(keys[:1], values[:1]) for keys, values in self.prefill(token_ids.expand(MATRICES, -1))]
        if self.cos.shape[0] < length:
            self._make_rotations(2 * length)
        turn = self.cos[:length].repeat(prompts, 1, 1), self.sin[:length].repeat(prompts, 1, 1)
        mask = torch.full((length, length), float("-inf"), device=token_ids.device).triu(1)
        x = F.embedding(token_ids.flatten(), self.ends[0])
        found: PromptKV = []
        for weights in self.layers:
            query, key, value = (
                each.unflatten(0, (prompts, length)).transpose(1, 2) for each in self.plain.heads(x, turn, weights)
            )
            found.append((key, value))
            if len(found) < len(self.layers):
                x = self.plain.after_attention(x, self._causal(query, key, value, mask), weights)
        return found

    def _causal(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Heads' outputs joined [P * length, heads * head_dim]; the fused CPU kernel would round by its threads' memory."""
        prompts, heads, length, dim = query.shape
        query, key, value = (
            each.repeat_interleave(heads // each.shape[1], dim=1).flatten(0, 1).contiguous() for each in (query, key, value)
        )
        scores = torch.bmm(query, key.transpose(1, 2)) * self.shape.scaling + mask
        mixed = torch.bmm(scores.softmax(dim=-1), value)
        return mixed.view(prompts, heads, length, dim).transpose(1, 2).reshape(-1, heads * dim)

    def _arguments(self, token_ids: np.ndarray, positions: np.ndarray, cache: PagedCache) -> tuple[Any, ...]:
        """Those of `DecodingStep.forward`."""
        length = int(positions.max()) + 1
        if self.cos.shape[0] < length:
            self._make_rotations(2 * length)
        cache.fit(len(positions), length)
        state = (torch.from_numpy(each).to(self.ends[0].device) for each in (token_ids, positions))
        return *state, self.cos, self.sin, *cache.pages(positions), self.ends, self.layers

    def _make_rotations(self, length: int) -> None:
        like = self.ends[0]
        self.cos, self.sin = self.model.model.rotary_emb(like, torch.arange(length, device=like.device)[:, None])
        self.sin[..., : self.shape.head_dim // 2].neg_()


def is_plain(module: nn.Module) -> bool:
    """Whether the module is as its class made it."""
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    is_adapter = hasattr(module, "base_layer") or (isinstance(module, nn.Linear) and type(module) is not nn.Linear)
    return not hooked and not is_adapter
