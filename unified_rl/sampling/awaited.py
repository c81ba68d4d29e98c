"""A generator that others are told of before it is there: the reward is built before the sampler, and asks it later."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.base.types import Decoding, Generator, GeneratorInfo, Prompt, Response


class AwaitedGenerator:
    """Stands for the generator that `arrived` names. Implements `Generator`."""

    def __init__(self) -> None:
        self._generator: Generator | None = None

    def arrived(self, generator: Generator) -> None:
        """From now on, ask this one."""
        self._generator = generator

    @property
    def info(self) -> GeneratorInfo:
        return self._there.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        return self._there.generate(prompts, seeds, decoding, policy_version)

    @property
    def _there(self) -> Generator:
        assert self._generator is not None, "the generator is asked before it is built"
        return self._generator
