"""Log-probabilities of given tokens under a linear head, without ever holding the full [tokens, vocabulary] logits.

At a vocabulary of 102,400 the logits of 2,048 tokens take 0.8 GB in float32, and a plain log-softmax with its backward holds
three such tensors. Here the tokens go through the head in chunks. Only one float per token (the log-sum-exp) is kept for the
backward pass, which recomputes the logits of each chunk: one more matrix product in exchange for memory that does not grow with
the number of tokens.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Logits held at once, in elements: 64 MiB in float32. The chunked pass holds two such tensors.
CHUNK_ELEMENTS = 2**24


def token_logps(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_N: Tensor,
    *,
    temperature: float = 1.0,
    scale: float = 1.0,
    cap: float = 0.0,
    chunk_elements: int = CHUNK_ELEMENTS,
    differentiable_entropy: bool = False,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target token and entropy of its distribution, softmax(logits / temperature).

    The logits are scale * (hidden @ weight.T + bias), soft-capped at `cap` where that is not 0: cap tanh(logits / cap).

    Differentiable once in `hidden_ND`, `weight_VD` and `bias_V` (whichever require a gradient), through the log-probabilities and,
    where it is asked for, through the entropy, which else is a metric and carries no gradient. The result is the same for any
    `chunk_elements`, up to rounding.

    Args:
        hidden_ND: hidden states that predict the targets, [N, D]. float32 and float64 are used as they are; lower precisions
            are raised to float32 before the head, since logits rounded to bfloat16 cost up to 0.03 nats per token.
        weight_VD: weight of the head, [V, D]; may be tied to the embeddings.
        bias_V: bias of the head, [V], or None.
        targets_N: token ids, int64 [N], each in [0, V).
        temperature: the sampling temperature, positive. Ratios need log-probabilities of the distribution that was sampled.
        scale, cap: of the model's logits, positive; a cap of 0 is none.
        chunk_elements: upper bound on the logits held at once, in elements (at least one token's are).
        differentiable_entropy: whether a loss reads the entropy; its backward pass holds one more chunk.

    Returns:
        (logp_N, entropy_N) in nats, float32 (float64 where the hidden states are float64).

    Raises:
        ValueError: shapes that do not fit together, or a temperature that is not positive.
    """
    _check_shapes(hidden_ND, weight_VD, bias_V, targets_N)
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; greedy decoding has no log-probs to train on")
    if cap:
        return _capped(hidden_ND, weight_VD, bias_V, targets_N, temperature, scale, cap, chunk_elements, differentiable_entropy)
    temperature /= scale
    if hidden_ND.shape[0] * weight_VD.shape[0] <= chunk_elements:
        return _whole(hidden_ND, weight_VD, bias_V, targets_N, temperature, differentiable_entropy)
    logp_N, entropy_N = _ChunkedLogps.apply(
        hidden_ND, weight_VD, bias_V, targets_N, temperature, chunk_elements, differentiable_entropy
    )
    return logp_N, entropy_N


