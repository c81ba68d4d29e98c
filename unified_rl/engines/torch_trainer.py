"""Trains any model role from a declared loss: packed micro-batches, one backward each, one optimiser step. Blind to methods.

The result does not depend on how the update was split: a loss arrives with its weights already fixed over the whole batch, and
micro-batch losses are summed, never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unified_rl.engines.packing import PackedRows, TokenSequence, pack
from unified_rl.engines.policy_model import Forward, plain_forward, response_logps, response_values
from unified_rl.engines.ranks import shares
from unified_rl.errors import CheckpointError, TrainingError
from unified_rl.types import ONE_RANK, Ranks

#: What a role computes per response token: name -> [N], in the order of `packed.sequence_N`.
Outputs = dict[str, Tensor]
Role = Callable[[nn.Module, PackedRows], Outputs]
#: A loss: (outputs as right-padded [b, T], indices [b] of these sequences in the update's batch) -> scalar to be minimised.
Loss = Callable[[Outputs, Tensor], Tensor]


def policy_role(temperature: float, forward: Forward = plain_forward) -> Role:
    """Outputs "logp" and "entropy" (no gradient), in nats, at the sampling temperature; `forward` runs the decoder."""

    def outputs(model: nn.Module, packed: PackedRows) -> Outputs:
        logp_N, entropy_N = response_logps(model, packed, temperature, forward)
        return {"logp": logp_N, "entropy": entropy_N}

    return outputs


def value_role(forward: Forward = plain_forward) -> Role:
    """Output "value": the expected return where each response token is chosen."""
    return lambda model, packed: {"value": response_values(model, packed, forward)}


@dataclass(frozen=True)
class Layout:
    """How sequences are packed: memory and speed depend on it, results do not."""

    row_tokens: int
    micro_batch_tokens: int

    def pack(self, sequences: Sequence[TokenSequence], unit_B: np.ndarray | None, device: torch.device) -> list[PackedRows]:
        packed = pack(sequences, row_tokens=self.row_tokens, micro_batch_tokens=self.micro_batch_tokens, unit_B=unit_B)
        return [micro_batch.to(device) for micro_batch in packed]


@dataclass(frozen=True)
class AdamWOptions:
    """AdamW with warm-up and a schedule in updates: "constant", or "linear" to zero after `total_updates`."""

    learning_rate: float
    total_updates: int
    schedule: str = "constant"
    warmup_updates: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    max_grad_norm: float = 1.0

    def rate(self, update: int) -> float:
        """The learning rate of update 0, 1, 2 ..."""
        warm = min(1.0, (update + 1) / self.warmup_updates) if self.warmup_updates else 1.0
        decay = 1.0 - update / self.total_updates if self.schedule == "linear" else 1.0
        return self.learning_rate * warm * max(decay, 0.0)


@dataclass(frozen=True)
class UpdateReport:
    """loss: the update's summed loss. grad_norm: before clipping. learning_rate: of this update."""

    loss: float
    grad_norm: float
    learning_rate: float


@torch.no_grad()
def evaluate_role(
    model: nn.Module, role: Role, sequences: Sequence[TokenSequence], layout: Layout, ranks: Ranks = ONE_RANK
) -> Outputs:
    """A role's outputs for whole sequences, as right-padded [B, T] (0 where there is no token), without gradient.

    Each rank computes its share of the sequences and gets the outputs of all.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = share_of_units(sequences, None, ranks)
    own: Outputs = {}
    for packed in layout.pack([sequences[row] for row in rows], None, device) if len(rows) else ():
        for name, values_N in role(model, packed).items():
            if name not in own:
                own[name] = torch.zeros(len(rows), longest(sequences), dtype=values_N.dtype, device=device)
            own[name][packed.sequence_N, packed.token_N] = values_N
    if ranks.size == 1:
        return own
    return whole_outputs(ranks.gather((rows, {name: values.cpu() for name, values in own.items()})), device)


def share_of_units(sequences: Sequence[TokenSequence], unit_B: np.ndarray | None, ranks: Ranks) -> np.ndarray:
    """Rows [b], ascending, of the sequences that this rank works on: whole units, dealt evenly by their tokens."""
    unit_B = np.arange(len(sequences)) if unit_B is None or ranks.size == 1 else np.unique(unit_B, return_inverse=True)[1]
    tokens_B = [sequence.input_tokens for sequence in sequences]
    dealt = shares(np.bincount(unit_B, weights=tokens_B).astype(int).tolist(), ranks.size)
    return np.flatnonzero(np.isin(unit_B, dealt[ranks.rank]))


def whole_outputs(gathered: Sequence[tuple[np.ndarray, Outputs]], device: torch.device) -> Outputs:
    """Outputs of all sequences from those of the ranks' shares."""
    num_sequences = sum(len(rows) for rows, _ in gathered)
    whole: Outputs = {}
    for rows, part in gathered:
        for name, values in part.items():
            if name not in whole:
                whole[name] = torch.zeros(num_sequences, values.shape[1], dtype=values.dtype, device=device)
            whole[name][torch.from_numpy(rows).to(device)] = values.to(device)
    return whole


