"""Groups whose rewards agree are replaced: a wrapper over any source that answers given prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unified_rl.base.types import Draw, Group, Source
from unified_rl.config.ranges import at_least
from unified_rl.sources import online
from unified_rl.sources.declaration import Build, Given, Prompted, WrapperDeclaration
from unified_rl.sources.prompts import PromptPool


class InformativeSamples:
    """A source in which every group has both better and worse responses (DAPO's dynamic sampling, arXiv 2503.14476).

    Groups whose rewards agree carry no signal; they are dropped and further prompts are tried, at most `max_rounds` batches of
    them per step. The step then has at most `prompts_per_step` groups, and at least one: if no group qualified, the last round's
    are used as they are (their advantages are zero).
    """

    def __init__(self, inside: Prompted, pool: PromptPool, *, prompts_per_step: int, max_rounds: int) -> None:
        self._inside, self._pool = inside, pool
        self._prompts_per_step, self._max_rounds = prompts_per_step, max_rounds

    def draw(self, step: int, policy_version: int) -> Draw:
        kept: list[Group] = []
        groups: list[Group] = []
        sampled = 0
        for round_index in range(self._max_rounds):
            number = step * self._max_rounds + round_index
            draw = self._inside.sample(self._pool.indices(number, self._prompts_per_step), number, policy_version)
            groups = draw.groups
            sampled += draw.sampled_tokens
            kept += [group for group in groups if _informative(group)]
            if len(kept) >= self._prompts_per_step:
                break
        return Draw(kept[: self._prompts_per_step] or groups, sampled)


def _informative(group: Group) -> bool:
    """Whether the reward takes some answers for right and some not (0 < #correct < G); length penalties do not matter here."""
    right = [scored.score.judged_correct for scored in group.responses]
    return any(right) and not all(right)


@dataclass
class InformativeOptions:
    """max_rounds: most batches of prompts that are tried per step."""

    max_rounds: int = 3

    def check_informative(self) -> None:
        at_least("source.max_rounds", self.max_rounds, 1)


def _wrap(build: Build, given: Given) -> Source:
    prompts_per_step, max_rounds = given.config.rollout.prompts_per_step, given.config.source.max_rounds
    inside: Prompted = build(given)  # type: ignore[assignment]  # `takes` says that it is one
    return InformativeSamples(inside, given.pool(), prompts_per_step=prompts_per_step, max_rounds=max_rounds)


WRAPPER = WrapperDeclaration(
    name="informative",
    takes=lambda inside: inside.prompted and inside.responses == "group",
    wants="several responses to each prompt of its choice",
    over=lambda inside: replace(inside, prompted=False),
    in_words=lambda inside: f"{inside}, groups whose rewards agree replaced",
    what="prompts whose rewards all agree are replaced",
    wrap=_wrap,
    options=(InformativeOptions,),
    needs=frozenset({"reward"}),
)
DECLARATION = WRAPPER.named(
    "informative_samples",
    online.DECLARATION,
    what="fresh ones; prompts whose rewards all agree are replaced",
    by="the current policy",
)
