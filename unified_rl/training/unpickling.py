"""Trainer states that another library unpickles, looked at first: they may hold tensors and a few plain classes, nothing else.

DeepSpeed 0.19.8 reads its parts with `torch.load(..., weights_only=False)` (torch_checkpoint_engine.py, ds_to_universal.py), which
executes what a pickle asks for. A hash does not help against whoever made the file. So each part is read once by torch's restricted
unpickler; what that accepts does nothing else in the other.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unified_rl.base.errors import CheckpointError

#: Classes of its own that DeepSpeed writes into its parts, by module and name. Making one of them does nothing else.
CLASSES = (
    ("deepspeed.runtime.zero.config", "ZeroStageEnum"),
    ("deepspeed.runtime.fp16.loss_scaler", "LossScaler"),
    ("deepspeed.runtime.fp16.loss_scaler", "DynamicLossScaler"),
    ("deepspeed.utils.tensor_fragment", "fragment_address"),
)


def check_parts(folder: Path) -> None:
    """Look at every part of a trainer's state below a folder.

    Raises:
        CheckpointError: one asks for more than tensors and `CLASSES`, or is no file of torch.save.
    """
    with torch.serialization.safe_globals(_classes()):
        for path in sorted(folder.rglob("*.pt")):
            try:
                torch.load(path, map_location="cpu", mmap=True, weights_only=True)
            except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
                said = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise CheckpointError(
                    f"{path}: holds more than a trainer's state, or is damaged, and is not read ({said[:200]}); resume from a "
                    "checkpoint of your own"
                ) from error


def _classes() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    found: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = []
    for module, name in CLASSES:
        try:
            found.append((getattr(importlib.import_module(module), name), f"{module}.{name}"))
        except (ImportError, AttributeError):  # another version of DeepSpeed, or none
            continue
    return found
