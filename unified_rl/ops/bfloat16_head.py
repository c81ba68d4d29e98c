"""The head's pass with operands in bfloat16 and sums in float32, as a GPU's matrix units compute it.

No copy of the head in float32 is made. Products of two bfloat16 numbers are exact in float32, so logits, log-probs and entropies
are those of `exact_head` on the same weights, up to the order of summation. The gradient with respect to the logits is rounded to
bfloat16 once, before the two products that it enters.

Where log-probs are all that is differentiated, and the chunks' residuals (probabilities less the target's unit vector) stay within
`KEPT_BYTES`, they are kept for the backward pass, which is then two matrix products over all tokens at once. Elsewhere it
recomputes the logits. Either way the head's gradient is summed in float32 and rounded once.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
from torch import Tensor

from unified_rl.ops.distribution import Statistics, logits_gradient, policy_statistics, statistics
from unified_rl.ops.exact_head import Teacher, chunks

_log = logging.getLogger(__name__)

#: Logits in float32 that are held at once, in elements: 256 MiB. Fewer rows would leave a GPU waiting for the head's weights; with
#: twice as many an H100 is 3 % faster.
GPU_CHUNK_ELEMENTS = 2**26
#: Logits from which on they are read by a compiled program. Fewer are read in the time that it takes to launch the operations.
COMPILED_ELEMENTS = 2**22
#: Most bytes of residuals, or of gradients with respect to logits, that are held for products over many chunks at once.
KEPT_BYTES = 2 * 2**30


def product(a_NK: Tensor, b_KM: Tensor) -> Tensor:
    """a @ b [N, M] of bfloat16 matrices, summed and returned in float32."""
    if a_NK.is_cuda:
        return torch.mm(a_NK, b_KM, out_dtype=torch.float32)
    return a_NK.float() @ b_KM.float()  # what a GPU computes, up to the order of summation


def bfloat16_logits(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, temperature: float) -> Tensor:
    """Logits [N, V] at the sampling temperature, in float32."""
    logits_NV = product(hidden_ND, weight_VD.T)
    if bias_V is not None:
        logits_NV += bias_V.float()
    return logits_NV if temperature == 1.0 else logits_NV.div_(temperature)


class Bfloat16Head(torch.autograd.Function):
    """`token_outputs` for bfloat16 operands. See there for arguments; outputs come in the order of `names`."""

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
        kept_bytes: int = KEPT_BYTES,
    ) -> tuple[Tensor, ...]:
        shape = len(hidden_ND), len(weight_VD)
        chunk_elements = chunk_elements or GPU_CHUNK_ELEMENTS
        fits = hidden_ND.element_size() * shape[0] * shape[1] <= kept_bytes
        keep = fits and differentiated == ("logp",) and teacher is None and any(ctx.needs_input_grad)
        residual_NV = hidden_ND.new_empty(shape) if keep else None
        values = {name: hidden_ND.new_empty(len(hidden_ND), dtype=torch.float32) for name in names}
        lse_N = hidden_ND.new_empty(len(hidden_ND), dtype=torch.float32)
        teacher_lse_N = None if teacher is None else torch.empty_like(lse_N)
        for chunk in chunks(*shape, chunk_elements):
            logits = bfloat16_logits(hidden_ND[chunk], weight_VD, bias_V, temperature)
            found = _read(logits, targets_N[chunk], names, residual_NV, teacher, chunk)
            for name in names:
                values[name][chunk] = found.values[name]
            lse_N[chunk] = found.lse_n
            if teacher_lse_N is not None:
                teacher_lse_N[chunk] = found.teacher_lse_n  # type: ignore[assignment]  # it is there with a teacher

        ctx.temperature, ctx.chunk_elements, ctx.kept_bytes = temperature, chunk_elements, kept_bytes
        ctx.names, ctx.differentiated = names, differentiated
        teacher_saved = teacher[:3] if teacher else (None, None, None)
        ctx.temperature_and_share = teacher[3:] if teacher else (1.0, 0.5)
        saved = [values[name] for name in differentiated]
        ctx.save_for_backward(
            hidden_ND, weight_VD, bias_V, targets_N, residual_NV, lse_N, teacher_lse_N, *teacher_saved, *saved
        )
        ctx.mark_non_differentiable(*(values[name] for name in names if name not in differentiated))
        return tuple(values[name] for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, _, residual_NV, *_ = ctx.saved_tensors
        gradients = {
            name: g for name, g in zip(ctx.names, upstream, strict=True) if name in ctx.differentiated or name == "logp"
        }
        sums = _Gradients(hidden_ND, weight_VD, bias_V, ctx.needs_input_grad)
        if residual_NV is not None:
            sums.add(slice(0, len(hidden_ND)), residual_NV, gradients["logp"] / -ctx.temperature)
        else:
            step = max(1, ctx.kept_bytes // (hidden_ND.element_size() * len(weight_VD)))
            for start in range(0, len(hidden_ND), step):
                rows = slice(start, min(start + step, len(hidden_ND)))
                sums.add(rows, _recomputed(ctx, rows, gradients), torch.full_like(gradients["logp"][rows], 1 / ctx.temperature))
        return *sums.rounded(), None, None, None, None, None, None, None


def _read(
    logits_nV: Tensor,
    targets_n: Tensor,
    names: tuple[str, ...],
    residual_NV: Tensor | None,
    teacher: Teacher | None,
    chunk: slice,
) -> Statistics:
    """A chunk's statistics, and without a teacher its residuals: many logits on a GPU by one program, else by torch, one by one."""
    if teacher is not None:
        return statistics(logits_nV, targets_n, names, *_teacher_logits(teacher, chunk))
    residual_nV = None if residual_NV is None else residual_NV[chunk]
    run = _program() if logits_nV.is_cuda and logits_nV.numel() >= COMPILED_ELEMENTS else policy_statistics
    values, lse_n = run(logits_nV, targets_n, names, residual_nV)
    return Statistics(dict(zip(names, values, strict=True)), lse_n)


