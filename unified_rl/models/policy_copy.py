"""A frozen copy of the policy that is being trained, for a source that samples from older weights."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unified_rl.base import files

WEIGHTS, STATE = "weights.safetensors", "state.json"


Module = TypeVar("Module", bound=nn.Module)


class FrozenCopy(Generic[Module]):
    """A copy of a module that follows it only when told to. Implements `sources.refreshed.PolicyCopy`.

    Attributes:
        model: the copy, a module of its own. version: the updates behind its weights.
    """

    def __init__(self, live: Module) -> None:
        self._live = live
        self.model = copy.deepcopy(live).requires_grad_(False)
        self.version = 0

    @torch.no_grad()
    def refresh(self, version: int) -> None:
        """Take over the live module's present weights, bit for bit; `version` is the number of updates behind them."""
        self.model.load_state_dict(self._live.state_dict())
        self.version = version

    def save(self, folder: Path) -> None:
        """Write weights and version to a new folder."""
        folder.mkdir()
        # Tied weights share memory, which safetensors refuses; each name is written with its own values.
        weights = {name: value.detach().cpu().clone().contiguous() for name, value in self.model.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        files.write_json(folder / STATE, {"version": self.version})

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote."""
        self.model.load_state_dict(load_file(folder / WEIGHTS))
        self.version = int(json.loads((folder / STATE).read_text(encoding="utf-8"))["version"])
