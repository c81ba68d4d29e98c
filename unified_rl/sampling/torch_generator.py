"""Sampling from the policy that is being trained, by the very module that is trained: the weights are always the current ones.

    waiting requests -> prefill (once per prompt) -> rows of the KV cache -> one token per row and step -> responses

Rows are refilled as responses end, so the longest response never holds the others up and memory is bounded by the number of
rows. What a request receives depends on nothing but the weights, its prompt, the decoding settings and its seed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, GeneratorInfo, Prompt, Response, Tokenizer
from unified_rl.models import policy_model
from unified_rl.models.limits import context_limit
from unified_rl.models.probing import quiet
from unified_rl.sampling.cache_probe import NoText, decodes_by_cache
from unified_rl.sampling.draws import draw, request_uniforms
from unified_rl.sampling.kv_cache import round_up
from unified_rl.sampling.llama_decoder import CompiledStep, LlamaDecoder, PromptKV
from unified_rl.sampling.module_passes import CachedPasses, WholePasses, sampling_mode
from unified_rl.sampling.requests import check_requests
from unified_rl.sampling.static_decoder import StaticDecoder
from unified_rl.sampling.static_step import supports

ProgressHook = Callable[[int, int], None]
_Passes = LlamaDecoder | CachedPasses | WholePasses


@dataclass(frozen=True, slots=True)
class _Request:
    """One response that is wanted: response `index` of `prompt` number `prompt_index`."""

    prompt_index: int
    index: int
    prompt: Prompt
    seed: int

    @property
    def prefix_length(self) -> int:
        """Tokens to prefill. The prompt's last token is left for the first decoding step, whose logits draw token 0."""
        return len(self.prompt.token_ids) - 1


