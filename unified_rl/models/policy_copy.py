"""A frozen copy of the policy that is being trained, for a source that samples from older weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unified_rl.base import files

WEIGHTS, STATE = "weights.safetensors", "state.json"


Module = TypeVar("Module", bound=nn.Module)


class FrozenCopy(Generic[Module]):
    """A copy of a module that follows it only when told to. Implements `sources.refreshed.PolicyCopy`.

    Weights that are not trained, as those under an adapter, are shared with the module: nothing changes them.

    Attributes:
        model: the copy, a module of its own. version: the updates behind its weights.
    """

    def __init__(self, live: Module) -> None:
        self._live = live
        still = {id(weight): weight for weight in live.parameters() if not weight.requires_grad}
        self.model = copy.deepcopy(live, still).requires_grad_(False)
        self._follows = {name for name, weight in live.named_parameters(remove_duplicate=False) if weight.requires_grad}
        self.version = 0

    @torch.no_grad()
    def refresh(self, version: int) -> None:
        """Take over the live module's present weights, bit for bit; `version` is the number of updates behind them."""
        self._take({name: value for name, value in self._live.state_dict().items() if name in self._follows})
        self.version = version

    def save(self, folder: Path) -> None:
        """Write weights that change, and the version, to a new folder."""
        folder.mkdir()
        # Tied weights share memory, which safetensors refuses; each name is written with its own values.
        changing = {name: value for name, value in self.model.state_dict().items() if name in self._follows}
        weights = {name: value.detach().cpu().clone().contiguous() for name, value in changing.items()}
        save_file(weights, folder / WEIGHTS)
        files.write_json(folder / STATE, {"version": self.version})

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote."""
        self._take(load_file(folder / WEIGHTS))
        self.version = int(json.loads((folder / STATE).read_text(encoding="utf-8"))["version"])

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        missing, unknown = self.model.load_state_dict(weights, strict=False)
        assert not unknown and not self._follows.intersection(missing)
