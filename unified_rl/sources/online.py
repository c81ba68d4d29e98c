"""Samples of the current policy, o ~ pi_theta(O|q)."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl import rng
from unified_rl.sources.prompts import PromptPool
from unified_rl.types import Decoding, Draw, Generator, Group, Prompt, Response, Reward, ScoredResponse


class OnlineSamples:
    """`responses_per_prompt` fresh, scored responses to each of the step's prompts."""

    def __init__(
        self,
        pool: PromptPool,
        generator: Generator,
        reward: Reward,
        decoding: Decoding,
        *,
        seed: int,
        prompts_per_step: int,
        responses_per_prompt: int,
    ) -> None:
        self._pool, self._generator, self._reward, self._decoding = pool, generator, reward, decoding
        self._seed, self._prompts_per_step, self._responses_per_prompt = seed, prompts_per_step, responses_per_prompt

    def draw(self, step: int, policy_version: int) -> Draw:
        prompts = [self._pool[index] for index in self._pool.indices(step, self._prompts_per_step)]
        groups = self.sample(prompts, step, policy_version)
        return Draw(groups, count_tokens(groups))

    def sample(self, prompts: Sequence[Prompt], step: int, policy_version: int) -> list[Group]:
        """Scored groups for given prompts; the noise is a function of (seed, step, place in the step)."""
        seeds = [
            [rng.derive_seed(self._seed, "sampling", step, place, index) for index in range(self._responses_per_prompt)]
            for place in range(len(prompts))
        ]
        responses = self._generator.generate(prompts, seeds, self._decoding, policy_version)
        return score_groups(self._reward, prompts, responses)


class InformativeSamples:
    """Online samples in which every group has both better and worse responses (DAPO's dynamic sampling, arXiv 2503.14476).

    Groups whose rewards agree carry no signal; they are dropped and further prompts are tried, at most `max_rounds` batches of
    them per step. The step then has at most `prompts_per_step` groups, and at least one: if no group qualified, the last round's
    are used as they are (their advantages are zero).
    """

    def __init__(self, online: OnlineSamples, pool: PromptPool, *, prompts_per_step: int, max_rounds: int) -> None:
        self._online, self._pool = online, pool
        self._prompts_per_step, self._max_rounds = prompts_per_step, max_rounds

    def draw(self, step: int, policy_version: int) -> Draw:
        kept: list[Group] = []
        groups: list[Group] = []
        sampled = 0
        for round_index in range(self._max_rounds):
            draw = step * self._max_rounds + round_index
            prompts = [self._pool[index] for index in self._pool.indices(draw, self._prompts_per_step)]
            groups = self._online.sample(prompts, draw, policy_version)
            sampled += count_tokens(groups)
            kept += [group for group in groups if _informative(group)]
            if len(kept) >= self._prompts_per_step:
                break
        return Draw(kept[: self._prompts_per_step] or groups, sampled)


def count_tokens(groups: Sequence[Group]) -> int:
    """Response tokens that the policy wrote, in all groups."""
    responses = (scored.response for group in groups for scored in group.responses)
    return sum(len(one) if one.response_mask is None else int(one.response_mask.sum()) for one in responses)


def score_groups(reward: Reward, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[Group]:
    """Responses joined with what the reward says of them."""
    scores = reward.score(prompts, responses)
    return [
        Group(prompt, tuple(ScoredResponse(response, score) for response, score in zip(group, group_scores, strict=True)))
        for prompt, group, group_scores in zip(prompts, responses, scores, strict=True)
    ]


def _informative(group: Group) -> bool:
    """Whether the reward takes some answers for right and some not (0 < #correct < G); length penalties do not matter here."""
    right = [scored.score.judged_correct for scored in group.responses]
    return any(right) and not all(right)
