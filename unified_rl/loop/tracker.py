"""What a run believes of its policy's success on each prompt: a discounted mean of rewards that forgets as the policy moves (SPO).

    v = a / n,    a <- rho a + sum r,    n <- rho n + responses,    rho = 2^(-D / half), held within [least, most]

D is how far the policy has moved since it last answered the prompt: mean |log pi_then - log pi_now| over the tokens of what it
then wrote. For rewards 0 and 1 it is the Beta distribution of SPO (arXiv 2509.13232, and its code among verl's recipes, spo/),
with a and n - a as its parameters. Several responses to a prompt are taken in at once, after one discount.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.base.types import Group
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.batch import Batch

FILE = "tracker.npz"
#: What is believed of a prompt before anything was seen of it: half a success in one response.
UNKNOWN = (0.5, 1.0)

#: The policy's outputs of sequences, without gradient.
Outputs = Callable[[Sequence[TokenSequence]], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Written:
    """A response: its tokens, which of them the policy wrote, and their log-probs after that step's updates."""

    token_ids: np.ndarray
    mask: np.ndarray
    logp: np.ndarray


@dataclass(frozen=True)
class Belief:
    """Of one prompt: discounted sum of rewards, discounted number of responses, and the responses that came last."""

    rewards: float
    count: float
    last: tuple[Written, ...] = ()

    @property
    def value(self) -> float:
        return self.rewards / self.count