class StatisticsProgram:
    """`policy_statistics` compiled, or as it is where that fails (no Triton, no C compiler), which is said once."""

    def __init__(self) -> None:
        # A row to a block of threads: divided rows would be read once more.
        self._run = torch.compile(policy_statistics, dynamic=True, options={"split_reductions": False})

    def __call__(self, *inputs: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        try:
            return self._run(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of many kinds, by what is missing
            if self._run is policy_statistics:
                raise
            said = str(error).strip().splitlines() or [type(error).__name__]
            _log.warning("log-probs are read off the logits without a compiler, which takes longer: %s", said[0])
            self._run = policy_statistics
            return self(*inputs)


@functools.cache
def _program() -> StatisticsProgram:
    return StatisticsProgram()


def _recomputed(ctx: Any, rows: slice, upstream: dict[str, Tensor]) -> Tensor:
    """The gradient with respect to the logits [n, V] of these rows, in bfloat16, chunk by chunk."""
    hidden_ND, weight_VD, bias_V, targets_N, _, lse_N, teacher_lse_N, *rest = ctx.saved_tensors
    teacher = None if rest[0] is None else (*rest[:3], *ctx.temperature_and_share)
    values = dict(zip(ctx.differentiated, rest[3:], strict=True))
    d_logits_nV = hidden_ND.new_empty(rows.stop - rows.start, len(weight_VD))
    for part in chunks(rows.stop - rows.start, len(weight_VD), ctx.chunk_elements):
        chunk = slice(rows.start + part.start, min(rows.start + part.stop, rows.stop))
        d_logits_nV[part] = logits_gradient(
            bfloat16_logits(hidden_ND[chunk], weight_VD, bias_V, ctx.temperature),
            targets_N[chunk],
            Statistics(
                {name: value[chunk] for name, value in values.items()},
                lse_N[chunk],
                None if teacher_lse_N is None else teacher_lse_N[chunk],
            ),
            {name: gradient[chunk] for name, gradient in upstream.items()},
            *_teacher_logits(teacher, chunk),
        )
    return d_logits_nV


class _Gradients:
    """Gradients of hidden states, head and bias, summed over slabs of tokens; None where they are not needed."""

    def __init__(self, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, needed: tuple[bool, ...]) -> None:
        self._hidden_ND, self._weight_VD, self._bias_V, self._needed = hidden_ND, weight_VD, bias_V, needed
        self._d_hidden_ND = torch.empty_like(hidden_ND) if needed[0] else None
        self._d_weight_VD: Tensor | None = None
        self._d_bias_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=torch.float32)

    def add(self, rows: slice, d_logits_nV: Tensor, factor_n: Tensor) -> None:
        """Count d_logits times a factor [n] per row. The factor goes to the small operand of each product."""
        factor_n1 = factor_n[:, None]
        if self._d_hidden_ND is not None:
            self._d_hidden_ND[rows] = product(d_logits_nV, self._weight_VD).mul_(factor_n1)
        if self._needed[1]:
            hidden = (self._hidden_ND[rows] * factor_n1).to(d_logits_nV.dtype)
            if len(d_logits_nV) == len(self._hidden_ND):  # nothing to be added to: rounded as it leaves the product
                self._d_weight_VD = d_logits_nV.T @ hidden
            else:
                found = product(d_logits_nV.T, hidden)
                self._d_weight_VD = found if self._d_weight_VD is None else self._d_weight_VD.add_(found)
        if self._needed[2] and self._d_bias_V is not None:
            self._d_bias_V += product(d_logits_nV.T, factor_n1.to(d_logits_nV.dtype))[:, 0]

    def rounded(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The sums in the parameters' precision."""
        d_weight_VD = None if self._d_weight_VD is None else self._d_weight_VD.to(self._weight_VD.dtype)
        d_bias_V = None if self._d_bias_V is None or self._bias_V is None else self._d_bias_V.to(self._bias_V.dtype)
        return self._d_hidden_ND, d_weight_VD, d_bias_V if self._needed[2] else None


def _teacher_logits(teacher: Teacher | None, chunk: slice) -> tuple[Tensor | None, float]:
    """A chunk's logits, and the teacher's share in a mixture."""
    if teacher is None:
        return None, 0.5
    hidden_ND, weight_VD, bias_V, temperature, share = teacher
    return bfloat16_logits(hidden_ND[chunk], weight_VD, bias_V, temperature), share
