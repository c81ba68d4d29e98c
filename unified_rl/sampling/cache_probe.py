"""Whether a model decodes rightly by a cache of keys and values: some tokens drawn that way, against its plain passes over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from transformers import PreTrainedModel

from unified_rl.base.types import Decoding, Problem, Prompt, Response
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.probing import probe_ids, quiet
from unified_rl.models.reach import short_windows
from unified_rl.models.traits import rows_of

#: Responses to prompts, one each, drawn beside each other by a cache.
Drawn = Callable[[Sequence[Prompt], Decoding], list[Response]]

_BY_CACHE = "_decodes_by_cache"
#: Largest difference of a token's log-prob to that of a plain pass, in nats; in lower precision of the median token.
_CLOSE = {torch.bfloat16: 0.1, torch.float16: 0.05}
_EXACT = 1e-4
#: Lengths of prompts, and tokens drawn after each: with short windows, beyond them.
_PROMPTS, _TOKENS = (9, 2, 5), 6


def decodes_by_cache(model: PreTrainedModel, draw: Drawn) -> bool:
    """Whether `draw` gives the log-probs of the model's plain passes: tried once, and kept with the model and its copies.

    A model that is not told positions counts them itself, and would count the slots of the cache that hold nothing.
    """
    if not hasattr(model, _BY_CACHE):
        setattr(model, _BY_CACHE, rows_of(decoder_of(model)) == "shared prompts" and _is_right(model, draw))
    found: bool = getattr(model, _BY_CACHE)
    return found


def _is_right(model: PreTrainedModel, draw: Drawn) -> bool:
    prompts = [Prompt(Problem(str(length), "", ""), tuple(probe_ids(model, length, length).tolist())) for length in _PROMPTS]
    try:
        with short_windows(decoder_of(model).config):
            responses = draw(prompts, Decoding(max_new_tokens=_TOKENS))
            errors = np.concatenate([_error(model, *pair) for pair in zip(prompts, responses, strict=True)])
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError, NotImplementedError):
        return False  # a model that takes no such cache says so in its own way
    return bool(np.median(errors) < _CLOSE[model.dtype] if model.dtype in _CLOSE else errors.max() < _EXACT)


def _error(model: PreTrainedModel, prompt: Prompt, response: Response) -> np.ndarray:
    """|difference| of the response's log-probs [T] to those of a plain pass; relative where they are larger than 1."""
    ids = torch.tensor([[*prompt.token_ids, *response.token_ids.tolist()]], device=model.device)
    with quiet(model):
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt.token_ids) - 1 : -1].float()
    logp = torch.log_softmax(logits, dim=-1).gather(-1, ids[0, len(prompt.token_ids) :, None])[:, 0].cpu().numpy()
    return np.abs(logp - response.behaviour_logp) / np.maximum(1.0, np.abs(logp))


class NoText:
    """In place of a tokenizer: nobody reads what is drawn here."""

    eos_token_id = None
    all_special_ids: ClassVar[list[int]] = []

    def __len__(self) -> int:
        return 0

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return []

    def decode(self, token_ids: list[int], skip_special_tokens: bool = True) -> str:
        return ""
