"""What a model role computes on packed rows: log-probs and entropies for a policy, expected returns for a value model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.models.forward import Forward, plain_forward, response_outputs, response_values
from unified_rl.packing.packed_rows import PackedRows

#: What a role computes per response token: name -> [N], in the order of `packed.sequence_N`.
Outputs = dict[str, Tensor]
Role = Callable[[Any, PackedRows], Outputs]


def policy_role(
    temperature: float,
    forward: Forward = plain_forward,
    differentiated: frozenset[str] = frozenset(),
    beside: frozenset[str] = frozenset(),
    teacher: PreTrainedModel | None = None,
    share: float = 0.5,
) -> Role:
    """Outputs "logp" and "entropy", in nats, at the sampling temperature; `forward` runs the decoder.

    Args:
        differentiated: outputs beside "logp" that carry a gradient, because a loss asks for it.
        beside: further outputs of the head's pass that a coefficient or a loss reads. teacher: whom the divergences among them
            are from. share: the teacher's in the mixture of "jsd".
    """
    names = ("logp", "entropy", *sorted((differentiated | beside) - {"logp", "entropy"}))

    def outputs(model: PreTrainedModel, packed: PackedRows) -> Outputs:
        return response_outputs(
            model,
            packed,
            names,
            temperature=temperature,
            forward=forward,
            differentiated={"logp", *differentiated},
            teacher=teacher,
            share=share,
        )

    return outputs


def value_role(forward: Forward = plain_forward) -> Role:
    """Output "value": the expected return where each response token is chosen."""
    return lambda model, packed: {"value": response_values(model, packed, forward)}
