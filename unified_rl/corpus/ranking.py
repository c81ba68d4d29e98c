"""Pages ranked by score and cut where the tokens are spent; how much of a round was there before; the pages around the cut."""

from __future__ import annotations

import numpy as np


def best(scores: np.ndarray, tokens: np.ndarray, kept: np.ndarray, budget: int) -> tuple[np.ndarray, float]:
    """The best pages whose tokens together are at most `budget`; the first one that does not fit ends the ranking.

    Args:
        scores: float32 [n]. tokens: int32 [n]. kept: bool [n], the pages that are ranked. budget: tokens.

    Returns:
        bool [n], and the score of the last page that is let in (1 where there is none). Of equal scores the earlier page is better.
    """
    ranked = order(scores, kept)
    spent = np.cumsum(tokens[ranked], dtype=np.int64)
    let_in = ranked[: int(np.searchsorted(spent, budget, side="right"))]
    collected = np.zeros(len(scores), bool)
    collected[let_in] = True
    return collected, float(scores[let_in[-1]]) if len(let_in) else 1.0


def order(scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Numbers of the kept pages, the best first; the earlier first among equals."""
    places = np.flatnonzero(kept)
    return places[np.argsort(-scores[places], kind="stable")]


def overlap(now: np.ndarray, before: np.ndarray | None) -> float | None:
    """Share of a round's pages that the round before kept too, the paper's measure of when to stop; None in the first round."""
    if before is None or not now.any():
        return None
    return int((now & before).sum()) / int(now.sum())


def around_cut(scores: np.ndarray, kept: np.ndarray, collected: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(numbers of the last `count` pages let in, of the first `count` left out), each in the order of the ranking."""
    ranked = order(scores, kept)
    inside = collected[ranked]
    return ranked[inside][-count:] if count else ranked[:0], ranked[~inside][:count]
