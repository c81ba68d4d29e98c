"""Tool-integrated reasoning: generate, run the program, append its output, go on generating.

    prompt -> text ```python ... ``` -> program -> ```output ... ``` -> text ... -> EOS

What the policy wrote stays the tokens that it sampled. Only the output of a program is tokenised here; its tokens have
`response_mask` False, so that no method trains on them, and `behaviour_logp` 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError
from unified_rl.base.fences import closed_block
from unified_rl.base.types import (
    Decoding,
    Finish,
    Generator,
    GeneratorInfo,
    ProgramResult,
    ProgramRunner,
    Prompt,
    Response,
    Tokenizer,
)
from unified_rl.sampling.text_cuts import tokens_until

_LANGUAGE = "python"


def _holds_a_program(text: str) -> bool:
    return closed_block(text, _LANGUAGE) is not None


@dataclass
class _Request:
    """A response in the making."""

    prompt_index: int
    prompt: Prompt
    seed: int
    token_ids: list[int] = field(default_factory=list)
    logp: list[float] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    finish: Finish | None = None

    @property
    def length(self) -> int:
        return len(self.prompt.token_ids) + len(self.token_ids)

    def add(self, token_ids: Sequence[int], logp: Sequence[float], written: bool) -> None:
        self.token_ids += token_ids
        self.logp += logp
        self.mask += [written] * len(token_ids)


class ToolIntegratedGenerator:
    """Wraps a generator. Implements `Generator`; a response without a program is the wrapped generator's own.

    A response ends by EOS, or by `decoding.max_new_tokens`, which counts the outputs of programs too (it is then truncated). After
    `max_rounds` programs no more are run and the policy goes on to its end. A block that the policy closes is run even where it
    wrote on after it: from the closing fence on, what it wrote is replaced by the program's output.

    Args:
        runner: runs the programs of a round, all at once.
        max_rounds: programs per response.
        output_characters: of a program's output that the policy sees; a longer one loses its middle.
    """

    def __init__(
        self,
        generator: Generator,
        runner: ProgramRunner,
        tokenizer: Tokenizer,
        max_rounds: int = 3,
        output_characters: int = 400,
    ) -> None:
        if max_rounds < 1 or output_characters < 1:
            raise ConfigError(f"max_rounds={max_rounds} and output_characters={output_characters} must be at least 1")
        self._generator, self._runner, self._tokenizer = generator, runner, tokenizer
        self._max_rounds, self._output_characters = max_rounds, output_characters
        self._special = set(tokenizer.all_special_ids)

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        """`len(seeds[i])` responses to prompt i, each a function of the weights, the prompt, `decoding` and its own seed."""
        requests = [_Request(i, prompt, seed) for i, prompt in enumerate(prompts) for seed in seeds[i]]
        first = self._generator.generate(prompts, seeds, decoding, policy_version)
        pieces = [response for group in first for response in group]
        waiting = requests
        for round_index in range(self._max_rounds):
            waiting = self._run_programs(waiting, pieces, decoding.max_new_tokens)
            if not waiting:
                break
            pieces = self._continue(waiting, round_index + 1, decoding, policy_version)
        else:
            for request, piece in zip(waiting, pieces, strict=True):
                self._finish(request, piece, decoding.max_new_tokens)
        responses: list[list[Response]] = [[] for _ in prompts]
        for request in requests:
            responses[request.prompt_index].append(self._response(request, decoding, policy_version))
        return responses

    def _run_programs(self, requests: Sequence[_Request], pieces: Sequence[Response], limit: int) -> list[_Request]:
        """Append the pieces, up to their first closed block, and the outputs of the programs; who is to go on generating."""
        running, programs = [], []
        for request, piece in zip(requests, pieces, strict=True):
            room = limit - len(request.token_ids)
            text = self._tokenizer.decode(piece.token_ids[:room].tolist(), skip_special_tokens=True)
            block = closed_block(text, _LANGUAGE)
            if block is None:
                self._finish(request, piece, limit)
                continue
            count = tokens_until(_holds_a_program, piece.token_ids[:room].tolist(), self._tokenizer)
            request.add(piece.token_ids[:count].tolist(), piece.behaviour_logp[:count].tolist(), True)
            running.append(request)
            programs.append(text[block.start : block.end])
        for request, result in zip(running, self._runner.run(programs) if programs else (), strict=True):
            self._append_output(request, result, limit)
        return [request for request in running if request.finish is None]

    def _append_output(self, request: _Request, result: ProgramResult, limit: int) -> None:
        written = self._tokenizer.decode(request.token_ids, skip_special_tokens=True)
        text = ("" if written.endswith("\n") else "\n") + f"```output\n{self._shown(result)}\n```\n"
        # A program may print the name of a special token; it must not become one.
        ids = [token for token in self._tokenizer.encode(text, add_special_tokens=False) if token not in self._special]
        ids = ids[: limit - len(request.token_ids)]
        request.add(ids, [0.0] * len(ids), False)
        if len(request.token_ids) >= limit:
            request.finish = "length"

    def _shown(self, result: ProgramResult) -> str:
        """What the policy sees of a result."""
        text = result.stdout.strip()
        if result.status != "ok":
            errors = str(getattr(result, "stderr", "")).strip().splitlines()
            text = f"{text}\n{errors[-1] if errors else f'Error: {result.status}'}".strip()
        half = self._output_characters // 2
        if len(text) > self._output_characters:
            text = f"{text[:half]}...{text[-half:]}"
        return text.replace("```", "'''")  # an output must not close its own block

    def _continue(
        self, requests: Sequence[_Request], round_index: int, decoding: Decoding, policy_version: int
    ) -> list[Response]:
        """The next piece of every request, with the seed of its round.

        A larger `max_new_tokens` continues the same response, so requests share calls with the one that may write most, as far as
        the context allows; what goes beyond a request's own limit is cut off afterwards.
        """
        longest = max(request.length - len(request.token_ids) for request in requests) + decoding.max_new_tokens
        context = max(self.info.context or 0, longest)
        room = [decoding.max_new_tokens - len(request.token_ids) for request in requests]
        pieces: list[Response | None] = [None] * len(requests)
        left = sorted(range(len(requests)), key=lambda index: -room[index])
        while left:
            budget = room[left[0]]
            together = [index for index in left if requests[index].length + budget <= context]
            left = [index for index in left if requests[index].length + budget > context]
            answers = self._generator.generate(
                [Prompt(requests[index].prompt.problem, self._so_far(requests[index])) for index in together],
                [[rng.derive_seed(requests[index].seed, "tool round", round_index)] for index in together],
                Decoding(decoding.temperature, decoding.top_p, decoding.top_k, budget),
                policy_version,
            )
            for index, (answer,) in zip(together, answers, strict=True):
                pieces[index] = answer
        return pieces  # type: ignore[return-value]

    @staticmethod
    def _so_far(request: _Request) -> tuple[int, ...]:
        return (*request.prompt.token_ids, *request.token_ids)

    @staticmethod
    def _finish(request: _Request, piece: Response, limit: int) -> None:
        """Append a last piece; beyond the limit it is cut off, and the response truncated."""
        room = limit - len(request.token_ids)
        request.add(piece.token_ids[:room].tolist(), piece.behaviour_logp[:room].tolist(), True)
        request.finish = piece.finish if len(piece) <= room else "length"

    def _response(self, request: _Request, decoding: Decoding, policy_version: int) -> Response:
        return Response(
            token_ids=np.array(request.token_ids, dtype=np.int64),
            behaviour_logp=np.array(request.logp, dtype=np.float32),
            finish=request.finish or "length",
            policy_version=policy_version,
            decoding=decoding,
            seed=request.seed,
            text=self._tokenizer.decode(request.token_ids, skip_special_tokens=True),
            response_mask=None if all(request.mask) else np.array(request.mask, dtype=bool),
        )
