"""Rollouts a bounded number of steps ahead of training: the batch of step t was drawn with the weights of step t - staleness."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.types import (
    Decoding,
    Draw,
    Generator,
    GeneratorInfo,
    Group,
    NamedReward,
    Prompt,
    Response,
    Score,
    ScoredResponse,
    Source,
    StatefulSource,
)
from unified_rl.sources.declaration import WrapperDeclaration, Writer

FILE, INSIDE = "pending.json", "inside"


class AheadOfTraining:
    """A source whose draws are made `staleness` steps before they are used. Implements `StatefulSource`.

    At each step one batch is drawn with the present weights, for `staleness` steps later, and the one due now is handed out. Only
    the first `staleness` batches are younger: all of them are drawn at the first step. What the draws are does not depend on when
    they are used, so with the same weights the wrapped source's own draws come out. Every response keeps the version of the policy
    that wrote it.

    The batches in waiting are part of a checkpoint: the weights that wrote them are gone.
    """

    def __init__(
        self, source: Source, prompts: Sequence[Prompt], staleness: int, begin: Callable[[], None] | None = None
    ) -> None:
        """
        Args:
            prompts: all prompts that the source draws from, to find them again by id.
            begin: brings the sampler to the present weights. Given where the sampler keeps weights of its own: what is drawn for
                later is then drawn in a thread, beside the updates. The draws are the same.
        """
        self._source, self._staleness, self._begin = source, staleness, begin
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._waiting: dict[int, Draw] = {}
        self._thread = ThreadPoolExecutor(1, "rollout") if begin else None
        self._drawing: tuple[int, Future[Draw]] | None = None

    def draw(self, step: int, policy_version: int) -> Draw:
        self.settle()
        due = [ahead for ahead in range(step, step + self._staleness + 1) if ahead not in self._waiting]
        if self._begin is not None:
            self._begin()
        later = due.pop() if self._thread and due and due[-1] > step else None
        for ahead in due:
            self._waiting[ahead] = self._source.draw(ahead, policy_version)
        if self._thread and later is not None:
            self._drawing = later, self._thread.submit(self._source.draw, later, policy_version)
        return self._waiting.pop(step)

    def settle(self) -> None:
        """Wait until nothing is being drawn. Raises what the drawing raised."""
        if self._drawing is not None:
            (step, drawing), self._drawing = self._drawing, None
            self._waiting[step] = drawing.result()

    def close(self) -> None:
        """Wait for the thread, whatever becomes of its draw."""
        if self._thread:
            self._thread.shutdown(cancel_futures=True)

    def save(self, folder: Path) -> None:
        """Write the batches in waiting, and the state of the source inside, where it has one."""
        self.settle()
        if not self._waiting:
            return
        with files.disk_errors(folder):
            folder.mkdir()
        files.write_json(folder / FILE, {str(step): _as_json(draw) for step, draw in self._waiting.items()})
        if isinstance(self._source, StatefulSource):
            self._source.save(folder / INSIDE)

    def load(self, folder: Path) -> None:
        """Go on as the run that was saved would have. Raises DataError where its prompts are not there any more."""
        if folder.exists():
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            self._waiting = {int(step): self._from_json(draw) for step, draw in stored.items()}
            if isinstance(self._source, StatefulSource):
                self._source.load(folder / INSIDE)

    def _from_json(self, stored: Mapping[str, Any]) -> Draw:
        groups = []
        for group in stored["groups"]:
            if group["prompt_id"] not in self._prompts:
                raise DataError(
                    f"the checkpoint holds responses to {group['prompt_id']!r}, which is no training prompt any more"
                )
            responses = tuple(_scored(item) for item in group["responses"])
            greedy = None if group["greedy"] is None else _scored(group["greedy"])
            others = None if group["reference_rewards"] is None else tuple(group["reference_rewards"])
            groups.append(Group(self._prompts[group["prompt_id"]], responses, greedy, others))
        return Draw(groups, stored["sampled_tokens"])


class Settled:
    """A generator for what samples beside such a source: it waits until the source has done. Implements `Generator`."""

    def __init__(self, generator: Generator, source: AheadOfTraining) -> None:
        self._generator, self._source = generator, source

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        self._source.settle()
        return self._generator.generate(prompts, seeds, decoding, policy_version)


def _as_json(draw: Draw) -> dict[str, Any]:
    return {
        "sampled_tokens": draw.sampled_tokens,
        "groups": [
            {
                "prompt_id": group.prompt.id,
                "responses": [_stored(one) for one in group.responses],
                "greedy": None if group.greedy is None else _stored(group.greedy),
                "reference_rewards": group.reference_rewards,
            }
            for group in draw.groups
        ],
    }


def _stored(one: ScoredResponse) -> dict[str, Any]:
    return {"response": _plain(asdict(one.response)), "score": _plain(asdict(one.score))}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as lists. A float32 survives as the number it is."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def _scored(stored: Mapping[str, Any]) -> ScoredResponse:
    response, score = stored["response"], stored["score"]
    types = {"token_ids": np.int64, "behaviour_logp": np.float32, "response_mask": bool}
    decoding = None if response["decoding"] is None else Decoding(**response["decoding"])
    return ScoredResponse(
        Response(**{**response, **_arrays(response, types), "decoding": decoding}),
        Score(
            **{
                **score,
                **_arrays(score, _STEP_TYPES),
                "parts": tuple(NamedReward(**part) for part in score["parts"]),
            }
        ),
    )


#: Of a score's arrays.
_STEP_TYPES = {
    "step_rewards": np.float32,
    "step_ends": np.int64,
    "steps_right": bool,
    "steps_accepted": bool,
    "step_values": np.float32,
}


def _arrays(values: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays among stored values; of one that an older version did not store, nothing."""
    held = {name: values.get(name) for name in types}
    return {name: None if held[name] is None else np.array(held[name], dtype=dtype) for name, dtype in types.items()}


WRAPPER = WrapperDeclaration(
    name="ahead",
    takes=lambda inside: inside.fresh,
    wants="samples of the current policy",
    over=lambda inside: replace(inside, writer=Writer.EARLIER, prompted=False),
    in_words=lambda inside: inside,
    what="drawn a bounded number of steps before they are used (rollout.staleness)",
    wrap=lambda build, given: AheadOfTraining(build(given), given.prompts(), given.config.rollout.staleness, given.begin),
)
