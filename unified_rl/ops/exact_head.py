"""The head's pass over chunks of tokens in float32 or float64, forward and backward.

Only one float per token (the log-sum-exp) is kept for the backward pass, which recomputes the logits of each chunk: one more matrix
product in exchange for memory that does not grow with the number of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unified_rl.ops.distribution import Statistics, logits_gradient, statistics

# Logits held at once, in elements: 64 MiB in float32. The chunked pass holds two such tensors.
CHUNK_ELEMENTS = 2**24

#: A teacher's hidden states, its head's weight and bias, the temperature of its logits, and its share in a mixture.
Teacher = tuple[Tensor, Tensor, Tensor | None, float, float]


def precision(hidden_ND: Tensor) -> torch.dtype:
    """What the head computes in."""
    return torch.float64 if hidden_ND.dtype == torch.float64 else torch.float32


def chunks(num_tokens: int, vocab_size: int, chunk_elements: int) -> Iterator[slice]:
    """Slices of tokens whose logits stay within `chunk_elements`."""
    step = max(1, chunk_elements // vocab_size)
    return (slice(start, start + step) for start in range(0, num_tokens, step))


def logits_of(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, temperature: float, dtype: torch.dtype) -> Tensor:
    """Logits [N, V] at the sampling temperature, in `dtype`. Scaling the hidden states is cheaper than scaling the logits."""
    hidden_ND, weight_VD = hidden_ND.to(dtype), weight_VD.to(dtype)
    bias_V = None if bias_V is None else bias_V.to(dtype)
    if temperature != 1.0:
        hidden_ND = hidden_ND / temperature
        bias_V = None if bias_V is None else bias_V / temperature
    return torch.nn.functional.linear(hidden_ND, weight_VD, bias_V)


class ExactHead(torch.autograd.Function):
    """`token_outputs` for logits too large to hold. See there for arguments; outputs come in the order of `names`."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        temperature: float,
        chunk_elements: int,
        names: tuple[str, ...],
        differentiated: tuple[str, ...],
        teacher: Teacher | None,
    ) -> tuple[Tensor, ...]:
        dtype = precision(hidden_ND)
        weight = weight_VD.to(dtype)
        taught = None if teacher is None else (teacher[0], teacher[1].to(dtype), *teacher[2:])
        found = []
        for chunk in chunks(len(hidden_ND), len(weight), chunk_elements):
            logits = logits_of(hidden_ND[chunk], weight, bias_V, temperature, dtype)
            found.append(statistics(logits, targets_N[chunk], names, *_teacher_logits(taught, chunk, dtype)))

        values = {name: torch.cat([one.values[name] for one in found]) for name in names}
        lse_N = torch.cat([one.lse_n for one in found])
        teacher_lse_N = None if teacher is None else torch.cat([one.teacher_lse_n for one in found])  # type: ignore[misc]
        ctx.temperature, ctx.chunk_elements, ctx.names, ctx.differentiated = temperature, chunk_elements, names, differentiated
        ctx.temperature_and_share = teacher[3:] if teacher else (1.0, 0.5)
        saved = [values[name] for name in differentiated]
        ctx.save_for_backward(
            hidden_ND, weight_VD, bias_V, targets_N, lse_N, teacher_lse_N, *(teacher[:3] if teacher else (None,) * 3), *saved
        )
        ctx.mark_non_differentiable(*(values[name] for name in names if name not in differentiated))
        return tuple(values[name] for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, targets_N, lse_N, teacher_lse_N, *rest = ctx.saved_tensors
        teacher = None if rest[0] is None else (*rest[:3], *ctx.temperature_and_share)
        values = dict(zip(ctx.differentiated, rest[3:], strict=True))
        dtype, scale = precision(hidden_ND), 1 / ctx.temperature
        weight = weight_VD.to(dtype)
        taught = None if teacher is None else (teacher[0], teacher[1].to(dtype), *teacher[2:])
        gradients = {
            name: g for name, g in zip(ctx.names, upstream, strict=True) if name in ctx.differentiated or name == "logp"
        }
        d_hidden_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        d_weight_VD = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        d_bias_V = weight.new_zeros(len(weight)) if ctx.needs_input_grad[2] else None

        for chunk in chunks(len(hidden_ND), len(weight), ctx.chunk_elements):
            hidden = hidden_ND[chunk].to(dtype)
            d_logits = logits_gradient(
                logits_of(hidden, weight, bias_V, ctx.temperature, dtype),
                targets_N[chunk],
                Statistics(
                    {name: value[chunk] for name, value in values.items()},
                    lse_N[chunk],
                    None if teacher_lse_N is None else teacher_lse_N[chunk],
                ),
                {name: gradient[chunk] for name, gradient in gradients.items()},
                *_teacher_logits(taught, chunk, dtype),
            )
            if d_bias_V is not None:
                d_bias_V.add_(d_logits.sum(dim=0), alpha=scale)
            if d_hidden_ND is not None:
                d_hidden_ND[chunk] = (d_logits @ weight) / ctx.temperature
            if d_weight_VD is not None:
                d_weight_VD.addmm_(d_logits.T, hidden, alpha=scale)

        # Sums over tokens are taken at full precision and rounded once.
        d_weight_VD = None if d_weight_VD is None else d_weight_VD.to(weight_VD.dtype)
        d_bias_V = None if d_bias_V is None else d_bias_V.to(bias_V.dtype)
        return d_hidden_ND, d_weight_VD, d_bias_V, None, None, None, None, None, None


def _teacher_logits(teacher: Teacher | None, chunk: slice, dtype: torch.dtype) -> tuple[Tensor | None, float]:
    """A chunk's logits, and the teacher's share in a mixture."""
    if teacher is None:
        return None, 0.5
    hidden_ND, weight_VD, bias_V, temperature, share = teacher
    return logits_of(hidden_ND[chunk], weight_VD, bias_V, temperature, dtype), share
