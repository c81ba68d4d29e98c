"""Trains any model role from a declared loss: packed micro-batches, one backward each, one optimiser step. Blind to methods.

The result does not depend on how the update was split: a loss arrives with its weights already fixed over the whole batch, and
micro-batch losses are summed, never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unified_rl.base.errors import CheckpointError, TrainingError
from unified_rl.base.types import ONE_RANK, Ranks
from unified_rl.models.roles import Outputs, Role
from unified_rl.models.traits import fitted
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.records.progress import one_by_one
from unified_rl.training.batch import Batch
from unified_rl.training.loss_scale import GradientOverflow, LossScale
from unified_rl.training.master_weights import MasterWeights
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.passes import evaluate_role
from unified_rl.training.protocol import Loss, UpdateReport
from unified_rl.training.shares import in_order

#: What the file of the optimiser's state calls a float32 master.
_MASTER = "master"
#: And the scale of a float16 loss, with the updates that have fitted it.
_SCALE = "loss_scale"


class TorchTrainer:
    """One model, its role and its optimiser; on several ranks a copy on each, kept equal by summed gradients."""

    def __init__(self, model: nn.Module, role: Role, options: AdamWOptions, layout: Layout, ranks: Ranks = ONE_RANK) -> None:
        self.model = model
        self._role, self._options, self._layout, self._ranks = role, options, fitted(layout, model), ranks
        self._named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        lowest = torch.float16 if any(one.dtype == torch.float16 for _, one in self._named) else torch.float32
        self._scale = LossScale(lowest)
        self._weights = MasterWeights([parameter for _, parameter in self._named], self._scale)
        self._optimizer = torch.optim.AdamW(
            self._weights.masters,
            lr=options.learning_rate,
            betas=options.betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.updates = 0

    def outputs(self, sequences: Sequence[TokenSequence]) -> Outputs:
        """The role's outputs [B, T] under the present weights, without gradient."""
        return evaluate_role(self.model, self._role, sequences, self._layout, self._ranks)

    def update(self, sequences: Sequence[TokenSequence], loss: Loss, unit_B: np.ndarray | None = None) -> UpdateReport:
        """One optimiser step on the sum of the micro-batches' losses.

        Args:
            unit_B: sequences with equal numbers (a pair, a group) reach `loss` together.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are then unchanged.
            GradientOverflow: as `loss_scale` says, in float16.
        """
        self.model.eval()  # dropout off: the ratio to the sampler's log-probs must be 1 before the first update
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._backward(Batch.of(sequences), loss, unit_B)
        self._sum_gradients()
        grad_norm = nn.utils.clip_grad_norm_(self._weights.masters, self._options.max_grad_norm)
        *found, norm = torch.stack([value.double() for value in (*losses, grad_norm)]).tolist()
        total = sum(self._ranks.gather(in_order(found)))
        if math.isfinite(total) and not math.isfinite(norm) and self._scale.lower():
            raise GradientOverflow(f"update {self.updates}: the gradient norm is {norm}")
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                f"update {self.updates}: the loss is {total} and the gradient norm {norm}; this update was not made"
            )
        return self._step(total, norm)

    def _backward(self, batch: Batch, loss: Loss, unit_B: np.ndarray | None) -> list[Tensor]:
        """Gradients of this rank's share; its micro-batches' losses, which stay on the device."""
        share, losses = batch.share(self._layout, unit_B, self._ranks, self._device), []
        for packed in one_by_one("update, pass", share.micro_batches):
            outputs = {
                name: packed.scatter(values_N, batch.longest) for name, values_N in self._role(self.model, packed).items()
            }
            micro_loss = loss(outputs, packed.members(share.rows_b))
            (micro_loss * self._scale.value).backward()
            losses.append(micro_loss.detach())
        self._weights.unscale()
        return losses

    def _sum_gradients(self) -> None:
        if self._ranks.size == 1:
            return
        for master in self._weights.masters:
            if master.grad is None:  # this rank's share was empty
                master.grad = torch.zeros_like(master)
        self._ranks.sum([master.grad for master in self._weights.masters if master.grad is not None])

    def _step(self, loss: float, norm: float) -> UpdateReport:
        rate = self._options.rate(self.updates)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._weights.to_model()
        self._scale.passed()
        self.updates += 1
        return UpdateReport(loss, norm, rate)

    @property
    def _device(self) -> torch.device:
        return self._named[0][1].device

    def whole_model(self) -> nn.Module | None:
        """The model, on the first rank: for saving. None on the others."""
        return self.model if self._ranks.first else None

    def save(self, path: Path) -> None:
        """Write the optimiser's state to a safetensors file, float32 masters included; the first rank does, for all."""
        if not self._ranks.first:
            return
        state = {"updates": torch.tensor(self.updates)}
        if self._scale.moves:
            state[_SCALE] = torch.tensor([self._scale.value, self._scale.fitted], dtype=torch.float64)
        for (name, parameter), master in zip(self._named, self._weights.masters, strict=True):
            kept = {} if master is parameter else {_MASTER: master}
            for key, value in {**self._optimizer.state.get(master, {}), **kept}.items():
                state[f"{key}/{name}"] = value.detach().clone().contiguous()
        try:
            save_file(state, path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: cannot write the optimiser's state ({error}); free space, then resume") from error

    def load(self, path: Path) -> None:
        """Read back what `save` wrote. Raises CheckpointError where it does not fit the model."""
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{path}: cannot read the optimiser's state ({error}); resume from an earlier checkpoint"
            ) from error
        masters = {name: master for (name, _), master in zip(self._named, self._weights.masters, strict=True)}
        self._check_state(path, state, masters)
        self.updates = int(state.pop("updates"))
        if self._scale.moves:
            value, fitted = state.pop(_SCALE).tolist()
            self._scale.value, self._scale.fitted = value, int(fitted)
        for key, value in state.items():
            kind, _, name = key.partition("/")
            master = masters[name]
            if kind == _MASTER:
                master.data.copy_(value)
            else:
                self._optimizer.state[master][kind] = value.to(master.device)
        self._weights.to_model()

    def _check_state(self, path: Path, state: Mapping[str, Tensor], masters: Mapping[str, nn.Parameter]) -> None:
        """Raise CheckpointError where a file's state is not that of this model in this precision."""
        unknown = {key.partition("/")[2] for key in state if key not in ("updates", _SCALE)} - set(masters)
        if unknown:
            raise CheckpointError(
                f"{path} holds the state of {min(unknown)!r}, which the model does not have; is it another model's?"
            )
        wanted = {name for name, parameter in self._named if masters[name] is not parameter}
        found = {key.removeprefix(f"{_MASTER}/") for key in state if key.startswith(f"{_MASTER}/")}
        if wanted != found or (_SCALE in state) != self._scale.moves:
            raise CheckpointError(
                f"{path} was written by a run of another precision; resume with the model.dtype that the run began with"
            )