class TorchGenerator:
    """Samples responses from a Hugging Face causal language model. Implements `Generator`.

    Exactness. On a CPU, a float32 Llama or Qwen2 of at most 30M parameters (`LlamaDecoder.supports`) gives a request the same
    token ids and the same `behaviour_logp`, bit for bit, whatever else is in the call, in whatever order, with any
    `max_concurrent_sequences` and `prefill_tokens`, and on one thread as on two: every product has a shape that only the model
    decides (`fixed_shapes.py`). A larger `max_new_tokens` continues the same response. Whether other models keep their bits in
    company depends on the machine, and `company.py` measures it. It is not promised

    - on a GPU, in bfloat16 or for a large model, where log-probabilities may differ by rounding and, when a uniform number falls
      that close to an edge, a token with them;
    - between the plain and the compiled step, or compiled ones for other numbers of threads;
    - on more than two threads (a library may divide one product among threads), or between processors;
    - for models whose forward looks across the batch: rotary scaling of type "dynamic" or "longrope" (frequencies follow the
      longest sequence present), mixtures of experts (a row's matrix sizes follow its neighbours' routing).

    Memory: keys and values of `max_concurrent_sequences` rows, plus one prefill of `prefill_tokens`. Models of which exactness is
    promised have room for the most tokens that all rows together had, at most twice over; rows of others are each as long as the
    longest of them needs at the moment (twice that for one layer while it grows).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        max_concurrent_sequences: int = 256,
        eos_token_ids: Sequence[int] | None = None,
        prefill_tokens: int = 8192,
        compiled_step: CompiledStep | None = None,
        on_progress: ProgressHook | None = None,
    ) -> None:
        """
        Args:
            model: any causal LM whose own passes are right, on any device. One whose cache is not is run over all tokens again.
            tokenizer: decodes the responses' text.
            max_concurrent_sequences: rows of the KV cache, which bounds memory. Does not change the responses.
            eos_token_ids: ids that end a response; None takes the model's generation config and the tokenizer's.
            prefill_tokens: prompt tokens, padding included, that go through the model at once. Does not change the responses.
            compiled_step: the decoding step to run, compiled for the model's shape (`compiled_step.py`); None runs it by torch.
            on_progress: called with (responses done, responses wanted) whenever some are done.

        Raises:
            ConfigError: a setting out of range, an EOS id or a tokenizer outside the model's vocabulary.
        """
        if max_concurrent_sequences < 1 or prefill_tokens < 1:
            raise ConfigError("max_concurrent_sequences and prefill_tokens must be at least 1")
        self.model = model
        self.tokenizer = tokenizer
        self.max_concurrent_sequences = max_concurrent_sequences
        self.prefill_tokens = prefill_tokens
        self.compiled_step = compiled_step
        #: Decodes in windows of static shapes; None decodes token by token, with shapes as they come.
        self.static: StaticDecoder | None = StaticDecoder(model) if StaticDecoder.serves(model) else None
        self.on_progress = on_progress
        embeddings: Any = model.get_input_embeddings()
        self.vocabulary: int = embeddings.weight.shape[0]
        ids = policy_model.eos_token_ids(model, tokenizer) if eos_token_ids is None else set(eos_token_ids)
        self.eos_token_ids = np.array(sorted(ids), dtype=np.int64)
        self._check_vocabulary()
        self.info = GeneratorInfo(*context_limit(model.config), self.vocabulary, tuple(map(int, self.eos_token_ids)))

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        """`len(seeds[i])` responses to prompt i, each a function of the weights, the prompt, `decoding` and its own seed.

        Raises:
            DataError: an empty prompt, a token outside the vocabulary, or a prompt that leaves no room for
                `decoding.max_new_tokens` in the model's context. Raised before any work is done.
        """
        check_requests(self.info, prompts, seeds, decoding)
        requests = [
            _Request(i, j, prompt, seed)
            for i, (prompt, row) in enumerate(zip(prompts, seeds, strict=True))
            for j, seed in enumerate(row)
        ]
        responses: list[list[Response]] = [[None] * len(row) for row in seeds]  # type: ignore[list-item]
        if not requests:
            return responses
        done = 0
        with self._decoding(requests, decoding, policy_version) as decoded:
            for finished in decoded.run():
                for request, response in finished:
                    responses[request.prompt_index][request.index] = response
                done += len(finished)
                if self.on_progress is not None:
                    self.on_progress(done, len(requests))
        return responses

    def look_at_decoding(self) -> None:
        """Find out now how the model decodes, instead of at the first response."""
        with self._passes():
            pass

    @contextmanager
    def _decoding(self, requests: list[_Request], decoding: Decoding, policy_version: int) -> Iterator[_Decoding]:
        if self.static is not None and supports(self.model):  # what is hooked in later is not in the graphs
            with sampling_mode(self.model):
                yield _WindowedDecoding(self, self.static, requests, decoding, policy_version)
        else:
            with self._passes() as passes:
                yield _Decoding(self, passes, requests, decoding, policy_version)

    @contextmanager
    def _passes(self) -> Iterator[_Passes]:
        """The leanest passes that are right for the model, in the mode that they want."""
        if LlamaDecoder.supports(self.model):
            with torch.no_grad():
                yield LlamaDecoder(self.model, self.compiled_step)
        elif decodes_by_cache(self.model, self._drawn_by_cache):
            with sampling_mode(self.model):
                yield CachedPasses(self.model)
        else:
            with quiet(self.model):
                yield WholePasses(self.model, self.prefill_tokens)

    def _drawn_by_cache(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Response]:
        """A response to each prompt, beside each other, decoded by a cache whether or not that is right for the model."""
        owner, requests = TorchGenerator(self.model, NoText(), eos_token_ids=[]), list(enumerate(prompts))
        waiting = [_Request(place, 0, prompt, place) for place, prompt in requests]
        with sampling_mode(self.model):
            ended = chain.from_iterable(_Decoding(owner, CachedPasses(self.model), waiting, decoding, 0).run())
            found = {request.prompt_index: response for request, response in ended}
        return [found[place] for place, _ in requests]

    def _check_vocabulary(self) -> None:
        size = len(self.tokenizer) if hasattr(self.tokenizer, "__len__") else 0
        if size > self.vocabulary:
            raise ConfigError(
                f"the tokenizer has {size} tokens but the model embeds {self.vocabulary}: use the tokenizer that belongs to "
                "the model, or call model.resize_token_embeddings(len(tokenizer))"
            )
        outside = [int(token) for token in self.eos_token_ids if not 0 <= token < self.vocabulary]
        if outside:
            raise ConfigError(f"eos_token_ids {outside} are outside the model's vocabulary of {self.vocabulary}")


class _Decoding:
    """One call of `generate`: the queue of waiting requests, and the rows in which requests are being answered.

    Rows 0..active-1 are in use. Arrays are indexed by row; a row's response so far is `tokens[row, :count[row]]`.
    """

    def __init__(
        self,
        owner: TorchGenerator,
        passes: _Passes,
        requests: list[_Request],
        decoding: Decoding,
        policy_version: int,
        cache: StaticDecoder | None = None,
    ) -> None:
        self.tokenizer, self.eos_token_ids = owner.tokenizer, owner.eos_token_ids
        self.prefill_tokens = owner.prefill_tokens
        self.decoding, self.policy_version = decoding, policy_version
        self.ends = np.zeros(owner.vocabulary, dtype=bool)  # by token id: whether it ends a response
        self.ends[self.eos_token_ids] = True
        self.device = next(owner.model.parameters()).device
        # Prompts of like length wait side by side, to be prefilled together. The order does not show in the responses.
        self.waiting = deque(sorted(requests, key=lambda request: round_up(request.prefix_length)))
        self.rows = min(owner.max_concurrent_sequences, len(requests))
        self.passes = passes
        self.cache: Any = cache or passes.new_cache()
        self.split_prompt = -1
        self.split_kv: PromptKV = []
        self.active = 0
        padded, steps = round_up(self.rows), decoding.max_new_tokens
        self.request: dict[int, _Request] = {}
        self.last_token = np.zeros(padded, dtype=np.int64)
        self.position = np.zeros(padded, dtype=np.int64)
        self.count = np.zeros(padded, dtype=np.int64)
        self.tokens = np.zeros((padded, steps), dtype=np.int64)
        self.logp = np.zeros((padded, steps), dtype=np.float32)
        self.uniforms = np.zeros((padded, steps), dtype=np.float64)

    def run(self) -> Iterator[list[tuple[_Request, Response]]]:
        """Decode until nobody waits, yielding responses as they end."""
        while self.waiting or self.active:
            free = self.rows - self.active
            # Admitting a few at a time would prefill tiny batches; an eighth of the rows is worth a prefill.
            if self.waiting and free * 8 >= self.rows:
                self._admit(free)
            self._step()
            finished = self._finished_rows()
            if len(finished):
                yield [(self.request[row], self._response(row)) for row in finished]
                self._compact(finished)

    def _admit(self, free: int) -> None:
        """Move up to `free` waiting requests into rows, prefilling each prompt once for all its responses."""
        admitted = [self.waiting.popleft() for _ in range(min(free, len(self.waiting)))]
        longest = max(self.cache.length, *(round_up(request.prefix_length) for request in admitted))
        self.cache.fit(round_up(self.active + len(admitted)), longest)
        groups = [list(group) for _, group in groupby(admitted, key=lambda request: request.prompt_index)]
        if groups[0][0].prompt_index == self.split_prompt:
            self._seat([groups.pop(0)], self.split_kv)
        for length, same_length in groupby(groups, key=lambda group: round_up(group[0].prefix_length)):
            self._prefill_and_seat(list(same_length), length)

    def _prefill_and_seat(self, groups: list[list[_Request]], length: int) -> None:
        """Admit requests that are grouped by prompt; all prompts have the same padded `length`."""
        at_once = max(1, self.prefill_tokens // max(length, 1))
        for start in range(0, len(groups), at_once):
            chunk = groups[start : start + at_once]
            kv = self._prefill([group[0].prompt for group in chunk], length)
            self._seat(chunk, kv)
            last = chunk[-1][0].prompt_index
            if self.waiting and self.waiting[0].prompt_index == last:
                # The free rows split this group: its other responses will start from the same keys and values.
                self.split_prompt, self.split_kv = last, [(keys[-1:].clone(), values[-1:].clone()) for keys, values in kv]

    def _seat(self, groups: list[list[_Request]], kv: PromptKV) -> None:
        """Give every request of `groups` a row; entry i of `kv` holds the prompt of group i (no `kv`: nothing to load)."""
        rows = np.arange(self.active, self.active + sum(map(len, groups)))
        if kv:
            self.cache.load(rows, kv, np.repeat(np.arange(len(groups)), [len(group) for group in groups]))
        for row, request in zip(rows, chain.from_iterable(groups), strict=True):
            self.request[int(row)] = request
            self.last_token[row] = request.prompt.token_ids[-1]
            self.position[row] = request.prefix_length
            self.uniforms[row] = request_uniforms(request.seed, self.decoding.max_new_tokens)
        self.count[rows] = 0
        self.active += len(rows)

    def _prefill(self, prompts: Sequence[Prompt], length: int) -> PromptKV:
        """Keys and values [prompts, kv_heads, length, head_dim] per layer, the prompts' last tokens left out; [] for none kept."""
        if isinstance(self.passes, WholePasses) or not length:
            return []
        ids = np.zeros((len(prompts), length), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt.token_ids) - 1] = prompt.token_ids[:-1]
        return self.passes.prefill(torch.from_numpy(ids).to(self.device))

    def _step(self) -> None:
        """Append one token to every active row."""
        rows = round_up(self.active)
        row, count = np.arange(rows), self.count[:rows]
        uniforms = torch.from_numpy(self.uniforms[row, count]).to(self.device)
        tokens, logp = self._drawn(rows, uniforms)
        self.last_token[:rows] = tokens.cpu().numpy()
        self.tokens[row, count] = self.last_token[:rows]
        self.logp[row, count] = logp.cpu().numpy()
        self.count[: self.active] += 1
        self.position[: self.active] += 1

    def _drawn(self, rows: int, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next token of each row, and its log-prob. Rows behind the active ones fill up a tile."""
        if isinstance(self.passes, WholePasses):
            logits = self.passes.logits([self._so_far(row) for row in range(self.active)])
            return draw(logits[torch.arange(rows).clamp(max=self.active - 1)], uniforms, self.decoding)
        if isinstance(self.passes, LlamaDecoder):
            state = self.last_token[:rows], self.position[:rows]
            return self.passes.next_tokens(*state, uniforms, self.decoding, self.cache)
        self.cache.fit(rows, int(self.position[: self.active].max()) + 1)
        positions = torch.from_numpy(self.position[:rows]).to(self.device)
        last = torch.from_numpy(self.last_token[:rows]).to(self.device)
        return draw(self.passes.logits(self.cache, last, positions), uniforms, self.decoding)

    def _so_far(self, row: int) -> np.ndarray:
        """The prompt of a row and its response as far as it goes, int64."""
        prompt = np.array(self.request[row].prompt.token_ids, dtype=np.int64)
        return np.concatenate([prompt, self.tokens[row, : self.count[row]]])

    def _finished_rows(self) -> np.ndarray:
        last, count = self.last_token[: self.active], self.count[: self.active]
        return np.flatnonzero(self.ends[last] | (count == self.decoding.max_new_tokens))

    def _response(self, row: int) -> Response:
        count = self.count[row]
        token_ids = self.tokens[row, :count].copy()
        return Response(
            token_ids=token_ids,
            behaviour_logp=self.logp[row, :count].copy(),
            finish="stop" if token_ids[-1] in self.eos_token_ids else "length",
            policy_version=self.policy_version,
            decoding=self.decoding,
            seed=self.request[row].seed,
            text=self.tokenizer.decode(token_ids.tolist(), skip_special_tokens=True),
        )

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


class _WindowedDecoding(_Decoding):
    """The same by static shapes, with a look at the tokens after each window of steps. Prompts go through the module."""

    def __init__(
        self, owner: TorchGenerator, static: StaticDecoder, requests: list[_Request], decoding: Decoding, policy_version: int
    ) -> None:
        super().__init__(owner, CachedPasses(owner.model), requests, decoding, policy_version, static)
        self.static = static
        static.begin()
        longest = max(request.prefix_length for request in requests) + 1
        static.fit(self.rows, max(round_up(longest), longest + decoding.max_new_tokens + static.window))

    def _step(self) -> None:
        """Append a window of tokens to every active row, as many of them as belong to its response."""
        active, window, limit = self.active, self.static.window, self.decoding.max_new_tokens
        ahead = np.minimum(self.count[:active, None] + np.arange(window), limit - 1)
        uniforms = np.take_along_axis(self.uniforms[:active], ahead, axis=1)
        state = self.last_token[:active], self.position[:active]
        drawn, logp = self.static.draw_window(*state, uniforms, self.decoding)
        for row in range(active):
            count = int(self.count[row])
            (ends,) = np.nonzero(self.ends[drawn[row]])
            taken = min(int(ends[0]) + 1 if len(ends) else window, limit - count)
            self.tokens[row, count : count + taken] = drawn[row, :taken]
            self.logp[row, count : count + taken] = logp[row, :taken]
            self.last_token[row] = drawn[row, taken - 1]
            self.count[row] += taken
            self.position[row] += taken
