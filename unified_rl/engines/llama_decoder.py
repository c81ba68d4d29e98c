"""One decoding step of a small Llama-shaped model in a few large operations.

A step of a model of a million parameters spends most of its time on the way to the kernels, not in them: through the modules it
takes some two hundred small operations. This is the same arithmetic with the projections of a layer joined, on the same weights
(copied at the start of each `generate`, which is why it is kept to small models). Everything else goes through the modules.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2ForCausalLM

from unified_rl.engines.kv_cache import RowCache

MAX_PARAMETERS = 30_000_000
"""Above this the kernels outweigh the way to them, and a copy of the weights would be felt."""


class LlamaDecoder:
    """`step` is the model's forward for one token per row. Holds copies of the weights: make a new one after an update."""

    @staticmethod
    def supports(model: PreTrainedModel) -> bool:
        """Whether the model is exactly of a known architecture: no subclass, adapter, quantised layer or hook changes it."""
        if type(model) not in (LlamaForCausalLM, Qwen2ForCausalLM) or model.dtype != torch.float32:
            return False
        config = model.config
        standard = config.hidden_act == "silu" and not getattr(config, "mlp_bias", False)
        standard = standard and config.rope_parameters["rope_type"] == "default"
        small = sum(parameter.numel() for parameter in model.parameters()) <= MAX_PARAMETERS
        plain = all(_is_plain(module) for module in model.modules())
        return standard and small and plain

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.eps = torch.tensor(model.config.rms_norm_eps, device=model.device)
        self.head = model.lm_head.weight * model.model.norm.weight
        self.cos = self.sin = torch.empty(0)
        attention = model.model.layers[0].self_attn
        self.head_dim, self.scaling = attention.head_dim, attention.scaling
        self.heads = model.config.num_attention_heads
        self.kv_heads = model.config.num_key_value_heads
        self.layers = [_LayerWeights(layer) for layer in model.model.layers]

    def step(self, token_ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, cache: RowCache) -> torch.Tensor:
        """Logits [B, V] after `token_ids` [B] at `positions` [B]; `mask` [B, length] is added to the attention scores."""
        x = F.embedding(token_ids, self.model.model.embed_tokens.weight)
        cos, sin = self._rotation(x, positions, cache.length)
        # One copy of the mask per key-value head, because the scores of all heads are one batch of small matrices.
        mask = mask.repeat_interleave(self.kv_heads, dim=0)[:, None]
        for weights, layer in zip(self.layers, cache.layers, strict=True):
            x = x + self._attention(self._normed(x), weights, layer, cos, sin, mask)
            gate, up = F.linear(self._normed(x), weights.gate_up).chunk(2, dim=-1)
            x = torch.addmm(x, F.silu(gate).mul_(up), weights.down)
        return F.linear(self._normed(x), self.head, self.model.lm_head.bias)

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        """x / rms(x); the norms' weights are in the matrices that read it."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self.eps, norm, norm, value=1 / x.shape[-1]).rsqrt_()

    def _rotation(self, x: torch.Tensor, positions: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin [B, 1, head_dim], sin negated in its first half: then a rotation is x * cos + roll(x) * sin."""
        if self.cos.shape[0] < length:
            self.cos, self.sin = self.model.model.rotary_emb(x, torch.arange(length, device=x.device)[:, None])
            self.sin[..., : self.head_dim // 2].neg_()
        return self.cos[positions], self.sin[positions]

    def _attention(self, x, weights, layer, cos, sin, mask) -> torch.Tensor:
        rows, dim = x.shape[0], self.head_dim
        qkv = F.linear(x, weights.qkv, weights.qkv_bias).view(rows, self.heads + 2 * self.kv_heads, dim)
        qk, value = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        qk = torch.addcmul(qk * cos, qk.roll(dim // 2, dims=-1), sin)
        query, key = qk.split([self.heads, self.kv_heads], dim=1)
        keys, values = layer.update(key[:, :, None], value[:, :, None])
        query = query.reshape(rows * self.kv_heads, self.heads // self.kv_heads, dim)
        scores = torch.baddbmm(mask, query, keys.flatten(0, 1).transpose(1, 2), alpha=self.scaling)
        mixed = torch.bmm(scores.softmax(dim=-1), values.flatten(0, 1))
        return F.linear(mixed.view(rows, self.heads * dim), weights.output, weights.output_bias)


class _LayerWeights:
    """Weights of one decoder layer: those that read the same input joined into one matrix, times that of the norm before."""

    def __init__(self, layer: nn.Module) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = torch.cat([projection.weight for projection in projections]) * layer.input_layernorm.weight
        biased = projections[0].bias is not None
        self.qkv_bias = torch.cat([projection.bias for projection in projections]) if biased else None
        self.output, self.output_bias = attention.o_proj.weight, attention.o_proj.bias
        self.gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * layer.post_attention_layernorm.weight
        self.down = mlp.down_proj.weight.t()


def _is_plain(module: nn.Module) -> bool:
    """Whether the module is as its class made it."""
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    is_adapter = isinstance(module, nn.Linear) and type(module) is not nn.Linear
    return not hooked and not is_adapter
