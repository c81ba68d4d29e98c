"""What the sections of stages have in common: an entry of the chain, and how the learning rate goes. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from unified_rl.config.ranges import at_least, one_of, positive


@dataclass
class StageConfig:
    """An entry of section `stages`, which is the chain that is made before a run (docs/stages.md).

    kind: a module of `unified_rl/stages/kinds`, or FILE.py:NAME. inputs: role -> name of the stage that makes it; `init` is the one
        that the run starts from.
    settings: sections that this stage has otherwise than the run, e.g. {trainer: {steps: 100}, data: {demonstrations: [...]}}.
    """

    kind: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class LearningRateConfig:
    """The size of an update: schedule is constant | linear (to zero at the last step); warmup_steps: the rate's linear rise."""

    SECTION: ClassVar[str] = "trainer"

    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        positive(f"{self.SECTION}.learning_rate", self.learning_rate)
        one_of(f"{self.SECTION}.schedule", self.schedule, ("constant", "linear"))
        at_least(f"{self.SECTION}.warmup_steps", self.warmup_steps, 0)

    @property
    def learning_rates(self) -> dict[str, Any]:
        """These settings alone, for a section trainer to take over."""
        return {name: getattr(self, name) for name in ("learning_rate", "schedule", "warmup_steps")}