class ValueTracker:
    """The beliefs of a run, by prompt. Part of every checkpoint.

    A prompt that is new begins with the rewards of the reference's stored responses, where the source has them, weighed as much as
    the tracker remembers when it forgets fastest: 1/(1 - least) responses. Else with `UNKNOWN`.
    """

    OUTPUTS: ClassVar[frozenset[str]] = frozenset({"value"})

    def __init__(self, half: float, least: float, most: float) -> None:
        """
        Args:
            half: movement in nats per token at which half is forgotten. least, most: bounds of the share that is kept.
        """
        self._half, self._least, self._most = half, least, most
        self._beliefs: dict[str, Belief] = {}

    @classmethod
    def of(cls, coefficient: Any) -> ValueTracker:
        """With a coefficient's options."""
        return cls(coefficient.drift_half, coefficient.kept_least, coefficient.kept_most)

    def recall(self, groups: Sequence[Group], device: torch.device | str) -> dict[str, Tensor]:
        """The `value` of each response's prompt before this rollout, float32 [B]."""
        values = [self._belief(group).value for group in groups for _ in group.responses]
        return {"value": torch.tensor(values, dtype=torch.float32, device=device)}

    def note(self, groups: Sequence[Group], sequences: Sequence[TokenSequence], outputs: Outputs) -> dict[str, float]:
        """Take a rollout in, once its updates were made; how much was forgotten for it, as metrics.

        Args:
            sequences: the rollout's, in the order of the groups. outputs: of the policy after the updates.
        """
        logp_BT, drifts, place = outputs(sequences)["logp"], self._drifts(groups, outputs), 0
        before: dict[str, float] = {}
        kept: dict[str, float] = {}
        found: dict[str, Belief] = {}
        for group in groups:
            name, rewards = group.prompt.id, [float(one.score.reward) for one in group.responses]
            if name not in found:  # a prompt that comes up twice in a rollout is forgotten once
                belief = self._belief(group)
                before[name], kept[name] = belief.value, self._kept(drifts.get(name, 0.0))
                found[name] = Belief(kept[name] * belief.rewards, kept[name] * belief.count)
            last = tuple(_written(one.response, logp_BT[place + index]) for index, one in enumerate(group.responses))
            now, place = found[name], place + len(rewards)
            found[name] = Belief(now.rewards + sum(rewards), now.count + len(rewards), now.last + last)
        self._beliefs |= found
        means = {"value": before, "kept": kept, "drift": drifts}
        return {f"tracker/{name}": float(np.mean(list(values.values()))) for name, values in means.items() if values}

    def _kept(self, drift: float) -> float:
        """rho: the share of earlier rewards that counts on after the policy has moved so far."""
        return min(max(float(2 ** (-drift / self._half)), self._least), self._most)

    def _belief(self, group: Group) -> Belief:
        found = self._beliefs.get(group.prompt.id)
        if found is not None:
            return found
        rewards = group.reference_rewards
        if not rewards:
            return Belief(*UNKNOWN)
        weight = 1 / ((1 - self._least) * (len(rewards) + UNKNOWN[1]))
        return Belief(weight * (sum(rewards) + UNKNOWN[0]), weight * (len(rewards) + UNKNOWN[1]))

    def _drifts(self, groups: Sequence[Group], outputs: Outputs) -> dict[str, float]:
        """Prompt -> how far the policy has moved since it last answered it, of those that it has answered."""
        prompts = {group.prompt.id: group.prompt for group in groups if group.prompt.id in self._beliefs}
        written = [(name, one) for name in prompts for one in self._beliefs[name].last]
        if not written:
            return {}
        sequences = [TokenSequence(np.array(prompts[name].token_ids), one.token_ids, name) for name, one in written]
        logp_BT = outputs(Batch(sequences))["logp"]
        moved: dict[str, list[float]] = {name: [] for name in prompts}
        for (name, one), logp_T in zip(written, logp_BT, strict=True):
            gap = np.abs(one.logp.astype(np.float64) - _numbers(logp_T, len(one.logp)))
            moved[name].append(float(gap[one.mask].mean()) if one.mask.any() else 0.0)
        return {name: float(np.mean(gaps)) for name, gaps in moved.items()}

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder."""
        beliefs = list(self._beliefs.values())
        last = [one for belief in beliefs for one in belief.last]
        arrays: dict[str, Any] = {
            "prompts": np.array(list(self._beliefs), dtype=np.str_),
            "beliefs": np.array([(one.rewards, one.count) for one in beliefs], dtype=np.float64).reshape(-1, 2),
            "responses": np.array([len(one.last) for one in beliefs], dtype=np.int64),
            "lengths": np.array([len(one.logp) for one in last], dtype=np.int64),
            "token_ids": np.concatenate([np.zeros(0, np.int64), *(one.token_ids for one in last)]),
            "mask": np.concatenate([np.zeros(0, bool), *(one.mask for one in last)]),
            "logp": np.concatenate([np.zeros(0, np.float32), *(one.logp for one in last)]),
        }
        with files.disk_errors(folder / FILE):
            np.savez(folder / FILE, **arrays)

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote. Raises CheckpointError."""
        try:
            with np.load(folder / FILE, allow_pickle=False) as stored:
                ends = np.cumsum(stored["lengths"])[:-1]
                parts = [np.split(stored[name], ends) for name in ("token_ids", "mask", "logp")]
                last = [Written(*one) for one in zip(*parts, strict=True)] if len(stored["lengths"]) else []
                place = 0
                for name, (rewards, count), own in zip(stored["prompts"], stored["beliefs"], stored["responses"], strict=True):
                    self._beliefs[str(name)] = Belief(float(rewards), float(count), tuple(last[place : place + int(own)]))
                    place += int(own)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{folder / FILE} does not hold what the run believes of its prompts ({error}); restore the file or go on from "
                "another checkpoint"
            ) from error


def _written(response: Any, logp_T: Tensor) -> Written:
    count = len(response.token_ids)
    mask = np.ones(count, dtype=bool) if response.response_mask is None else np.asarray(response.response_mask, dtype=bool)
    return Written(np.asarray(response.token_ids, dtype=np.int64), mask, _numbers(logp_T, count))


def _numbers(logp_T: Tensor, count: int) -> np.ndarray:
    """The log-probs of the first tokens, float32, on the host."""
    return logp_T[:count].detach().float().cpu().numpy()
