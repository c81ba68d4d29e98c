"""Decoding with a row for every response: through a model's own modules, or by static shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from unified_rl.base.types import Response
from unified_rl.sampling.draws import draw, request_uniforms
from unified_rl.sampling.kv_cache import round_up
from unified_rl.sampling.llama_decoder import PromptKV
from unified_rl.sampling.module_passes import CachedPasses, WholePasses
from unified_rl.sampling.requests import Request
from unified_rl.sampling.static_decoder import StaticDecoder
from unified_rl.sampling.waiting import Call, Groups, Waiting


class RowDecoding:
    """The rows in which requests are being answered.

    Rows 0..active-1 are in use. Arrays are indexed by row; a row's response so far is `tokens[row, :count[row]]`.
    """

    def __init__(
        self, call: Call, passes: CachedPasses | WholePasses, requests: Sequence[Request], cache: StaticDecoder | None = None
    ) -> None:
        self.call, self.passes = call, passes
        self.waiting = Waiting(call, requests, None if isinstance(passes, WholePasses) else passes.prefill)
        self.cache: Any = cache or passes.new_cache()
        self.active = 0
        padded, steps = round_up(call.rows), call.decoding.max_new_tokens
        self.request: dict[int, Request] = {}
        self.last_token = np.zeros(padded, dtype=np.int64)
        self.position = np.zeros(padded, dtype=np.int64)
        self.count = np.zeros(padded, dtype=np.int64)
        self.tokens = np.zeros((padded, steps), dtype=np.int64)
        self.logp = np.zeros((padded, steps), dtype=np.float32)
        self.uniforms = np.zeros((padded, steps), dtype=np.float64)

    def run(self) -> Iterator[list[tuple[Request, Response]]]:
        """Decode until nobody waits, yielding responses as they end."""
        while self.waiting or self.active:
            free = self.call.rows - self.active
            # Admitting a few at a time would prefill tiny batches; an eighth of the rows is worth a prefill.
            if self.waiting and free * 8 >= self.call.rows:
                self._admit(free)
            self._step()
            finished = self._finished_rows()
            if len(finished):
                yield [(self.request[row], self._response(row)) for row in finished]
                self._compact(finished)

    def _admit(self, free: int) -> None:
        """Move up to `free` waiting requests into rows, prefilling each prompt once for all its responses."""
        admitted = self.waiting.take(free)
        longest = max(self.cache.length, *(round_up(group[0].prefix_length) for group in admitted))
        self.cache.fit(round_up(self.active + sum(map(len, admitted))), longest)
        for groups, kv in self.waiting.prefilled(admitted):
            self._seat(groups, kv)

    def _seat(self, groups: Groups, kv: PromptKV) -> None:
        """Give every request of `groups` a row; entry i of `kv` holds the prompt of group i (no `kv`: nothing to load)."""
        rows = np.arange(self.active, self.active + sum(map(len, groups)))
        if kv:
            self.cache.load(rows, kv, np.repeat(np.arange(len(groups)), [len(group) for group in groups]))
        for row, request in zip(rows, chain.from_iterable(groups), strict=True):
            self.request[int(row)] = request
            self.last_token[row] = request.prompt.token_ids[-1]
            self.position[row] = request.prefix_length
            self.uniforms[row] = request_uniforms(request.seed, self.call.decoding.max_new_tokens)
        self.count[rows] = 0
        self.active += len(rows)

    def _step(self) -> None:
        """Append one token to every active row."""
        rows = round_up(self.active)
        row, count = np.arange(rows), self.count[:rows]
        uniforms = torch.from_numpy(self.uniforms[row, count]).to(self.call.device)
        tokens, logp = draw(self._logits(rows), uniforms, self.call.decoding)
        self.last_token[:rows] = tokens.cpu().numpy()
        self.tokens[row, count] = self.last_token[:rows]
        self.logp[row, count] = logp.cpu().numpy()
        self.count[: self.active] += 1
        self.position[: self.active] += 1

    def _logits(self, rows: int) -> torch.Tensor:
        """Logits [rows, V] of each row's next token. Rows behind the active ones fill up a tile."""
        if isinstance(self.passes, WholePasses):
            logits = self.passes.logits([self._so_far(row) for row in range(self.active)])
            return logits[torch.arange(rows).clamp(max=self.active - 1)]
        self.cache.fit(rows, int(self.position[: self.active].max()) + 1)
        last, positions = (torch.from_numpy(each[:rows]).to(self.call.device) for each in (self.last_token, self.position))
        return self.passes.logits(self.cache, last, positions)

    def _so_far(self, row: int) -> np.ndarray:
        """The prompt of a row and its response as far as it goes, int64."""
        prompt = np.array(self.request[row].prompt.token_ids, dtype=np.int64)
        return np.concatenate([prompt, self.tokens[row, : self.count[row]]])

    def _finished_rows(self) -> np.ndarray:
        last, count = self.last_token[: self.active], self.count[: self.active]
        return np.flatnonzero(self.call.ends[last] | (count == self.call.decoding.max_new_tokens))

    def _response(self, row: int) -> Response:
        count = self.count[row]
        (response,) = self.call.responses([self.request[row]], self.tokens[row, :count], self.logp[row, :count])
        return response

    def _compact(self, finished: np.ndarray) -> None:
        """Fill the rows that have become free with the last active ones, so that the active rows stay the first."""
        remaining = self.active - len(finished)
        target = finished[finished < remaining]
        source = np.setdiff1d(np.arange(remaining, self.active), finished)
        if len(target):
            if not isinstance(self.passes, WholePasses):
                self.cache.move(source, target)
            for array in (self.last_token, self.position, self.count, self.tokens, self.logp, self.uniforms):
                array[target] = array[source]
            for old, new in zip(source, target, strict=True):
                self.request[int(new)] = self.request[int(old)]
        # Rows behind the active ones still go through the model, to fill up its tile: keep them short and in range.
        self.position[remaining : self.active] = 0
        self.count[remaining : self.active] = 0
        self.active = remaining


class WindowedDecoding(RowDecoding):
    """The same by static shapes, with a look at the tokens after each window of steps. Prompts go through the module."""

    def __init__(self, call: Call, static: StaticDecoder, requests: Sequence[Request]) -> None:
        super().__init__(call, CachedPasses(static.model), requests, static)
        self.static = static
        static.begin()
        longest = max(request.prefix_length for request in requests) + 1
        static.fit(call.rows, max(round_up(longest), longest + call.decoding.max_new_tokens + static.window))

    def _step(self) -> None:
        """Append a window of tokens to every active row, as many of them as belong to its response."""
        active, window, limit = self.active, self.static.window, self.call.decoding.max_new_tokens
        ahead = np.minimum(self.count[:active, None] + np.arange(window), limit - 1)
        uniforms = np.take_along_axis(self.uniforms[:active], ahead, axis=1)
        state = self.last_token[:active], self.position[:active]
        drawn, logp = self.static.draw_window(*state, uniforms, self.call.decoding)
        for row in range(active):
            count = int(self.count[row])
            (ends,) = np.nonzero(self.call.ends[drawn[row]])
            taken = min(int(ends[0]) + 1 if len(ends) else window, limit - count)
            self.tokens[row, count : count + taken] = drawn[row, :taken]
            self.logp[row, count : count + taken] = logp[row, :taken]
            self.last_token[row] = drawn[row, taken - 1]
            self.count[row] += taken
            self.position[row] += taken
