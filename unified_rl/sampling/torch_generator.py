"""Sampling from the policy that is being trained, by the very module that is trained: the weights are always the current ones.

    waiting requests -> prefill (once per prompt) -> rows of the KV cache -> one token per row and step -> responses

Rows are refilled as responses end, so the longest response never holds the others up and memory is bounded by the number of
rows. Of models that the lean decoder serves, responses to one prompt share a row until they differ (`prefixes.py`); of others each
has a row of its own (`rows.py`). What a request receives depends on nothing but the weights, its prompt, the decoding settings and
its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
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
from unified_rl.sampling.llama_decoder import CompiledStep, LlamaDecoder
from unified_rl.sampling.module_passes import CachedPasses, WholePasses, sampling_mode
from unified_rl.sampling.prefixes import PrefixDecoding
from unified_rl.sampling.requests import Request, check_requests
from unified_rl.sampling.rows import RowDecoding, WindowedDecoding
from unified_rl.sampling.static_decoder import StaticDecoder
from unified_rl.sampling.static_step import supports
from unified_rl.sampling.waiting import Call

ProgressHook = Callable[[int, int], None]
_Passes = LlamaDecoder | CachedPasses | WholePasses


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
    longest of them needs at the moment (twice that for one layer while it grows). Where responses share rows, more of them than
    rows are answered at a time, each with 8 bytes per token of `max_new_tokens` for its uniform numbers.
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
            Request(i, j, prompt, seed)
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
    def _decoding(
        self, requests: list[Request], decoding: Decoding, policy_version: int
    ) -> Iterator[PrefixDecoding | RowDecoding]:
        call = self._call(len(requests), decoding, policy_version)
        if self.static is not None and supports(self.model):  # what is hooked in later is not in the graphs
            with sampling_mode(self.model):
                yield WindowedDecoding(call, self.static, requests)
        else:
            with self._passes() as passes:
                if isinstance(passes, LlamaDecoder):
                    yield PrefixDecoding(call, passes, requests)
                else:
                    yield RowDecoding(call, passes, requests)

    def _call(self, requests: int, decoding: Decoding, policy_version: int) -> Call:
        ends = np.zeros(self.vocabulary, dtype=bool)
        ends[self.eos_token_ids] = True
        rows, device = min(self.max_concurrent_sequences, requests), next(self.model.parameters()).device
        return Call(self.tokenizer, ends, rows, self.prefill_tokens, decoding, policy_version, device)

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
        call = TorchGenerator(self.model, NoText(), eos_token_ids=[])._call(len(prompts), decoding, 0)
        waiting = [Request(place, 0, prompt, place) for place, prompt in enumerate(prompts)]
        with sampling_mode(self.model):
            ended = chain.from_iterable(RowDecoding(call, CachedPasses(self.model), waiting).run())
            found = {request.prompt_index: response for request, response in ended}
        return [found[place] for place in range(len(prompts))]

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
