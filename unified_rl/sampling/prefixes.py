"""Decoding with a row for every distinct prefix: responses to a prompt share a row for as long as they have drawn the same tokens.

    a prompt and its requests -> one row -> as many draws as it has requests -> a row for every token drawn -> ...

Of 64 samples at temperature 0.7 most begin alike and many are alike to the end. Each request draws by its own uniform numbers from
its row's distribution, so it receives the tokens and log-probs that it would receive alone. Where there are more prefixes than
rows, those without one start again from their prompts, and draw the same tokens again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch

from unified_rl.base.types import Response
from unified_rl.sampling.draws import draw, request_uniforms
from unified_rl.sampling.kv_cache import round_up
from unified_rl.sampling.llama_decoder import LlamaDecoder, PromptKV
from unified_rl.sampling.requests import Request
from unified_rl.sampling.waiting import Call, Groups, Waiting

EXPECTED = 16, 64
"""Before anything has ended, so many prefixes are expected of so many requests. An error costs the beginnings of some responses."""

Finished = list[tuple[Request, Response]]


class PrefixDecoding:
    """The rows of the cache, and the requests that share them.

    Rows 0..active-1 are in use. `last_token`, `position`, `count`, `tokens` and `logp` are indexed by row; the response of a row's
    requests so far is `tokens[row, :count[row]]`. `row`, `uniforms` and `requests` are indexed by request being answered.
    """

    def __init__(self, call: Call, passes: LlamaDecoder, requests: Sequence[Request]) -> None:
        self.call, self.passes = call, passes
        self.waiting = Waiting(call, requests, passes.prefill)
        self.cache = passes.new_cache()
        self.active = 0
        self.ended_prefixes, self.ended_requests = EXPECTED
        padded, steps = round_up(call.rows), call.decoding.max_new_tokens
        self.last_token = np.zeros(padded, dtype=np.int64)
        self.position = np.zeros(padded, dtype=np.int64)
        self.count = np.zeros(padded, dtype=np.int64)
        self.tokens = np.zeros((padded, steps), dtype=np.int64)
        self.logp = np.zeros((padded, steps), dtype=np.float32)
        self.row = np.zeros(0, dtype=np.int64)
        self.uniforms = np.zeros((0, steps), dtype=np.float64)
        self.requests = np.zeros(0, dtype=object)

    def run(self) -> Iterator[Finished]:
        """Decode until nobody waits, yielding responses as they end."""
        while self.waiting or self.active:
            if self.waiting:
                self._admit()
            if finished := self._step():
                yield finished

    def _admit(self) -> None:
        """Give rows to the prompts of as many waiting requests as are expected to find rows until they end."""
        share = self.ended_prefixes / self.ended_requests
        room = self.call.rows - max(float(self.active), share * len(self.row))
        # Admitting a few at a time would prefill tiny batches; an eighth of the rows is worth a prefill.
        if self.active and room * 8 < self.call.rows:
            return
        admitted: Groups = []
        while self.waiting and self.active + len(admitted) < self.call.rows:
            size = self.waiting.first_group()
            if max(1.0, share * size) > room:
                if self.active or admitted:
                    break
                size = max(1, int(room / share))
            admitted += self.waiting.take(size)
            room -= max(1.0, share * size)
        if admitted:
            longest = max(self.cache.length, *(round_up(group[0].prefix_length) for group in admitted))
            self.cache.fit(round_up(self.active + len(admitted)), longest)
            for groups, kv in self.waiting.prefilled(admitted):
                self._seat(groups, kv)

    def _seat(self, groups: Groups, kv: PromptKV) -> None:
        """Give every group a row; entry i of `kv` holds the prompt of group i (no `kv`: nothing to load)."""
        rows = np.arange(self.active, self.active + len(groups))
        if kv:
            self.cache.load(rows, kv, np.arange(len(groups)))
        self.last_token[rows] = [group[0].prompt.token_ids[-1] for group in groups]
        self.position[rows] = [group[0].prefix_length for group in groups]
        self.count[rows] = 0
        self.active += len(groups)
        new = list(chain.from_iterable(groups))
        steps, requests = self.call.decoding.max_new_tokens, np.empty(len(new), dtype=object)
        requests[:] = new
        self.row = np.concatenate([self.row, np.repeat(rows, [len(group) for group in groups])])
        self.uniforms = np.concatenate([self.uniforms, [request_uniforms(request.seed, steps) for request in new]])
        self.requests = np.concatenate([self.requests, requests])

    def _step(self) -> Finished:
        """Draw a token for every request. What a row's requests have drawn are its branches, each of which goes on by itself."""
        token, logp = self._draw()
        _, first, branch = np.unique(self.row * len(self.call.ends) + token, return_index=True, return_inverse=True)
        parent, token, logp = self.row[first], token[first], logp[first]
        ends = self.call.ends[token] | (self.count[parent] + 1 == self.call.decoding.max_new_tokens)
        finished = [
            ended for one in np.flatnonzero(ends) for ended in self._end(parent[one], token[one], logp[one], branch == one)
        ]
        target = self._rows_of(parent, ~ends)
        self._grow(target, token, logp)
        self._regroup(target, branch, ends)
        return finished

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Every request's next token and its log-prob, [requests]."""
        rows = round_up(self.active)
        logits = self.passes.logits(self.last_token[:rows], self.position[:rows], self.cache)
        order, sharing = np.argsort(self.row, kind="stable"), np.bincount(self.row)
        place = np.empty_like(self.row)  # among the requests of its row
        place[order] = np.arange(len(order)) - np.repeat(sharing.cumsum() - sharing, sharing)
        uniforms = np.zeros((rows, sharing.max()))
        uniforms[self.row, place] = self.uniforms[np.arange(len(self.row)), self.count[self.row]]
        drawn = draw(logits, torch.from_numpy(uniforms).to(self.call.device), self.call.decoding)
        token, logp = (each.cpu().numpy()[self.row, place] for each in drawn)
        return token, logp

    def _end(self, row: int, token: int, logp: float, members: np.ndarray) -> Finished:
        """The responses of those `members` (bool [requests]) whose last token this is."""
        count, requests = self.count[row], self.requests[members]
        whole = np.append(self.tokens[row, :count], token), np.append(self.logp[row, :count], logp)
        return list(zip(requests, self.call.responses(requests, *whole), strict=True))

    def _rows_of(self, parent: np.ndarray, goes_on: np.ndarray) -> np.ndarray:
        """The row of each branch, int64: -1 for one that does not go on, or for which no row is left.

        The first branch of a row that goes on stays in it. Others are given rows that nobody stays in, with what theirs holds.
        """
        target = np.full(len(parent), -1)
        (going,) = np.nonzero(goes_on)
        stays = np.diff(parent[going], prepend=-1) != 0
        target[going[stays]] = parent[going[stays]]
        free = np.setdiff1d(np.arange(self.call.rows), parent[going])
        moving = going[~stays][: len(free)]
        target[moving] = free[: len(moving)]
        if len(moving):
            source, into = parent[moving], target[moving]
            self.active = max(self.active, int(into.max()) + 1)
            self.cache.fit(round_up(self.active), self.cache.length)
            self.cache.copy(source, into)
            self._copy(source, into)
        return target

    def _grow(self, target: np.ndarray, token: np.ndarray, logp: np.ndarray) -> None:
        """Append its token to each branch that has a row."""
        seated = target >= 0
        row = target[seated]
        self.last_token[row] = self.tokens[row, self.count[row]] = token[seated]
        self.logp[row, self.count[row]] = logp[seated]
        self.count[row] += 1
        self.position[row] += 1

    def _regroup(self, target: np.ndarray, branch: np.ndarray, ends: np.ndarray) -> None:
        """Let every request follow its branch; those without a row wait again. Rows in use become the first ones."""
        left = (target < 0) & ~ends
        self.ended_prefixes += int(np.count_nonzero(target < 0))
        self.ended_requests += int(np.count_nonzero(target[branch] < 0))
        self.waiting.put_back(self.requests[left[branch]])
        remaining, used = int(np.count_nonzero(target >= 0)), target[target >= 0]
        source, holes = used[used >= remaining], np.setdiff1d(np.arange(remaining), used)
        if len(holes):
            self.cache.move(source, holes)
            self._copy(source, holes)
        new_row = np.arange(self.active)
        new_row[source] = holes
        kept = target[branch] >= 0
        self.row = new_row[target[branch[kept]]]
        self.uniforms, self.requests = self.uniforms[kept], self.requests[kept]
        # Rows behind the active ones still go through the model, to fill up its tile: keep them short and in range.
        self.position[remaining : self.active] = 0
        self.active = remaining

    def _copy(self, source: np.ndarray, target: np.ndarray) -> None:
        for array in (self.last_token, self.position, self.count, self.tokens, self.logp):
            array[target] = array[source]
