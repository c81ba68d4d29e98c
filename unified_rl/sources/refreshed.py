"""Samples of a policy that is renewed now and then: what lies between online and offline samples."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from unified_rl.sources.online import OnlineSamples, count_tokens
from unified_rl.sources.prompts import PromptPool
from unified_rl.types import Draw


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

    Prompts, their order and the sampling noise are those of `OnlineSamples`. Refreshed at every step it *is* that source; never
    refreshed it samples from the policy of offline samples, though without their fixed store: no response comes up twice. The
    responses' `policy_version` says which weights wrote them.

    Steps count over all iterations, so refreshes fall on multiples of `refresh_every`; a run's first step refreshes too.

    Args of the constructor:
        samples: online samples whose generator samples from `copy`.
        copy: the frozen copy of the trained policy.
    """

    def __init__(
        self, samples: OnlineSamples, pool: PromptPool, copy: PolicyCopy, *, prompts_per_step: int, refresh_every: int
    ) -> None:
        self._samples, self._pool, self._copy = samples, pool, copy
        self._prompts_per_step, self._refresh_every = prompts_per_step, refresh_every
        self._started = False

    def draw(self, step: int, policy_version: int) -> Draw:
        due = self._refresh_every > 0 and step % self._refresh_every == 0
        if due or not self._started:
            self._copy.refresh(policy_version)
            self._started = True
        prompts = [self._pool[index] for index in self._pool.indices(step, self._prompts_per_step)]
        groups = self._samples.sample(prompts, step, self._copy.version)
        return Draw(groups, count_tokens(groups))

    def save(self, folder: Path) -> None:
        """The copy is part of a checkpoint: its weights are nowhere else once the policy has moved on."""
        if self._started:
            self._copy.save(folder)

    def load(self, folder: Path) -> None:
        """Go on as the run that was saved would have."""
        if folder.exists():
            self._copy.load(folder)
            self._started = True