def _check_shapes(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> None:
    if hidden_ND.dim() != 2 or weight_VD.dim() != 2 or hidden_ND.shape[1] != weight_VD.shape[1]:
        raise ValueError(f"expected hidden [N, D] and weight [V, D], got {tuple(hidden_ND.shape)} and {tuple(weight_VD.shape)}")
    if targets_N.shape != hidden_ND.shape[:1]:
        raise ValueError(f"expected one target per hidden state, got {tuple(targets_N.shape)} for {tuple(hidden_ND.shape)}")
    if bias_V is not None and bias_V.shape != weight_VD.shape[:1]:
        raise ValueError(f"expected bias [V], got {tuple(bias_V.shape)} for weight {tuple(weight_VD.shape)}")


def _precision(hidden_ND: Tensor) -> torch.dtype:
    return torch.float64 if hidden_ND.dtype == torch.float64 else torch.float32


def _logits(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, temperature: float) -> Tensor:
    """Logits [N, V] at the sampling temperature. Scaling the hidden states is cheaper than scaling the logits."""
    if temperature != 1.0:
        hidden_ND = hidden_ND / temperature
        bias_V = None if bias_V is None else bias_V / temperature
    return torch.nn.functional.linear(hidden_ND, weight_VD, bias_V)


def _whole(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_N: Tensor,
    temperature: float,
    differentiable_entropy: bool,
) -> tuple[Tensor, Tensor]:
    """All tokens at once in plain autograd: what `_ChunkedLogps` computes, fastest where the logits are small."""
    dtype = _precision(hidden_ND)
    bias_V = None if bias_V is None else bias_V.to(dtype)
    logits_NV = _logits(hidden_ND.to(dtype), weight_VD.to(dtype), bias_V, temperature)
    return _of_logits(logits_NV, targets_N, differentiable_entropy)


def _capped(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_N: Tensor,
    temperature: float,
    scale: float,
    cap: float,
    chunk_elements: int,
    differentiable_entropy: bool,
) -> tuple[Tensor, Tensor]:
    """Soft-capped logits chunk by chunk in plain autograd, each chunk computed again for its backward pass."""
    dtype = _precision(hidden_ND)

    def chunk_of(hidden_nD: Tensor, weight: Tensor, bias: Tensor | None, targets_n: Tensor) -> tuple[Tensor, Tensor]:
        bias = None if bias is None else bias.to(dtype)
        logits_nV = torch.nn.functional.linear(hidden_nD.to(dtype), weight.to(dtype), bias)
        capped_nV = torch.tanh(logits_nV * (scale / cap)) * (cap / temperature)
        return _of_logits(capped_nV, targets_n, differentiable_entropy)

    found = [
        checkpoint(chunk_of, hidden_ND[chunk], weight_VD, bias_V, targets_N[chunk], use_reentrant=False)
        for chunk in _chunks(len(hidden_ND), len(weight_VD), chunk_elements)
    ]
    logps, entropies = zip(*found, strict=True)
    return torch.cat(logps), torch.cat(entropies)


def _of_logits(logits_NV: Tensor, targets_N: Tensor, differentiable_entropy: bool) -> tuple[Tensor, Tensor]:
    logp_NV = torch.log_softmax(logits_NV, dim=-1)
    with torch.set_grad_enabled(torch.is_grad_enabled() and differentiable_entropy):
        entropy_N = -torch.linalg.vecdot(logp_NV.exp(), logp_NV)
    return logp_NV.gather(-1, targets_N[:, None])[:, 0], entropy_N


class _ChunkedLogps(torch.autograd.Function):
    """`token_logps` for logits too large to hold. See there for arguments."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        temperature: float,
        chunk_elements: int,
        differentiable_entropy: bool,
    ) -> tuple[Tensor, Tensor]:
        dtype = _precision(hidden_ND)
        weight = weight_VD.to(dtype)
        bias = None if bias_V is None else bias_V.to(dtype)
        logp_N = hidden_ND.new_empty(len(hidden_ND), dtype=dtype)
        entropy_N, lse_N = torch.empty_like(logp_N), torch.empty_like(logp_N)

        for chunk in _chunks(len(hidden_ND), len(weight), chunk_elements):
            logits = _logits(hidden_ND[chunk].to(dtype), weight, bias, temperature)
            largest = logits.amax(dim=-1, keepdim=True)
            # From here on the logits are relative to their row's largest, in place.
            logits -= largest
            target_logit = logits.gather(-1, targets_N[chunk, None])[:, 0]
            weights = logits.exp()
            total = weights.sum(dim=-1)
            log_total = total.log()
            logp_N[chunk] = target_logit - log_total
            entropy_N[chunk] = log_total - torch.linalg.vecdot(weights, logits) / total
            lse_N[chunk] = log_total + largest[:, 0]

        ctx.temperature, ctx.chunk_elements = temperature, chunk_elements
        if differentiable_entropy:
            ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N, lse_N, entropy_N)
        else:
            ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N, lse_N)
            ctx.mark_non_differentiable(entropy_N)
        return logp_N, entropy_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_logp_N: Tensor, d_entropy_N: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, targets_N, lse_N, *entropy = ctx.saved_tensors
        dtype = _precision(hidden_ND)
        weight = weight_VD.to(dtype)
        bias = None if bias_V is None else bias_V.to(dtype)
        d_hidden_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        d_weight_VD = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        d_bias_V = weight.new_zeros(len(weight)) if ctx.needs_input_grad[2] else None

        for chunk in _chunks(len(hidden_ND), len(weight), ctx.chunk_elements):
            hidden = hidden_ND[chunk].to(dtype)
            # d logp / d logits = onehot(target) - softmax(logits), built in place of the logits.
            d_logits = _logits(hidden, weight, bias, ctx.temperature)
            d_logits.sub_(lse_N[chunk, None])
            if entropy:  # d entropy / d logits = -softmax(logits) (log softmax(logits) + entropy)
                scale = (d_logits + entropy[0][chunk, None]).mul_(d_entropy_N[chunk, None]).add_(d_logp_N[chunk, None])
                d_logits.exp_().mul_(scale.neg_())
            else:
                d_logits.exp_().mul_(-d_logp_N[chunk, None])
            d_logits.scatter_add_(-1, targets_N[chunk, None], d_logp_N[chunk, None])
            if d_bias_V is not None:
                d_bias_V.add_(d_logits.sum(dim=0), alpha=1 / ctx.temperature)
            if d_hidden_ND is not None:
                d_hidden_ND[chunk] = (d_logits @ weight) / ctx.temperature
            if d_weight_VD is not None:
                d_weight_VD.addmm_(d_logits.T, hidden, alpha=1 / ctx.temperature)

        # Sums over tokens are taken at full precision and rounded once.
        d_weight_VD = None if d_weight_VD is None else d_weight_VD.to(weight_VD.dtype)
        d_bias_V = None if d_bias_V is None else d_bias_V.to(bias_V.dtype)
        return d_hidden_ND, d_weight_VD, d_bias_V, None, None, None, None


def _chunks(num_tokens: int, vocab_size: int, chunk_elements: int) -> Iterator[slice]:
    """Slices of tokens whose logits stay within `chunk_elements`."""
    step = max(1, chunk_elements // vocab_size)
    return (slice(start, start + step) for start in range(0, num_tokens, step))
