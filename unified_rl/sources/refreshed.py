"""Samples of a policy that is renewed now and then: what lies between online and offline samples.

A wrapper over any source that samples the current policy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from unified_rl.base.types import Draw, Source
from unified_rl.config.ranges import at_least
from unified_rl.sources import online
from unified_rl.sources.declaration import Build, Given, WrapperDeclaration, Writer


class PolicyCopy(Protocol):
    """A frozen copy of the trained policy, which the samples come from. `version`: the updates behind its weights."""

    version: int

    def refresh(self, version: int) -> None:
        """Take over the present weights."""

    def save(self, folder: Path) -> None:
        """Write weights and version to a new folder."""

    def load(self, folder: Path) -> None:
        """Read them back."""


class RefreshedSamples:
    """Fresh responses of a copy of the policy that is refreshed every `refresh_every` steps (0: it stays the start policy).

    Prompts, their order and the sampling noise are those of the source inside. Refreshed at every step it *is* that source; never
    refreshed it samples from the policy of offline samples, though without their fixed store: no response comes up twice. The
    responses' `policy_version` says which weights wrote them.

    Steps count over all iterations, so refreshes fall on multiples of `refresh_every`; a run's first step refreshes too.

    Args of the constructor:
        inside: a source whose generator samples from `copy`.
        copy: the frozen copy of the trained policy.
    """

    def __init__(self, inside: Source, copy: PolicyCopy, *, refresh_every: int) -> None:
        self._inside, self._copy, self._refresh_every = inside, copy, refresh_every
        self._started = False

    def draw(self, step: int, policy_version: int) -> Draw:
        due = self._refresh_every > 0 and step % self._refresh_every == 0
        if due or not self._started:
            self._copy.refresh(policy_version)
            self._started = True
        return self._inside.draw(step, self._copy.version)

    def save(self, folder: Path) -> None:
        """The copy is part of a checkpoint: its weights are nowhere else once the policy has moved on."""
        if self._started:
            self._copy.save(folder)

    def load(self, folder: Path) -> None:
        """Go on as the run that was saved would have."""
        if folder.exists():
            self._copy.load(folder)
            self._started = True


@dataclass
class RefreshOptions:
    """refresh_every: steps between two refreshes of the policy that is sampled from; 0 = never, the start policy."""

    refresh_every: int = 1

    def check_refresh(self) -> None:
        at_least("source.refresh_every", self.refresh_every, 0)


def _wrap(build: Build, given: Given) -> Source:
    copy, generator = given.frozen_copy()
    return RefreshedSamples(build(given.sampling_from(generator)), copy, refresh_every=given.config.source.refresh_every)


def _sampler(config: Any) -> str:
    every = config.source.refresh_every
    return f"a copy of the policy, refreshed every {every} steps" if every else "a copy of the policy that training starts from"


WRAPPER = WrapperDeclaration(
    name="refreshed",
    takes=lambda inside: inside.writer is Writer.CURRENT,
    wants="samples of the current policy",
    over=lambda inside: replace(inside, writer=Writer.EARLIER, prompted=False),
    in_words=lambda inside: inside.replace("pi_theta(", "pi_theta of the last refresh ("),
    what="written by a copy of the policy that is renewed every n steps",
    wrap=_wrap,
    options=(RefreshOptions,),
    needs=frozenset({"frozen_copy"}),
    sampler=_sampler,
)
DECLARATION = WRAPPER.named(
    "refreshed_samples",
    online.DECLARATION,
    what="fresh ones",
    by="a copy of the policy, renewed every n steps",
)
