"""Whether a request's response depends on the requests that are served beside it: known, or measured on this machine.

The lean decoder of small Llamas is exact by construction (`fixed_shapes.py`). Other models go through their own modules, whose
products have as many rows as there are requests, and whether that shows in the last bits is for the matrix library to say.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding, Problem, Prompt, Response
from unified_rl.models.limits import context_limit
from unified_rl.sampling.cache_probe import NoText
from unified_rl.sampling.llama_decoder import LlamaDecoder
from unified_rl.sampling.torch_generator import TorchGenerator

Company = Literal["exact by construction", "exact as measured", "rounded", "not measured"]
"""How a response in company compares with the same alone: its bits are the same, were the same, differed, or nobody looked."""

MAX_PARAMETERS = 30_000_000
"""Above this a measurement takes too long to be made at the start of every run."""

COPIES = 16
"""Responses to a prompt in the measurement, a tile: no row is there to fill up, for the last ones are those that may differ.

Five prompts make 80 rows, more than the 64 from which some kernels take over; two make 32.
"""

_measured: dict[tuple[str, str, int], Company] = {}


def company(model: PreTrainedModel) -> Company:
    """What a response's company changes for this model, on this machine, with the present number of threads.

    The measurement takes about a second, and is made once per process, shape of model and number of threads. It draws on no
    random number generator but its own. Not made on a GPU, in less than float32 or for a large model.
    """
    if next(model.parameters()).device.type != "cpu":
        return "not measured"
    if LlamaDecoder.supports(model):
        return "exact by construction"
    if model.dtype != torch.float32 or sum(parameter.numel() for parameter in model.parameters()) > MAX_PARAMETERS:
        return "not measured"
    key = (type(model).__qualname__, model.config.to_json_string(use_diff=False), torch.get_num_threads())
    if key not in _measured:
        _measured[key] = "exact as measured" if _is_kept(model) else "rounded"
    return _measured[key]


def _is_kept(model: PreTrainedModel) -> bool:
    """Draw from prompts of several lengths, each alone, then many times in one call, in all places of a batch."""
    limit = min(context_limit(model.config)[0] or 128, 128)
    decoding = Decoding(max_new_tokens=max(1, min(3, limit // 4)))
    longest = limit - decoding.max_new_tokens
    lengths = sorted({max(1, longest // part) for part in (longest, 9, 4, 2, 1)})
    prompts = _prompts(lengths, cast(torch.Tensor, model.get_input_embeddings().weight).shape[0])
    alone = [_draw(model, [prompt], 1, decoding)[0][0] for prompt in prompts]
    for company_of in (prompts, prompts[-2:]):
        together = _draw(model, company_of, COPIES, decoding)
        pairs = zip(alone[-len(company_of) :], together, strict=True)
        if not all(_same(one, response) for one, group in pairs for response in group):
            return False
    return True


def _draw(model: PreTrainedModel, prompts: list[Prompt], copies: int, decoding: Decoding) -> list[list[Response]]:
    sampler = TorchGenerator(model, NoText(), eos_token_ids=[])
    return sampler.generate(prompts, [[0] * copies] * len(prompts), decoding, 0)


def _same(left: Response, right: Response) -> bool:
    same_tokens = np.array_equal(left.token_ids, right.token_ids)
    return same_tokens and np.array_equal(left.behaviour_logp, right.behaviour_logp)


def _prompts(lengths: list[int], vocabulary: int) -> list[Prompt]:
    numbers = generator(0, "company")
    return [
        Prompt(Problem(str(i), "", ""), tuple(numbers.integers(vocabulary, size=n).tolist())) for i, n in enumerate(lengths)
    ]
