"""Requests for responses, and their check against what a generator tells of its model, before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Decoding, GeneratorInfo, Prompt


@dataclass(frozen=True, slots=True)
class Request:
    """One response that is wanted: response `index` of `prompt` number `prompt_index`."""

    prompt_index: int
    index: int
    prompt: Prompt
    seed: int

    @property
    def prefix_length(self) -> int:
        """Tokens to prefill. The prompt's last token is left for the first decoding step, whose logits draw token 0."""
        return len(self.prompt.token_ids) - 1


def check_requests(info: GeneratorInfo, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding) -> None:
    """Refuse what the generator cannot serve, before any work is done.

    Raises:
        DataError: an empty prompt, a token outside the vocabulary, a prompt that leaves no room for `decoding.max_new_tokens` in
            the context, or seeds that do not match the prompts. ConfigError: decoding settings out of range.
    """
    if len(prompts) != len(seeds):
        raise DataError(f"{len(prompts)} prompts but seeds for {len(seeds)}: give one sequence of seeds per prompt")
    if decoding.max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens is {decoding.max_new_tokens}; a response has at least one token")
    if decoding.temperature < 0 or decoding.top_k < 0 or not 0 < decoding.top_p <= 1:
        raise ConfigError(f"temperature and top_k must not be negative and top_p must lie in (0, 1]: {decoding}")
    for prompt in prompts:
        _check_tokens(info, prompt)
        length = len(prompt.token_ids)
        if info.context is not None and length + decoding.max_new_tokens > info.context:
            raise DataError(
                f"prompt {prompt.id!r} has {length} tokens; with max_new_tokens={decoding.max_new_tokens} that exceeds the "
                f"model's {info.context_name} of {info.context}: shorten the prompt or lower max_new_tokens"
            )


def _check_tokens(info: GeneratorInfo, prompt: Prompt) -> None:
    if not prompt.token_ids:
        raise DataError(f"prompt {prompt.id!r} has no tokens: begin it with a BOS token or check the template")
    outside = [token for token in prompt.token_ids if not 0 <= token < info.vocabulary]
    if outside:
        raise DataError(
            f"prompt {prompt.id!r} has token ids {outside[:5]} but the model embeds 0..{info.vocabulary - 1}: "
            "it was tokenised by another model's tokenizer"
        )
