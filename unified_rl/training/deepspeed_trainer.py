"""Trains any model role with DeepSpeed's ZeRO: optimiser state, gradients and weights divided among the ranks.

The same protocol as the torch trainer, and the same numbers: a loss is a sum whose weights are fixed over the whole update, so the
gradients of all micro-batches of all ranks are added. DeepSpeed averages over ranks; the loss is multiplied by their number.

ZeRO-3 gathers each layer's weights from all ranks for every pass, so all ranks must make equally many passes. Ranks hold different
numbers of tokens; those with fewer micro-batches make up for it with passes of weight zero.

DeepSpeed is imported only when a trainer is built. docs/engines.md has the launch lines.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from unified_rl.base.errors import ConfigError, TrainingError
from unified_rl.base.types import ONE_RANK, Ranks
from unified_rl.config.engines import DeepSpeedConfig
from unified_rl.models.adapters import is_adapted
from unified_rl.models.roles import Outputs, Role
from unified_rl.models.traits import fitted
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import PackedRows, TokenSequence
from unified_rl.records.progress import one_by_one
from unified_rl.training import deepspeed_checkpoint
from unified_rl.training.batch import Batch, Share
from unified_rl.training.deepspeed_settings import engine_settings, import_deepspeed
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.passes import put
from unified_rl.training.protocol import Loss, UpdateReport
from unified_rl.training.shares import in_order, whole_outputs
from unified_rl.training.weight_sync import whole_weights


class DeepSpeedTrainer:
    """One model, its role and its optimiser, divided among the ranks as `settings` say. All ranks call every method together.

    Attributes:
        model: the module given; its weights are whole outside a pass up to ZeRO-2, not with ZeRO-3.
        updates: updates made.
    """

    def __init__(
        self,
        model: nn.Module,
        role: Role,
        options: AdamWOptions,
        layout: Layout,
        settings: DeepSpeedConfig,
        ranks: Ranks = ONE_RANK,
    ) -> None:
        self.model, self.updates = model, 0
        self._options, self._layout, self._settings, self._ranks = options, fitted(layout, model), settings, ranks
        weights = next(model.parameters())
        self._device = weights.device
        self._blank = _without_weights(model)
        self._deepspeed = import_deepspeed(self._device)
        self._engine, *_ = self._deepspeed.initialize(
            model=_RoleModule(model, role),
            model_parameters=[parameter for parameter in model.parameters() if parameter.requires_grad],
            config=engine_settings(options, settings, weights.dtype, self._device, ranks.size),
            dist_init_required=False,
        )
        self._engine.eval()
        if settings.activation_checkpointing == "layers":
            _checkpoint_layers(model)

    # ---- passes ------------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def outputs(self, sequences: Sequence[TokenSequence]) -> Outputs:
        """The role's outputs [B, T] under the present weights, without gradient, whole on every rank."""
        batch = Batch.of(sequences)
        share = self._share(batch, None)
        own: Outputs = {}
        for packed, counts in one_by_one("log-probs, pass", self._passes(batch, share)):
            found = self._engine(packed)
            if counts:
                put(own, found, packed, (len(share.rows), batch.longest))
        gathered = self._ranks.gather((share.rows, {name: values.cpu() for name, values in own.items()}))
        return whole_outputs(gathered, self._device)

    def update(self, sequences: Sequence[TokenSequence], loss: Loss, unit_B: np.ndarray | None = None) -> UpdateReport:
        """One optimiser step on the sum of all ranks' micro-batch losses.

        Args:
            unit_B: sequences with equal numbers (a pair, a group) reach `loss` together.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are then unchanged.
        """
        total = self._backward(Batch.of(sequences), loss, unit_B)
        rate = self._options.rate(self.updates)
        norm = self._step(rate) if math.isfinite(total) else math.nan
        if not math.isfinite(norm):
            raise TrainingError(
                f"update {self.updates}: the loss is {total} and the gradient norm {norm}; this update was not made"
            )
        self.updates += 1
        return UpdateReport(total, norm, rate)

    def _backward(self, batch: Batch, loss: Loss, unit_B: np.ndarray | None) -> float:
        """Leaves the sum of all ranks' gradients with the engine; returns the loss of all, read from the device at the end."""
        share, losses = self._share(batch, unit_B), [torch.zeros((), dtype=torch.float64, device=self._device)]
        passes = self._passes(batch, share)
        for index, (packed, counts) in enumerate(one_by_one("update, pass", passes)):
            self._engine.set_gradient_accumulation_boundary(index == len(passes) - 1)
            outputs = self._engine(packed)
            if counts:
                scattered = {name: packed.scatter(values_N, batch.longest) for name, values_N in outputs.items()}
                micro_loss = loss(scattered, packed.members(share.rows_b))
                losses.append(micro_loss.detach().double())
            else:
                micro_loss = torch.stack(
                    [values_N.sum() * 0.0 for values_N in outputs.values() if values_N.requires_grad]
                ).sum()
            self._engine.backward(micro_loss * self._ranks.size, scale_wrt_gas=False)
        return sum(self._ranks.gather(in_order(torch.stack(losses).tolist())))

    def _share(self, batch: Batch, unit_B: np.ndarray | None) -> Share:
        return batch.share(self._layout, unit_B, self._ranks, self._device)

    def _passes(self, batch: Batch, share: Share) -> list[tuple[PackedRows, bool]]:
        """This rank's micro-batches, each with whether it counts; as many on every rank.

        All of them before the first pass: the ranks agree on their number here, and in a pass they exchange weights.
        """
        missing = max(self._ranks.gather(len(share.micro_batches))) - len(share.micro_batches)
        shortest = min(batch, key=lambda sequence: sequence.input_tokens)
        padding = [*self._layout.pack([shortest], None, self._device)] * missing
        return [*((packed, True) for packed in share.micro_batches), *((packed, False) for packed in padding)]

    def _step(self, rate: float) -> float:
        """Clip and step; the gradient's norm before clipping. Not finite: no step was made."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        if self._settings.zero_stage == 0:
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), self._options.max_grad_norm).item()
            if math.isfinite(norm):
                self._engine.step()
            return norm
        self._engine.step()
        return float(self._engine.get_global_grad_norm())

    # ---- weights -----------------------------------------------------------------------------------------------------------

    def empty_copy(self) -> nn.Module:
        """A plain copy of the model on its device, whose weights are yet to be filled in."""
        return self._copy({name: torch.empty_like(p, device=self._device) for name, p in self._blank.named_parameters()})

    def whole_model(self) -> nn.Module | None:
        """On the first rank a copy of the model in host memory, gathered tensor by tensor: for saving. None on the others.

        Of a model with an adapter what is trained, and no memory for the rest.
        """
        first, adapted = self._ranks.first, is_adapted(self.model)
        wanted = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad or not adapted}
        weights = {name: weight.cpu() for name, weight in whole_weights(self.model, wanted) if first}
        return self._copy(weights) if first else None

    def _copy(self, weights: dict[str, Tensor]) -> nn.Module:
        blank = self._blank.named_parameters()
        filled = {id(parameter): nn.Parameter(weights[name]) for name, parameter in blank if name in weights}
        return copy.deepcopy(self._blank, filled)

    # ---- checkpoints -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the optimiser's state, each rank its part. Raises CheckpointError."""
        deepspeed_checkpoint.save(self._engine, folder, self.updates, self._ranks, whole=not is_adapted(self.model))

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote, also on another number of ranks. Raises CheckpointError."""
        self.updates = deepspeed_checkpoint.load(self._engine, folder, self._ranks, whole=not is_adapted(self.model))


class _RoleModule(nn.Module):
    """A role as a module's forward pass: ZeRO-3 gathers weights for modules, and for what they read of their submodules."""

    def __init__(self, model: nn.Module, role: Role) -> None:
        super().__init__()
        self.model = model
        self._role = role

    def forward(self, packed: PackedRows) -> Outputs:
        return self._role(self.model, packed)


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy of the model that takes no memory for its weights."""
    empty = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, empty)


def _checkpoint_layers(model: nn.Module) -> None:
    """Activation checkpointing of the decoder's layers, dropout staying off.

    Layers checkpoint only in training mode; it is set on the layers themselves and not on what is inside them.

    Raises:
        ConfigError: a model with dropout, or whose layers cannot be checkpointed.
    """
    for part in model.modules():
        if not isinstance(part, PreTrainedModel):
            continue
        for name, value in part.config.to_dict().items():
            if name.endswith(("dropout", "pdrop")) and isinstance(value, float) and value > 0:
                raise ConfigError(
                    f"deepspeed.activation_checkpointing=layers would switch the model's {name}={value} on; set it to 0 in the "
                    "model's config.json, or set deepspeed.activation_checkpointing=none"
                )
    layers = [part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(
            f"{type(model).__name__} has no layers that can be checkpointed; set deepspeed.activation_checkpointing=none"
        )
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            part.gradient_checkpointing_enable({"use_reentrant": False})
    for layer in layers:
        layer.training = True
