"""Drawing the next token. Every draw is a function of its own logits and one uniform number, and of nothing else."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

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
    """One token per uniform number, by inverting its row's cumulative distribution there.

    Args:
        logits: [B, V], any floating type.
        uniforms: float64 [B] or, for several draws from each row, [B, K], in [0, 1). Not looked at in greedy decoding.
        decoding: the request's settings.

    Returns:
        token ids, int64, and their log-probability under `sampler_logp`, float32, both of the shape of `uniforms`.
    """
    logp = sampler_logp(logits, decoding)
    if decoding.temperature > 0:
        return draw_by_inversion(logp, uniforms)
    tokens = logp.argmax(dim=-1)[:, None].expand(-1, uniforms[0].numel())
    return tokens.reshape(uniforms.shape), logp.gather(-1, tokens).view(uniforms.shape)


def draw_by_inversion(logp: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first token whose cumulative probability exceeds uniform * total, and its log-probability (shapes as in `draw`).

    It has positive probability, since u < 1. In float64, so that the rare tokens of a large vocabulary keep their share.
    """
    cumulative = logp.double().exp().cumsum(dim=-1)
    target = uniforms.view(len(logp), -1) * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True)
    return tokens.view(uniforms.shape), logp.gather(-1, tokens).view(uniforms.shape)


def draw_by_blocks(logits: torch.Tensor, uniforms: torch.Tensor, block: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """What `draw_by_inversion` draws of log_softmax(logits), up to rounding, for a large vocabulary.

    The block of tokens in which the cumulative probability passes the target is found first, then the token in it, so that neither
    cumulative sums nor float64 numbers are made of the whole vocabulary.

    Args:
        logits: float32 [B, V]. uniforms: float64 [B] in [0, 1). block: tokens of a block.
    """
    left = -logits.shape[1] % block
    padded = F.pad(logits, (0, left), value=float("-inf")) if left else logits
    highest = padded.amax(dim=-1, keepdim=True)
    weights = (padded - highest).exp_().view(len(logits), -1, block)
    cumulative = weights.sum(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    target = _below(uniforms[:, None] * cumulative[:, -1:], cumulative[:, -1:])
    place = torch.searchsorted(cumulative, target, right=True)
    before = torch.where(place > 0, cumulative.gather(-1, (place - 1).clamp_(min=0)), 0.0)
    within = weights.gather(1, place[..., None].expand(-1, -1, block))[:, 0].double().cumsum(dim=-1)
    inner = torch.searchsorted(within, _below(target - before, within[:, -1:]).clamp_(min=0.0), right=True)
    tokens = place * block + inner
    logp = logits.gather(-1, tokens) - highest - cumulative[:, -1:].log().float()
    return tokens.squeeze(-1), logp.squeeze(-1)


def _below(target: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """The target, less than the total whatever was rounded: so that a token is found, and one of positive probability."""
    return torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
