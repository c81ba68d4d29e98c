"""The rewards of the reference's own responses beside each group: a wrapper over any source of the training prompts.

The responses are sampled once, before training, for all prompts and all runs (the artefact of stored samples), and judged by the
run's reward when their prompt first comes up. A*-PO (arXiv 2505.20686) makes a prompt's optimal value of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unified_rl.base.types import Draw, Prompt, Response, Reward, Source
from unified_rl.sources.declaration import OF_REFERENCE, Around, Build, Given, WrapperDeclaration
from unified_rl.sources.offline import StoredOptions
from unified_rl.sources.online import score_groups
from unified_rl.sources.prompts import PromptPool


class ReferenceRewards(Around):
    """The groups of the source inside, each with the rewards of stored responses of the reference to its prompt.

    Args of the constructor:
        stored: for each prompt of the pool, its stored responses, as many to each.
    """

    def __init__(self, inside: Source, pool: PromptPool, stored: Sequence[Sequence[Response]], reward: Reward) -> None:
        super().__init__(inside)
        self._stored = {pool[place].id: stored[place] for place in range(len(pool))}
        self._reward = reward
        self._rewards: dict[str, tuple[float, ...]] = {}

    def draw(self, step: int, policy_version: int) -> Draw:
        draw = self._inside.draw(step, policy_version)
        self._judge([group.prompt for group in draw.groups])
        groups = [replace(group, reference_rewards=self._rewards[group.prompt.id]) for group in draw.groups]
        return replace(draw, groups=groups)

    def _judge(self, prompts: Sequence[Prompt]) -> None:
        """Find out the rewards of those prompts whose rewards are not known yet."""
        new = list({prompt.id: prompt for prompt in prompts if prompt.id not in self._rewards}.values())
        if new:
            for group in score_groups(self._reward, new, [self._stored[prompt.id] for prompt in new]):
                self._rewards[group.prompt.id] = tuple(float(one.score.reward) for one in group.responses)


def _wrap(build: Build, given: Given) -> ReferenceRewards:
    return ReferenceRewards(build(given), given.pool(), given.of_reference(), given.reward)


WRAPPER = WrapperDeclaration(
    name="reference_rewards",
    takes=lambda inside: inside.pool and inside.responses != "pair",
    wants="responses to the configured training prompts",
    over=lambda inside: replace(inside, beside=inside.beside | {"reference_rewards"}, prompted=False),
    in_words=lambda inside: f"{inside}, rewards of stored o ~ pi_ref(O|q) beside each group",
    what="compared with the rewards of `samples_per_prompt` stored ones of the reference, which are not trained on",
    wrap=_wrap,
    gives=frozenset({"reference_rewards"}),
    options=(StoredOptions,),
    needs=frozenset({"reward"}),
    artefacts=(OF_REFERENCE,),
)
