"""Pairs of responses that somebody has written and compared, (q, o+, o-) ~ D: preference data from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unified_rl.base.types import Draw, Response, Reward, ScoredResponse, Source
from unified_rl.sources.declaration import COMPARED, Given, Provides, SourceDeclaration, Writer
from unified_rl.sources.online import score_groups
from unified_rl.sources.prompts import PromptPool


class WrittenPairs:
    """The step's prompts, each with its better and its worse response: rewards of 1 and 0, whatever a grader says of them."""

    def __init__(
        self, pool: PromptPool, pairs: Sequence[tuple[Response, Response]], reward: Reward, *, prompts_per_step: int
    ) -> None:
        self.pool, self._pairs, self._reward, self._prompts_per_step = pool, pairs, reward, prompts_per_step

    def draw(self, step: int, policy_version: int) -> Draw:
        indices = self.pool.indices(step, self._prompts_per_step)
        groups = score_groups(self._reward, [self.pool[i] for i in indices], [self._pairs[i] for i in indices])
        return Draw([group.with_responses([*map(_compared, group.responses, (True, False))]) for group in groups])


def _compared(scored: ScoredResponse, better: bool) -> ScoredResponse:
    return replace(scored, score=replace(scored.score, reward=float(better), accepted=better))


def build(given: Given) -> Source:
    """The configured source."""
    pool, pairs = given.compared()
    return WrittenPairs(pool, pairs, given.reward, prompts_per_step=given.config.rollout.prompts_per_step)


DECLARATION = SourceDeclaration(
    name="written_pairs",
    provides=Provides(Writer.DATA, stored=True, responses="pair", logp=False, pool=False, prompted=False),
    in_words="q, o+, o- ~ D",
    what="a better and a worse one to each prompt, from a file (`task=preferences`)",
    by="nobody's policy",
    build=build,
    offers=lambda config: 2,
    needs=frozenset({COMPARED}),
)
