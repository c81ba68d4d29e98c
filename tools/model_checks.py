"""What a model must show to count as working: packed log-probs, samples and a saved copy are as its plain passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tools.tiny_models import VOCABULARY
from unified_rl.base.errors import UnifiedRLError
from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.models.forward import response_logps, response_values
from unified_rl.models.policy_model import ValueModel, build_value_model, decoder_of, load_policy, save_policy
from unified_rl.models.traits import fitted, rows_of
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.sampling.torch_generator import TorchGenerator

CLOSE = 1e-4
#: (prompt, response) lengths; most are longer than the windows of a tiny model.
_LENGTHS = ((6, 11), (6, 5), (6, 14), (2, 17), (9, 3))


@dataclass(frozen=True)
class Outcome:
    """What became of a model. line: why it is refused, "" where it works. rows, decoding: how, where it works."""

    family: str
    line: str = ""
    rows: str = ""
    decoding: str = ""


class WrongError(AssertionError):
    """A model that was accepted and computes something else than its plain passes."""


def outcome(family: str, model: PreTrainedModel, folder: Path) -> Outcome:
    """Save a model as transformers does, load it as a run does, and check it.

    Raises:
        WrongError: accepted, and wrong. Anything else that is not a refusal in one line.
    """
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    try:
        loaded, its_tokenizer = load_policy(folder)
    except UnifiedRLError as error:
        if len(str(error).splitlines()) != 1:
            raise WrongError(f"{family} is refused in more than a line: {error}") from error
        return Outcome(family, str(error).replace(str(folder), "DIR"))
    check(loaded, family)
    _check_saved(loaded, its_tokenizer, folder.with_name(folder.name + "-saved"), family)
    cached = "cache" if getattr(loaded, "_decodes_by_cache", True) else "every token again"
    return Outcome(family, "", rows_of(decoder_of(loaded)), cached)


def check(model: PreTrainedModel, family: str) -> None:
    """Packed = plain, whatever the length of rows, and generator = trainer, to 1e-4 nats. Raises WrongError."""
    sequences = _sequences()
    plain = torch.cat([plain_logps(model, sequence) for sequence in sequences])
    for row_tokens in (1, 40, 200):
        _same(packed_logps(model, sequences, row_tokens), plain, f"{family}: packed in rows of {row_tokens}")
    prompts = [Prompt(Problem(str(i), "", ""), tuple(sequences[i].prompt_ids.tolist())) for i in (0, 3, 4)]
    drawn = TorchGenerator(model, tokenizer(), eos_token_ids=[1]).generate(
        prompts, [[1, 2], [3], [4]], Decoding(max_new_tokens=12), policy_version=0
    )
    for prompt, responses in zip(prompts, drawn, strict=True):
        for response in responses:
            trained = packed_logps(model, [TokenSequence(np.array(prompt.token_ids), response.token_ids)], 64)
            _same(torch.from_numpy(response.behaviour_logp), trained, f"{family}: sampled")


@torch.no_grad()
def plain_logps(model: PreTrainedModel, sequence: TokenSequence) -> Tensor:
    """Log-probs [T] of a response by the model's own forward of the one sequence."""
    ids = torch.from_numpy(np.concatenate([sequence.prompt_ids, sequence.response_ids]))
    start = len(sequence.prompt_ids)
    logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0, start - 1 :].float()
    return torch.log_softmax(logits, dim=-1).gather(-1, ids[start:, None])[:, 0]


@torch.no_grad()
def packed_logps(model: PreTrainedModel, sequences: Sequence[TokenSequence], row_tokens: int) -> Tensor:
    """Log-probs of all responses, one after the other, as the trainer computes them."""
    found: dict[tuple[int, int], float] = {}
    for packed in fitted(Layout(row_tokens, 400), model).pack(sequences, None, torch.device("cpu")):
        logp_N, _ = response_logps(model, packed)
        places = zip(packed.sequence_N.tolist(), packed.token_N.tolist(), strict=True)
        found |= dict(zip(places, logp_N.tolist(), strict=True))
    return torch.tensor([found[place] for place in sorted(found)])


def tokenizer() -> PreTrainedTokenizerFast:
    """Words named by their ids, one to a token."""
    words = {f"w{token}": token for token in range(VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, "w3")), pad_token="w0", eos_token="w1", bos_token="w2"
    )


@torch.no_grad()
def _check_saved(model: PreTrainedModel, its_tokenizer: object, folder: Path, family: str) -> None:
    """A policy and a value model that were saved and loaded again compute the same."""
    sequences = _sequences()
    save_policy(model, its_tokenizer, folder)  # type: ignore[arg-type]
    again, _ = load_policy(folder)
    _same(packed_logps(again, sequences, 64), packed_logps(model, sequences, 64), f"{family}: saved and loaded")
    value = build_value_model(model)
    torch.nn.init.normal_(value.head.weight, generator=torch.Generator().manual_seed(0))
    value.save(folder / "value")
    packed = fitted(Layout(64, 400), value).pack(sequences, None, torch.device("cpu"))[0]
    _same(response_values(ValueModel.load(folder / "value"), packed), response_values(value, packed), f"{family}: value model")


def _sequences() -> list[TokenSequence]:
    numbers = generator(3, "families")
    found: list[TokenSequence] = []
    for prompt, response in _LENGTHS:
        ids = numbers.integers(3, VOCABULARY, size=prompt + response)
        shared = found[0].prompt_ids if found and prompt == len(found[0].prompt_ids) else ids[:prompt]
        found.append(TokenSequence(shared, ids[prompt:]))
    return found


def _same(found: Tensor, true: Tensor, what: str) -> None:
    difference = (found.double() - true.double()).abs() / true.double().abs().clamp_min(1.0)
    if found.shape != true.shape or not float(difference.max()) <= CLOSE:
        raise WrongError(f"{what} differs by {float(difference.max()):.2g}")
