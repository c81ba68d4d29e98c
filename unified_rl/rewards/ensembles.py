"""Several reward models as one, pessimistic where they disagree (arXiv 2606.09073): a scorer made of scorers.

With r_m what member m of M says after a token, in the output that the reward is read in (probabilities, or logits):

    mean         mean_m r_m                                       scale: not read
    minus_std    mean_m r_m - scale std_m r_m                     std of the population
    worst        min_m r_m                                        scale: not read
    soft         -scale log mean_m exp(-r_m / scale)              the mean as scale -> inf, the worst as scale -> 0

Of probabilities the result is held between 1e-6 and 1 - 1e-6, where its logit is finite: below that minus_std ranks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unified_rl.base.types import Prompt, Response
from unified_rl.config.ranges import one_of, positive
from unified_rl.rewards.model import Scorer, sigmoid

PESSIMISMS = ("mean", "minus_std", "worst", "soft")
#: Nearest that a combined probability comes to 0 and 1, so that its logit is finite.
_EDGE = 1e-6


class EnsembleScorer:
    """The members' word combined, as a logit. Implements `Scorer`.

    Args of the constructor:
        members: at least one, of one kind. output: probability | logit. pessimism, scale: see the module.

    Raises:
        ConfigError: an unknown pessimism, or a scale that is not above 0.
    """

    def __init__(self, members: Sequence[Scorer], output: str, pessimism: str, scale: float) -> None:
        one_of("reward.pessimism", pessimism, PESSIMISMS)
        positive("reward.pessimism_scale", scale)
        self.kind = members[0].kind
        self._members, self._output, self._pessimism, self._scale = members, output, pessimism, scale

    def scores(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[np.ndarray]:
        """Logits, float32 [T] per response."""
        said = zip(*(member.scores(prompts, responses) for member in self._members), strict=True)
        return [self._together(np.stack(logits).astype(np.float64)) for logits in said]

    def _together(self, logits_MT: np.ndarray) -> np.ndarray:
        if self._output == "logit":
            return combined(logits_MT, self._pessimism, self._scale).astype(np.float32)
        probability_T = combined(sigmoid(logits_MT), self._pessimism, self._scale).clip(_EDGE, 1 - _EDGE)
        return (np.log(probability_T) - np.log1p(-probability_T)).astype(np.float32)


def combined(values_MT: np.ndarray, pessimism: str, scale: float) -> np.ndarray:
    """The members' values [M, T] as one [T]."""
    worst_T = values_MT.min(0)
    if pessimism == "worst":
        return worst_T
    if pessimism == "soft":  # expm1 and log1p: at a large scale exp and log would round off all that tells the members apart
        return worst_T - scale * np.log1p(np.expm1(-(values_MT - worst_T) / scale).mean(0))
    spread_T = scale * values_MT.std(0) if pessimism == "minus_std" else 0.0
    return values_MT.mean(0) - spread_T
