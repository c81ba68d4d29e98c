"""What `unified-rl bench gpu` measures, in which order, and the seconds that are kept for each part. No torch.

The seconds are what an H100 is taken to need with nothing compiled before (not measured). What a part leaves over goes to
those after it: a part may take longer than is kept for it, but never what is kept for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds that the whole run may take.
BUDGET = 235.0
#: Of these, until the first part begins: the interpreter, torch and the device's context.
START = 10.0
#: Below so many seconds no part is begun.
LEAST = 3.0
PARTS = ("training", "head", "attention", "decoding", "step", "deepspeed")
KEPT, AGAIN = "none", "layers"
_LARGEST, _OTHERS = 26.0, 18.0


@dataclass(frozen=True)
class Task:
    """One part on one shape. seconds: kept for it. way: of training, whether layers are kept or run again."""

    part: str
    shape: str
    seconds: float
    way: str = ""


def tasks(shapes: Sequence[str], parts: Sequence[str] = ()) -> list[Task]:
    """In order, those that goals are set for first. Parts of one shape take the largest, the middle or the smallest.

    Args:
        shapes: largest first. parts: of `PARTS`; () = all.
    """
    largest, middle, smallest, others = shapes[0], shapes[len(shapes) // 2], shapes[-1], shapes[1:]
    every = [
        Task("decoding", smallest, 12.0),
        Task("training", largest, _LARGEST, KEPT),
        Task("training", largest, 12.0, AGAIN),
        *(Task("training", name, _OTHERS, KEPT) for name in others),
        *(Task("head", name, 4.0) for name in shapes),
        Task("attention", largest, 6.0),
        Task("step", smallest, 95.0),
        Task("deepspeed", middle, 22.0),
        *(Task("training", name, 0.0, AGAIN) for name in others),  # no goal is set for these: if there is time
    ]
    return [task for task in every if not parts or task.part in parts]


def allowed(left: float, task: Task, later: Sequence[Task]) -> float:
    """Seconds that a task may take now: all that is left but what is kept for the later ones, and no less than is kept for it."""
    return max(left - sum(other.seconds for other in later), min(task.seconds, left))