class TorchTrainer:
    """One model, its role and its optimiser; on several ranks a copy on each, kept equal by summed gradients."""

    def __init__(self, model: nn.Module, role: Role, options: AdamWOptions, layout: Layout, ranks: Ranks = ONE_RANK) -> None:
        self.model = model
        self._role, self._options, self._layout, self._ranks = role, options, layout, ranks
        self._named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [parameter for _, parameter in self._named],
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
        """
        self.model.eval()  # dropout off: the ratio to the sampler's log-probs must be 1 before the first update
        self._optimizer.zero_grad(set_to_none=True)
        total = self._backward(sequences, loss, unit_B)
        self._sum_gradients()
        norm = nn.utils.clip_grad_norm_([parameter for _, parameter in self._named], self._options.max_grad_norm).item()
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                f"update {self.updates}: the loss is {total} and the gradient norm {norm}; this update was not made"
            )
        return self._step(total, norm)

    def _backward(self, sequences: Sequence[TokenSequence], loss: Loss, unit_B: np.ndarray | None) -> float:
        """Gradients of this rank's share; the loss of all."""
        num_tokens, total = longest(sequences), 0.0
        rows = share_of_units(sequences, unit_B, self._ranks)
        own = [sequences[row] for row in rows]
        rows_b = torch.from_numpy(rows).to(self._device)
        for packed in self._layout.pack(own, None if unit_B is None else unit_B[rows], self._device) if own else ():
            outputs = {name: packed.scatter(values_N, num_tokens) for name, values_N in self._role(self.model, packed).items()}
            micro_loss = loss(outputs, rows_b[packed.sequences_b])
            micro_loss.backward()
            total += micro_loss.item()
        return sum(self._ranks.gather(total))

    def _sum_gradients(self) -> None:
        if self._ranks.size == 1:
            return
        for _, parameter in self._named:
            if parameter.grad is None:  # this rank's share was empty
                parameter.grad = torch.zeros_like(parameter)
        self._ranks.sum([parameter.grad for _, parameter in self._named if parameter.grad is not None])

    def _step(self, loss: float, norm: float) -> UpdateReport:
        rate = self._options.rate(self.updates)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self.updates += 1
        return UpdateReport(loss, norm, rate)

    @property
    def _device(self) -> torch.device:
        return self._named[0][1].device

    def whole_model(self) -> nn.Module | None:
        """The model, on the first rank: for saving. None on the others."""
        return self.model if self._ranks.first else None

    def save(self, path: Path) -> None:
        """Write the optimiser's state (not the weights) to a safetensors file; the first rank does, for all."""
        if not self._ranks.first:
            return
        state = {"updates": torch.tensor(self.updates)}
        for name, parameter in self._named:
            for key, value in self._optimizer.state.get(parameter, {}).items():
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
        self.updates = int(state.pop("updates"))
        parameters = dict(self._named)
        for key, value in state.items():
            kind, _, name = key.partition("/")
            if name not in parameters:
                raise CheckpointError(
                    f"{path} holds the state of {name!r}, which the model does not have; is it another model's?"
                )
            self._optimizer.state[parameters[name]][kind] = value.to(parameters[name].device)


def longest(sequences: Sequence[TokenSequence]) -> int:
    return max((len(sequence.response_ids) for sequence in sequences), default=0)
