"""Stored samples of a frozen policy, o ~ pi_sft(O|q), and preference pairs made of them."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl import rng
from unified_rl.errors import DataError
from unified_rl.sources.online import score_groups
from unified_rl.sources.prompts import PromptPool
from unified_rl.types import Draw, Group, Response, Reward


class OfflineSamples:
    """`responses_per_prompt` of the stored responses to each of the step's prompts, without replacement.

    Args of the constructor:
        stored: for each prompt of the pool, its stored responses.
    """

    def __init__(
        self,
        pool: PromptPool,
        stored: Sequence[Sequence[Response]],
        reward: Reward,
        *,
        seed: int,
        prompts_per_step: int,
        responses_per_prompt: int,
    ) -> None:
        _check(pool, stored, responses_per_prompt)
        self._pool, self._stored, self._reward = pool, stored, reward
        self._seed, self._prompts_per_step, self._responses_per_prompt = seed, prompts_per_step, responses_per_prompt

    def draw(self, step: int, policy_version: int) -> Draw:
        indices = self._pool.indices(step, self._prompts_per_step)
        chosen = []
        for place, index in enumerate(indices):
            order = rng.generator(self._seed, "stored", step, place).permutation(len(self._stored[index]))
            chosen.append([self._stored[index][i] for i in order[: self._responses_per_prompt]])
        return Draw(score_groups(self._reward, [self._pool[index] for index in indices], chosen))


class PreferencePairs:
    """Pairs of a better and a worse stored response to the same prompt, the reward deciding which is which.

    Up to `pairs_per_prompt` pairs per prompt and step: the responses with the prompt's highest reward and the others, each
    shuffled, are matched one to one. A prompt whose rewards all agree yields none, so the number of pairs differs between steps.
    """

    def __init__(
        self,
        pool: PromptPool,
        stored: Sequence[Sequence[Response]],
        reward: Reward,
        *,
        seed: int,
        prompts_per_step: int,
        pairs_per_prompt: int,
    ) -> None:
        _check(pool, stored, 2)
        self._pool, self._stored, self._reward = pool, stored, reward
        self._seed, self._prompts_per_step, self._pairs_per_prompt = seed, prompts_per_step, pairs_per_prompt

    def draw(self, step: int, policy_version: int) -> Draw:
        indices = self._pool.indices(step, self._prompts_per_step)
        groups = score_groups(self._reward, [self._pool[i] for i in indices], [self._stored[i] for i in indices])
        pairs: list[Group] = []
        for place, group in enumerate(groups):
            order = rng.generator(self._seed, "pairs", step, place).permutation(len(group.responses))
            shuffled = [group.responses[i] for i in order]
            best = max(scored.score.reward for scored in shuffled)
            better = [scored for scored in shuffled if scored.score.reward == best]
            worse = [scored for scored in shuffled if scored.score.reward < best]
            matched = list(zip(better, worse, strict=False))[: self._pairs_per_prompt]
            pairs += [group.with_responses(pair) for pair in matched]
        return Draw(pairs)


def _check(pool: PromptPool, stored: Sequence[Sequence[Response]], least: int) -> None:
    if len(stored) != len(pool):
        raise DataError(f"stored samples cover {len(stored)} prompts, but the pool has {len(pool)}; store them again")
    fewest = min(len(responses) for responses in stored)
    if fewest < least:
        raise DataError(f"a prompt has {fewest} stored responses, but {least} are wanted; raise source.samples_per_prompt")
