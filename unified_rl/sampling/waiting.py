"""What one call of `generate` wants: its settings, and the requests that wait for a place, whose prompts are prefilled once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from unified_rl.base.types import Decoding, Prompt, Response, Tokenizer
from unified_rl.sampling.kv_cache import round_up
from unified_rl.sampling.llama_decoder import PromptKV
from unified_rl.sampling.requests import Request

Prefill = Callable[[torch.Tensor], PromptKV]
"""Keys and values of right-padded prompts, token ids [prompts, length]."""
Groups = list[list[Request]]
"""Requests by prompt."""


@dataclass(frozen=True, slots=True)
class Call:
    """What all responses of one call have in common.

    Attributes:
        ends: bool [V], whether a token ends a response.
        rows: sequences that are decoded beside each other, at most. prefill_tokens: prompt tokens that are prefilled at once.
    """

    tokenizer: Tokenizer
    ends: np.ndarray
    rows: int
    prefill_tokens: int
    decoding: Decoding
    policy_version: int
    device: torch.device

    def responses(self, requests: Sequence[Request], token_ids: np.ndarray, logp: np.ndarray) -> list[Response]:
        """The response to each of `requests`, who drew the same tokens: `token_ids` and `logp` [T]."""
        text = self.tokenizer.decode(token_ids.tolist(), skip_special_tokens=True)
        return [
            Response(
                token_ids=token_ids.copy(),
                behaviour_logp=logp.copy(),
                finish="stop" if self.ends[token_ids[-1]] else "length",
                policy_version=self.policy_version,
                decoding=self.decoding,
                seed=request.seed,
                text=text,
            )
            for request in requests
        ]


class Waiting:
    """The queue of requests that have no place yet.

    Prompts of like length wait side by side, to be prefilled together, and a prompt's requests together. The order does not show
    in the responses.
    """

    def __init__(self, call: Call, requests: Sequence[Request], prefill: Prefill | None) -> None:
        """
        Args:
            prefill: of the model; None where no keys and values are kept.
        """
        self._call, self._prefill = call, prefill
        self._queue = deque(sorted(requests, key=lambda request: round_up(request.prefix_length)))
        self._split_prompt = -1
        self._split_kv: PromptKV = []

    def __len__(self) -> int:
        return len(self._queue)

    def first_group(self) -> int:
        """How many requests stand in front that are of one prompt."""
        first = self._queue[0].prompt_index
        return next((place for place, one in enumerate(self._queue) if one.prompt_index != first), len(self._queue))

    def take(self, count: int) -> Groups:
        """The first `count` requests, by prompt."""
        taken = [self._queue.popleft() for _ in range(min(count, len(self._queue)))]
        return [list(group) for _, group in groupby(taken, key=lambda request: request.prompt_index)]

    def put_back(self, requests: Sequence[Request]) -> None:
        """Let requests wait again, before all others."""
        self._queue.extendleft(reversed(requests))

    def prefilled(self, groups: Groups) -> Iterator[tuple[Groups, PromptKV]]:
        """Groups that are prefilled together, with keys and values whose entry i is the prompt of group i; [] for none kept."""
        if groups[0][0].prompt_index == self._split_prompt:
            yield [groups[0]], self._split_kv
            groups = groups[1:]
        for length, same_length in groupby(groups, key=lambda group: round_up(group[0].prefix_length)):
            yield from self._of_one_length(list(same_length), length)

    def _of_one_length(self, groups: Groups, length: int) -> Iterator[tuple[Groups, PromptKV]]:
        """All prompts have the same padded `length`."""
        at_once = max(1, self._call.prefill_tokens // max(length, 1))
        for start in range(0, len(groups), at_once):
            chunk = groups[start : start + at_once]
            kv = self._keys_and_values([group[0].prompt for group in chunk], length)
            last = chunk[-1][0].prompt_index
            if self._queue and self._queue[0].prompt_index == last:
                # The free rows split this group: its other responses will start from the same keys and values.
                self._split_prompt, self._split_kv = last, [(keys[-1:].clone(), values[-1:].clone()) for keys, values in kv]
            yield chunk, kv

    def _keys_and_values(self, prompts: Sequence[Prompt], length: int) -> PromptKV:
        """[prompts, kv_heads, length, head_dim] per layer, the prompts' last tokens left out."""
        if self._prefill is None or not length:
            return []
        ids = np.zeros((len(prompts), length), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt.token_ids) - 1] = prompt.token_ids[:-1]
        return self._prefill(torch.from_numpy(ids).to(self._call.device))
