"""Trying a model out without a trace: in evaluation mode, without gradient, on token ids that mean nothing special to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.rng import generator


@contextmanager
def quiet(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode without gradient; every module's training flag is put back."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in training.items():
            module.training = flag


def probe_ids(model: PreTrainedModel, count: int, stream: int = 0) -> Tensor:
    """`count` ids int64 [count] on the model's device, always the same ones: none that the configuration gives a meaning."""
    embeddings: Any = model.get_input_embeddings()
    size = int(getattr(model.config.get_text_config(decoder=True), "vocab_size", 0) or embeddings.weight.shape[0])
    special = _special(model.config.to_dict())
    ordinary = [token for token in range(min(size, 4096)) if token not in special] or [0]
    picked = generator(stream, "probe").integers(len(ordinary), size=count)
    return torch.tensor([ordinary[index] for index in picked], device=embeddings.weight.device)


def _special(settings: dict[str, Any]) -> set[int]:
    """Values of all settings named like the id of a token, in nested configurations too."""
    found: set[int] = set()
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _special(value)
        elif str(name).endswith(("token_id", "token_index")):
            found |= {one for one in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(one, int)}
    return found
