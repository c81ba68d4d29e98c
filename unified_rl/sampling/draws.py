"""Drawing the next token. Every draw is a function of its own logits and one uniform number, and of nothing else."""

from __future__ import annotations

import numpy as np
import torch

from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding


def request_uniforms(seed: int, count: int) -> np.ndarray:
    """The uniform numbers, float64 [count] in [0, 1), with which a request draws its tokens.

    Counter-based, so a request draws the same numbers in whatever company it is served, and a larger `count` only appends.
    """
    return generator(seed, "tokens").random(count)


def sampler_logp(logits: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """Log-probabilities of the distribution that is sampled from.

    Temperature first, then top-k, then top-p on what top-k left (the order of transformers' `generate`), renormalised over the
    kept tokens. Ties at the edge of top-k or top-p are broken in favour of the lower token id, so top-k keeps exactly k tokens.
    Greedy decoding (temperature 0) has no sampling distribution; its log-probabilities are those at temperature 1.

    Args:
        logits: [B, V], any floating type.
        decoding: the request's settings.

    Returns:
        float32 [B, V], -inf on tokens that are not kept.
    """
    logits = logits.float()
    if decoding.temperature == 0:
        return torch.log_softmax(logits, dim=-1)
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    if decoding.top_k == 0 and decoding.top_p >= 1:
        return torch.log_softmax(logits, dim=-1)
    kept = _kept_tokens(logits, decoding)
    return torch.log_softmax(logits.masked_fill(~kept, float("-inf")), dim=-1)


def _kept_tokens(logits: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """bool [B, V]: the `top_k` likeliest tokens, of these the fewest that together reach `top_p` (always at least one)."""
    ordered, order = torch.sort(logits, dim=-1, descending=True, stable=True)
    kept = torch.ones_like(ordered, dtype=torch.bool)
    if decoding.top_k > 0:
        kept[:, decoding.top_k :] = False
    if decoding.top_p < 1:
        probability = torch.softmax(ordered.masked_fill(~kept, float("-inf")).double(), dim=-1)
        # A token is needed as long as those before it have not reached top_p; so the first always is.
        kept &= probability.cumsum(dim=-1) - probability < decoding.top_p
        kept[:, 0] = True
    return torch.zeros_like(kept).scatter_(-1, order, kept)


def draw(logits: torch.Tensor, uniforms: torch.Tensor, decoding: Decoding) -> tuple[torch.Tensor, torch.Tensor]:
    """One token per row, by inverting the cumulative distribution at the row's uniform number.

    Args:
        logits: [B, V], any floating type.
        uniforms: float64 [B] in [0, 1). Not looked at in greedy decoding.
        decoding: the request's settings.

    Returns:
        token ids, int64 [B], and their log-probability under `sampler_logp`, float32 [B].
    """
    logp = sampler_logp(logits, decoding)
    if decoding.temperature > 0:
        return draw_by_inversion(logp, uniforms)
    tokens = logp.argmax(dim=-1)
    return tokens, logp.gather(-1, tokens[:, None]).squeeze(-1)


def draw_by_inversion(logp: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first token whose cumulative probability exceeds uniform * total, and its log-probability (shapes as in `draw`).

    It has positive probability, since u < 1. In float64, so that the rare tokens of a large vocabulary keep their share.
    """
    cumulative = logp.double().exp().cumsum(dim=-1)
    target = uniforms[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True)
    return tokens.squeeze(-1), logp.gather(-1, tokens).squeeze(-1)
