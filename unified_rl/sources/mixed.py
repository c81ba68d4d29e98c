"""Groups of which some responses come from another source: a wrapper over any source that answers given prompts.

Demonstrations or stored samples beside the policy's own ones, compared within one group (LUFFY, arXiv 2504.14945, mixes so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.plugins import did_you_mean
from unified_rl.base.types import Draw, Group, StatefulSource
from unified_rl.config.ranges import at_least
from unified_rl.sources import offline
from unified_rl.sources.declaration import Build, Given, Prompted, Provides, SourceDeclaration, WrapperDeclaration, Writer

#: From the policy that is trained to nobody's: a mixture is as far from the policy as the farther of its parts.
_FARTHER = (Writer.CURRENT, Writer.EARLIER, Writer.FROZEN, Writer.DATA)


class MixedGroups:
    """The groups of the source inside, each followed by the responses of the source beside it to the same prompt.

    Args of the constructor:
        beside: a source of which the prompts of the source inside are known by their ids.
    """

    def __init__(self, inside: Prompted, beside: Prompted) -> None:
        self._inside, self._beside = inside, beside
        self._places = {beside.pool[place].id: place for place in range(len(beside.pool))}
        self.pool = inside.pool

    def draw(self, step: int, policy_version: int) -> Draw:
        return self._joined(self._inside.draw(step, policy_version), step, policy_version)

    def sample(self, indices: Sequence[int], draw: int, policy_version: int) -> Draw:
        """Mixed groups for given prompts of the pool."""
        return self._joined(self._inside.sample(indices, draw, policy_version), draw, policy_version)

    def _joined(self, inside: Draw, draw: int, policy_version: int) -> Draw:
        places = [self._place(group) for group in inside.groups]
        beside = self._beside.sample(places, draw, policy_version)
        groups = [
            group.with_responses((*group.responses, *other.responses))
            for group, other in zip(inside.groups, beside.groups, strict=True)
        ]
        return Draw(groups, inside.sampled_tokens + beside.sampled_tokens)

    def _place(self, group: Group) -> int:
        if group.prompt.id not in self._places:
            raise DataError(
                f"source.wrappers: prompt {group.prompt.id!r} has no response in the source that is mixed in; train on prompts "
                "that both sources have, or set another source.mixed_with"
            )
        return self._places[group.prompt.id]

    def save(self, folder: Path) -> None:
        """The states of both sources, where they have one."""
        for name, source in self._parts():
            source.save(folder / name)

    def load(self, folder: Path) -> None:
        """Go on as the sources that were saved would have."""
        for name, source in self._parts():
            source.load(folder / name)

    def _parts(self) -> list[tuple[str, StatefulSource]]:
        parts = {"inside": self._inside, "beside": self._beside}
        return [(name, source) for name, source in parts.items() if isinstance(source, StatefulSource)]


@dataclass
class MixOptions:
    """mixed_with: the source of the other responses. mixed_responses: how many of each group's come from it."""

    mixed_with: str = offline.DECLARATION.name
    mixed_responses: int = 1

    def check_mix(self) -> None:
        at_least("source.mixed_responses", self.mixed_responses, 1)


def _wrap(beside: SourceDeclaration, build: Build, given: Given) -> MixedGroups:
    config = given.config
    others = config.source.mixed_responses
    inside: Prompted = build(given.wanting(config.rollout.responses_per_prompt - others))  # type: ignore[assignment]
    mixed_in: Prompted = beside.build(given.wanting(others))  # type: ignore[assignment]  # `takes` says that they are such
    return MixedGroups(inside, mixed_in)


def _over(inside: Provides, beside: Provides) -> Provides:
    """What the mixture provides: that on which both parts agree, or the weaker."""
    return replace(
        inside,
        writer=max(inside.writer, beside.writer, key=_FARTHER.index),
        stored=inside.stored and beside.stored,
        logp=inside.logp and beside.logp,
        tree=False,
        demonstrated=inside.demonstrated or (inside.sampled and not inside.unknown_probability and not beside.sampled),
        unknown_probability=inside.unknown_probability
        or beside.unknown_probability
        or ("" if beside.sampled else "mixes in texts that no policy wrote, whose probability nobody knows"),
    )


def _check(beside: SourceDeclaration, config: Any, inside: SourceDeclaration) -> None:
    others, each = config.source.mixed_responses, config.rollout.responses_per_prompt
    if not others < each:
        raise ConfigError(
            f"source.mixed_responses={others} leaves no response of {inside.setting} among rollout.responses_per_prompt={each}; "
            f"set fewer than {each}"
        )
    if others > beside.offers(config):
        raise ConfigError(
            f"source.mixed_responses={others} responses to each prompt, but source.mixed_with={beside.name} has "
            f"{beside.offers(config)}; set at most that many"
        )
    if config.data.mixed and not beside.provides.sampled:
        raise ConfigError(
            f"source.mixed_with={beside.name} answers given prompts, which a mix of demonstrations does not; leave "
            "data.demonstrations out, and set data.batch=demonstrations"
        )
    beside.check(config)


def _with(wrapper: WrapperDeclaration, source: Any, sources: Mapping[str, SourceDeclaration]) -> WrapperDeclaration:
    """The wrapper for the source that the configuration mixes in."""
    fitting = [name for name, one in sources.items() if one.provides.prompted and one.provides.responses != "pair"]
    name = source.mixed_with
    if name not in fitting:
        raise ConfigError(
            f"source.mixed_with={name!r} is no source that answers given prompts{did_you_mean(name, fitting)}; set "
            f"{' or '.join(fitting)}"
        )
    beside = sources[name]
    return replace(
        wrapper,
        over=lambda inside: _over(inside, beside.provides),
        in_words=lambda inside: f"{inside}, {source.mixed_responses} of each group: {beside.in_words}",
        wrap=lambda build, given: _wrap(beside, build, given),
        options=(*wrapper.options, *beside.options),
        needs=wrapper.needs | beside.needs,
        artefacts=beside.artefacts,
        check=lambda config, inside: _check(beside, config, inside),
    )


def _unknown(*_: Any) -> Any:
    raise AssertionError("the registry makes this wrapper for the source that is mixed in")


WRAPPER = WrapperDeclaration(
    name="mixed",
    takes=lambda inside: inside.prompted and inside.responses == "group",
    wants="several responses to each prompt of its choice",
    over=_unknown,
    in_words=_unknown,
    what="joined by some of another source to the same prompt",
    wrap=_unknown,
    options=(MixOptions,),
    specialised=_with,
)
