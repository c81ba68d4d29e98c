"""Golden gradients of verl's Clip-Cov, which draws tokens at random, for `tools.golden`.

verl's functions are read from a checkout and compiled as they are. What they draw is the first of torch's permutation of the tokens
in the band; ours gets a number for each token, in the order of that permutation, and less for every token that may not be drawn.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tools.golden_trl import functions

FILES = ("verl/trainer/ppo/core_algos.py", "verl/utils/torch_functional.py")
SEED, EPS, SHARE, ABOVE, BELOW = 0, 0.2, 0.06, 0.2, 2.0
Loss = Callable[[Tensor], Tensor]


def losses(checkout: Path, given: dict[str, Any], scores: Tensor) -> dict[str, Loss]:
    """Clip-Cov of all tokens in the band, and of a share, as functions of the log-probs [B, T]; scores: of responses [B]."""
    core, masked = (checkout / file for file in FILES)
    space: dict[str, Any] = {"AlgoConfig": type(None), "verl_F": Namespace(**functions(masked, "masked_sum", "masked_mean"))}
    clip_cov = functions(core, "compute_policy_loss_clip_cov", "agg_loss", **space)["compute_policy_loss_clip_cov"]
    old, mask = torch.tensor(given["old_logp"], dtype=torch.float64), torch.tensor(given["response_mask"]).long()

    def loss(logp: Tensor, share: float) -> Tensor:
        options = Namespace(clip_cov_ratio=share, clip_cov_lb=ABOVE, clip_cov_ub=BELOW)
        clip = dict.fromkeys(("clip_ratio", "clip_ratio_low", "clip_ratio_high"), EPS)
        torch.manual_seed(SEED)
        config = Namespace(**clip, policy_loss=options, global_batch_info={})
        found: Tensor = clip_cov(old, logp, scores[:, None].expand_as(old), mask, config=config)[0]
        return found

    return {
        "clip_cov, all of the band": lambda logp: loss(logp, 1.0),
        "clip_cov, drawn from the band": lambda logp: loss(logp, SHARE),
    }


def chance(given: dict[str, Any], scores: Tensor) -> list[list[float]]:
    """A number for each token [B][T]: by the place in verl's permutation where the token may be drawn, else 0."""
    logp, old = (torch.tensor(given[name], dtype=torch.float64) for name in ("logp", "old_logp"))
    mask, advantages = torch.tensor(given["response_mask"]), scores[:, None].expand_as(old)
    ratio = (logp - old).exp()
    kept = ratio * advantages <= ratio.clamp(1 - EPS, 1 + EPS) * advantages
    covariance = (advantages - advantages[mask].mean()) * (logp - logp[mask].mean())
    places = (mask & kept & (covariance > ABOVE) & (covariance < BELOW)).nonzero()
    torch.manual_seed(SEED)
    order = places[torch.randperm(len(places))]
    found = torch.zeros_like(logp)
    found[order[:, 0], order[:, 1]] = torch.arange(1, len(order) + 1, dtype=torch.float64) / (len(order) + 1)
    numbers: list[list[float]] = found.tolist()
    return numbers
