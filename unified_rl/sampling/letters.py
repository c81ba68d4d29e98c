"""The most likely letter of a multiple-choice question, as a generator: nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, GeneratorInfo, Problem, Prompt, Response, Tokenizer
from unified_rl.models.forward import response_logps
from unified_rl.models.traits import fitted
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.sampling.torch_generator import TorchGenerator


class LetterChooser:
    """Answers a prompt with the continuation of the greatest log-likelihood, the sum over its tokens; the first of equal ones.

    A continuation's tokens are those of prompt and continuation together, less the prompt's own (as lm-eval cuts them): what a
    tokenizer makes of a letter may depend on what stands before it.

    Args:
        generator: whose model and tokenizer are used. text: of a problem's prompt, which its tokens were made of.
        continuations: of a problem, the texts that may follow its prompt.
    """

    def __init__(
        self,
        generator: TorchGenerator,
        text: Callable[[Problem], str],
        continuations: Callable[[Problem], Sequence[str]],
    ) -> None:
        self._model: PreTrainedModel = generator.model
        self._tokenizer: Tokenizer = generator.tokenizer
        self._text, self._continuations = text, continuations
        self.info: GeneratorInfo = generator.info
        self._layout = fitted(Layout(512, 4096), self._model)

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        """One response per prompt: the chosen continuation and its log-probabilities, at temperature 1.

        Raises:
            ConfigError: more than one response, or a sampled one, is asked for; or a continuation adds no token to its prompt.
        """
        if decoding.temperature != 0 or any(len(row) != 1 for row in seeds):
            raise ConfigError("task.solution=letter_likelihood samples nothing: evaluate with samples=0")
        texts = [self._continuations(prompt.problem) for prompt in prompts]
        sequences = [
            TokenSequence(np.array(prompt.token_ids), self._tokens(prompt, text), prompt.id)
            for prompt, of_prompt in zip(prompts, texts, strict=True)
            for text in of_prompt
        ]
        logps = self._logps(sequences)
        found, first = [], 0
        for of_prompt in texts:
            own = slice(first, first + len(of_prompt))
            best = int(np.argmax([float(logp_T.sum(dtype=np.float64)) for logp_T in logps[own]]))
            chosen = sequences[own][best].response_ids, logps[own][best], of_prompt[best]
            found.append([Response(chosen[0], chosen[1], "stop", policy_version, decoding, 0, chosen[2])])
            first = own.stop
        return found

    def _tokens(self, prompt: Prompt, text: str) -> np.ndarray:
        """The tokens that a continuation adds to a prompt: int64 [T]."""
        before = self._text(prompt.problem)
        plain = self._tokenizer.encode(before, add_special_tokens=False)
        added = self._tokenizer.encode(before + text, add_special_tokens=False)[len(plain) :]
        if not added:
            raise ConfigError(f"the tokenizer makes no token of its own of {text!r} behind the prompt of {prompt.id!r:.60}")
        return np.array(added, dtype=np.int64)

    @torch.no_grad()
    def _logps(self, sequences: Sequence[TokenSequence]) -> list[np.ndarray]:
        """Log-probabilities of each sequence's response tokens: float32 [T] each."""
        self._model.eval()
        whole = [np.zeros(len(sequence.response_ids), dtype=np.float32) for sequence in sequences]
        for packed in self._layout.pack(list(sequences), None, self._model.device):
            logp_N = response_logps(self._model, packed)[0].float().cpu().numpy()
            places = zip(packed.sequence_N.tolist(), packed.token_N.tolist(), logp_N, strict=True)
            for sequence, token, logp in places:
                whole[sequence][token] = logp
        return whole
