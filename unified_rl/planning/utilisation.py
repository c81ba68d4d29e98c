"""What share of a GPU's peak training reached where it was measured, by shape and card: the planner's assumption, by name.

The figures are of `unified-rl bench gpu`: one packed micro-batch of 4,096 tokens in bfloat16, forward and backward with a stateless
SGD step. Its results are kept in experiments/results/gpu/.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """card: a name of `GPUS`. shape: the stack's. kept, again: model-FLOPs utilisation, layers' activations kept or run again."""

    card: str
    shape: str
    parameters: int
    kept: float
    again: float


MEASURED = (
    Measured("H100-80GB", "0.5B", 494_032_768, 0.10, 0.06),
    Measured("H100-80GB", "1.3B", 1_346_471_936, 0.23, 0.18),
    Measured("H100-80GB", "7B", 6_910_365_696, 0.31, 0.25),
)


def utilisation(card: str, parameters: int, checkpointing: str) -> tuple[float, str]:
    """Model-FLOPs utilisation of the measured shape that is nearest in size, and where the figure is from.

    Args:
        card: planned for; its own measurements, or else all there are. checkpointing: "none" or "layers".
    """
    own = [one for one in MEASURED if one.card == card]
    nearest = min(own or MEASURED, key=lambda one: abs(math.log(one.parameters / parameters)))
    says = f"measured with {nearest.shape} on {nearest.card}" + ("" if own else f", not on {card}")
    return (nearest.kept if checkpointing == "none" else nearest.again), says
