"""A greedy response beside each group, as a baseline: a wrapper over any source that samples while the run goes on.

ReMax (arXiv 2310.10505) compares each response with the one that the same policy writes by always taking the likeliest token.
"""

from __future__ import annotations

from dataclasses import replace

from unified_rl.base.types import Decoding, Draw, Generator, Reward, Source
from unified_rl.sources.declaration import Around, WrapperDeclaration, decoding_of
from unified_rl.sources.online import count_tokens, score_groups


class GreedyBeside(Around):
    """The groups of the source inside, each with a greedy response of the present policy to its prompt, scored by the same reward.

    The response is no member of its group: it is not trained on, and no statistic of the group knows it. Its tokens count as
    sampled. A group that a source inside throws away costs none.
    """

    def __init__(self, inside: Source, generator: Generator, reward: Reward, decoding: Decoding) -> None:
        """
        Args:
            decoding: how the others are sampled; of it, only the length limit is kept.
        """
        super().__init__(inside)
        self._generator, self._reward = generator, reward
        self._decoding = Decoding(temperature=0.0, max_new_tokens=decoding.max_new_tokens)

    def draw(self, step: int, policy_version: int) -> Draw:
        draw = self._inside.draw(step, policy_version)
        if not draw.groups:
            return draw
        prompts = [group.prompt for group in draw.groups]
        responses = self._generator.generate(prompts, [[0]] * len(prompts), self._decoding, policy_version)
        greedy = score_groups(self._reward, prompts, responses)
        groups = [replace(group, greedy=one.responses[0]) for group, one in zip(draw.groups, greedy, strict=True)]
        return Draw(groups, draw.sampled_tokens + count_tokens(greedy))


WRAPPER = WrapperDeclaration(
    name="greedy",
    takes=lambda inside: inside.fresh,
    wants="responses that are sampled while the run goes on",
    over=lambda inside: replace(
        inside, beside=inside.beside | {"greedy_reward"}, untrained=inside.untrained + 1, prompted=False
    ),
    in_words=lambda inside: f"{inside}, a greedy response beside each group",
    what="compared with a greedy one, which stands beside the group and is not trained on",
    wrap=lambda build, given: GreedyBeside(build(given), given.generator, given.reward, decoding_of(given)),
    gives=frozenset({"greedy_reward"}),
    needs=frozenset({"reward", "judged_alone"}),
)
