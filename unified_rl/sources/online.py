"""Samples of the current policy, o ~ pi_theta(O|q)."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.base import rng
from unified_rl.base.types import Decoding, Draw, Generator, Group, Prompt, Response, Reward, ScoredResponse
from unified_rl.sources.declaration import Given, Provides, SourceDeclaration, Writer, decoding_of, group_size
from unified_rl.sources.prompts import PromptPool


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
        self.pool, self._generator, self._reward, self._decoding = pool, generator, reward, decoding
        self._seed, self._prompts_per_step, self._responses_per_prompt = seed, prompts_per_step, responses_per_prompt

    def draw(self, step: int, policy_version: int) -> Draw:
        return self.sample(self.pool.indices(step, self._prompts_per_step), step, policy_version)

    def sample(self, indices: Sequence[int], draw: int, policy_version: int) -> Draw:
        """Scored groups for given prompts of the pool; the noise is a function of (seed, draw, place in the draw)."""
        prompts = [self.pool[index] for index in indices]
        seeds = [
            [rng.derive_seed(self._seed, "sampling", draw, place, index) for index in range(self._responses_per_prompt)]
            for place in range(len(prompts))
        ]
        responses = self._generator.generate(prompts, seeds, self._decoding, policy_version)
        groups = score_groups(self._reward, prompts, responses)
        return Draw(groups, count_tokens(groups))


def count_tokens(groups: Sequence[Group]) -> int:
    """Tokens that the policy wrote, in all groups: those of responses, and of what was sampled to judge them."""
    every = [scored for group in groups for scored in group.responses]
    masks = [scored.response.response_mask for scored in every]
    written = sum(len(one.response) if mask is None else int(mask.sum()) for one, mask in zip(every, masks, strict=True))
    return written + sum(scored.score.sampled_tokens for scored in every)


def score_groups(reward: Reward, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[Group]:
    """Responses joined with what the reward says of them."""
    scores = reward.score(prompts, responses)
    return [
        Group(prompt, tuple(ScoredResponse(response, score) for response, score in zip(group, group_scores, strict=True)))
        for prompt, group, group_scores in zip(prompts, responses, scores, strict=True)
    ]


def build(given: Given) -> OnlineSamples:
    """The configured source."""
    return OnlineSamples(
        given.pool(),
        given.generator,
        given.reward,
        decoding_of(given),
        seed=given.config.seed,
        prompts_per_step=given.config.rollout.prompts_per_step,
        responses_per_prompt=group_size(given),
    )


DECLARATION = SourceDeclaration(
    name="online_samples",
    provides=Provides(Writer.CURRENT),
    in_words="q ~ P_sft(Q), o ~ pi_theta(O|q)",
    what="fresh ones",
    by="the current policy",
    build=build,
    offers=lambda config: config.rollout.responses_per_prompt,
    sampler=lambda config: "the current policy",
)
