"""Stored samples of a frozen policy, o ~ pi_sft(O|q)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unified_rl.base import rng
from unified_rl.base.errors import DataError
from unified_rl.base.types import Draw, Response, Reward
from unified_rl.config.ranges import at_least
from unified_rl.sources.declaration import STORED, Given, Provides, SourceDeclaration, Writer
from unified_rl.sources.online import score_groups
from unified_rl.sources.prompts import PromptPool


class OfflineSamples:
    """`responses_per_prompt` of the stored responses to each of the step's prompts, without replacement.

    Args of the constructor:
        stored: for each prompt of the pool, its stored responses.
        responses_per_prompt: None = all of them, in the order in which they are stored.
    """

    def __init__(
        self,
        pool: PromptPool,
        stored: Sequence[Sequence[Response]],
        reward: Reward,
        *,
        seed: int,
        prompts_per_step: int,
        responses_per_prompt: int | None,
    ) -> None:
        _check(pool, stored, responses_per_prompt or 1)
        self.pool, self._stored, self._reward = pool, stored, reward
        self._seed, self._prompts_per_step, self._responses_per_prompt = seed, prompts_per_step, responses_per_prompt

    def draw(self, step: int, policy_version: int) -> Draw:
        return self.sample(self.pool.indices(step, self._prompts_per_step), step, policy_version)

    def sample(self, indices: Sequence[int], draw: int, policy_version: int) -> Draw:
        """Scored groups for given prompts of the pool; which responses is a function of (seed, draw, place in the draw)."""
        chosen = [self._chosen(index, draw, place) for place, index in enumerate(indices)]
        return Draw(score_groups(self._reward, [self.pool[index] for index in indices], chosen))

    def _chosen(self, index: int, draw: int, place: int) -> Sequence[Response]:
        responses = self._stored[index]
        if self._responses_per_prompt is None:
            return responses
        order = rng.generator(self._seed, "stored", draw, place).permutation(len(responses))
        return [responses[i] for i in order[: self._responses_per_prompt]]


def _check(pool: PromptPool, stored: Sequence[Sequence[Response]], least: int) -> None:
    if len(stored) != len(pool):
        raise DataError(f"stored samples cover {len(stored)} prompts, but the pool has {len(pool)}; store them again")
    fewest = min(len(responses) for responses in stored)
    if fewest < least:
        raise DataError(f"a prompt has {fewest} stored responses, but {least} are wanted; raise source.samples_per_prompt")


@dataclass
class StoredOptions:
    """samples_per_prompt: stored samples per prompt."""

    samples_per_prompt: int = 8

    def check_stored(self) -> None:
        at_least("source.samples_per_prompt", self.samples_per_prompt, 1)


def build(given: Given) -> OfflineSamples:
    """The configured source."""
    return OfflineSamples(
        given.pool(),
        given.stored(),
        given.reward,
        seed=given.config.seed,
        prompts_per_step=given.config.rollout.prompts_per_step,
        responses_per_prompt=given.responses,
    )


DECLARATION = SourceDeclaration(
    name="offline_samples",
    provides=Provides(Writer.FROZEN, stored=True),
    in_words="q ~ P_sft(Q), o ~ pi_sft(O|q)",
    what="`responses_per_prompt` of the stored ones",
    by="the start policy, once, for all runs",
    build=build,
    offers=lambda config: config.source.samples_per_prompt,
    options=(StoredOptions,),
    artefacts=(STORED,),
)
