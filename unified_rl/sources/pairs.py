"""Pairs of a better and a worse response to the same prompt: a wrapper over any source of groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Draw, Group, Source
from unified_rl.sources import offline
from unified_rl.sources.declaration import Around, Build, Given, SourceDeclaration, WrapperDeclaration


class Pairs(Around):
    """Pairs of a better and a worse response of the groups inside, the reward deciding which is which.

    Up to `pairs_per_prompt` pairs per prompt and step: the responses with the prompt's highest reward and the others, each
    shuffled, are matched one to one. A prompt whose rewards all agree yields none, so the number of pairs differs between steps.
    The shuffling is a function of (seed, step, place in the step).
    """

    def __init__(self, inside: Source, *, seed: int, pairs_per_prompt: int) -> None:
        super().__init__(inside)
        self._seed, self._pairs_per_prompt = seed, pairs_per_prompt

    def draw(self, step: int, policy_version: int) -> Draw:
        draw = self._inside.draw(step, policy_version)
        pairs: list[Group] = []
        for place, group in enumerate(draw.groups):
            order = rng.generator(self._seed, "pairs", step, place).permutation(len(group.responses))
            shuffled = [group.responses[i] for i in order]
            best = max(scored.score.reward for scored in shuffled)
            better = [scored for scored in shuffled if scored.score.reward == best]
            worse = [scored for scored in shuffled if scored.score.reward < best]
            matched = list(zip(better, worse, strict=False))[: self._pairs_per_prompt]
            pairs += [group.with_responses(pair) for pair in matched]
        return Draw(pairs, draw.sampled_tokens)


def pairs_per_prompt(config: Any) -> int:
    """Most pairs of one prompt: half as many as its responses would be."""
    return max(1, int(config.rollout.responses_per_prompt) // 2)


def _check(config: Any, inside: SourceDeclaration) -> None:
    if inside.offers(config) < 2:
        name = "source.samples_per_prompt" if inside.provides.stored else "rollout.responses_per_prompt"
        raise ConfigError(f"source={config.source.name} needs {name} of at least 2 to choose pairs from")


def _wrap(build: Build, given: Given) -> Source:
    config = given.config
    return Pairs(build(given.wanting(None)), seed=config.seed, pairs_per_prompt=pairs_per_prompt(config))


WRAPPER = WrapperDeclaration(
    name="pairs",
    takes=lambda inside: inside.responses == "group",
    wants="several responses to each prompt",
    over=lambda inside: replace(inside, responses="pair", prompted=False),
    in_words=lambda inside: inside.replace("o ~", "o+, o- ~"),
    what="paired, a better with a worse one",
    wrap=_wrap,
    needs=frozenset({"reward"}),
    check=_check,
)
DECLARATION = WRAPPER.named(
    "preference_pairs",
    offline.DECLARATION,
    what="pairs of a better and a worse stored one",
    by="the start policy, once",
)
