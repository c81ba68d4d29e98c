"""What share of a GPU's peak training reached where it was measured, by shape and card: the planner's assumption, by name.

One packed micro-batch of 4,096 tokens in bfloat16, forward and backward with a stateless SGD step, as `bench gpu` has it; where
each figure is from, and on which state of the code, says experiments/results/gpu/README.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """card: a name of `GPUS`. shape: the stack's. compiled: with `trainer.compiled`. kept, again: model-FLOPs utilisation of the
    whole pass, layers' activations kept or run again."""

    card: str
    shape: str
    parameters: int
    compiled: bool
    kept: float
    again: float


#: The plain passes of the smaller shapes are from before the block masks, and all from before the present head: nobody has
#: measured a whole pass with it.
MEASURED = (
    Measured("H100-80GB", "0.5B", 494_032_768, False, 0.10, 0.06),
    Measured("H100-80GB", "1.3B", 1_346_471_936, False, 0.23, 0.18),
    Measured("H100-80GB", "7B", 6_910_365_696, False, 0.361, 0.295),
    Measured("H100-80GB", "0.5B", 494_032_768, True, 0.137, 0.114),
    Measured("H100-80GB", "1.3B", 1_346_471_936, True, 0.415, 0.295),
    Measured("H100-80GB", "7B", 6_910_365_696, True, 0.434, 0.352),
)


def utilisation(card: str, parameters: int, checkpointing: str, compiled: bool) -> tuple[float, str]:
    """Model-FLOPs utilisation of the measured shape that is nearest in size, and where the figure is from.

    Args:
        card: planned for; its own measurements, or else all there are. checkpointing: "none" or "layers". compiled: the pass is.
    """
    alike = [one for one in MEASURED if one.compiled == compiled]
    own = [one for one in alike if one.card == card]
    nearest = min(own or alike, key=lambda one: abs(math.log(one.parameters / parameters)))
    way = "compiled" if compiled else "not compiled"
    says = f"measured with {nearest.shape}, {way}, on {nearest.card}" + ("" if own else f", not on {card}")
    return (nearest.kept if checkpointing == "none" else nearest.again), says
