"""Where a sampled response is to be cut because of what its text says. Tokens are counted, never made again from text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from unified_rl.base.types import Decoding, Generator, GeneratorInfo, Prompt, Response, Tokenizer


def tokens_until(holds: Callable[[str], bool], token_ids: Sequence[int], tokenizer: Tokenizer) -> int:
    """The fewest leading tokens whose text satisfies `holds`, which must hold of all of them and stay true once it is."""
    low, high = 1, len(token_ids)
    while low < high:
        middle = (low + high) // 2
        if holds(tokenizer.decode(list(token_ids[:middle]), skip_special_tokens=True)):
            high = middle
        else:
            low = middle + 1
    return low


class StoppingGenerator:
    """A generator whose responses also end where one of some texts has been written, as EOS ends them.

    The tokens of the stop text stay in `token_ids` (they are how the policy ended); `text`, for graders, ends before it.
    The wrapped generator first goes on to its own end: it costs time, and nothing else, to stop late.
    """

    def __init__(self, generator: Generator, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._generator, self._tokenizer, self._stops = generator, tokenizer, tuple(stop for stop in stops if stop)

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        responses = self._generator.generate(prompts, seeds, decoding, policy_version)
        return [[self._stopped(response) for response in group] for group in responses]

    def _stopped(self, response: Response) -> Response:
        places = [place for stop in self._stops if (place := response.text.find(stop)) >= 0]
        if not places:
            return response
        count = tokens_until(
            lambda text: any(stop in text for stop in self._stops), response.token_ids.tolist(), self._tokenizer
        )
        return replace(
            response,
            token_ids=response.token_ids[:count],
            behaviour_logp=response.behaviour_logp[:count],
            finish="stop",
            text=response.text[: min(places)],
            response_mask=None if response.response_mask is None else response.response_mask[:count],
        )
