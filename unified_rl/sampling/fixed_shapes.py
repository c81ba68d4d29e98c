"""Products and sums in which nothing but a row's own numbers decides how they are rounded.

A matrix library picks its kernel, and with it the order of summation, by the shape of the product that it is asked for; so the
last bits of a row's result follow the number of rows beside it and the number of cache slots behind it, each processor in its own
way. Here every matrix that reaches the library has a shape that only the model decides: rows go in blocks of `BLOCK`, cache slots
in chunks of `CHUNK`. What varies is the number of matrices in a batch, each of which is a product of its own; and what the chunks
give is added in an order that further chunks of zeros do not change.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

BLOCK = 16
"""Rows of a product.

A row may lie anywhere in its block, so all of a block must go through kernels that round alike. Blocks of 16 do in every kernel
of MKL (SSE 4.2 to AVX-512); of 8 or 32 they do not, for AVX2's take six rows, and give the two that are left to another.
"""

MATRICES = 2
"""The least number of matrices in a batch, and so the number of threads up to which results are the same on all of them.

A library divides the matrices of a batch among its threads; where there are fewer, it divides a matrix, and may round otherwise.
"""

CHUNK = 32
"""Cache slots whose products are summed by the library, in its own order; chunks are added up by `in_order`.

Of 16 there are twice as many products, and attention takes an eighth longer; of 64 a short cache is mostly padding.
"""

LANES = 32
"""Numbers that torch adds up side by side: four vectors of eight. What is left beside them it adds up in another order."""


def linear(x: torch.Tensor, weight: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
    """x @ weight + added, [N, out], in blocks of rows.

    Args:
        x: [N, in], contiguous; N is a multiple of BLOCK.
        weight: [in, out], contiguous: read along its rows it is faster than a transposed one.
        added: a bias [out], a residual [N, out], or None.
    """
    rows, width = x.shape[0], weight.shape[1]
    blocks = x.view(-1, BLOCK, x.shape[1])
    if blocks.shape[0] < MATRICES:
        blocks = blocks.expand(MATRICES, -1, -1)
    weights = weight.expand(blocks.shape[0], -1, -1)
    if added is None:
        product = torch.bmm(blocks, weights).view(-1, width)
    else:
        product = torch.baddbmm(added if added.dim() == 1 else added.view(-1, BLOCK, width), blocks, weights).view(-1, width)
    return product if blocks.shape[0] * BLOCK == rows else product[:rows]


def in_order(parts: torch.Tensor) -> torch.Tensor:
    """The sum over dimension 1 of [N, n, W], one part after another, so that further parts of zeros do not change a bit of it."""
    width = parts.shape[2]
    return parts.sum(dim=1) if width % LANES == 0 else F.pad(parts, (0, -width % LANES)).sum(dim=1)[:, :width]
