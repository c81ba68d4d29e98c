"""What the sections of stages have in common: an entry of the chain, and how the learning rate goes. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, one_of, positive


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


#: What shapes a schedule beside its name: of these, and of no other, what its options say counts.
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": (),
    "linear": (),
    "cosine": ("final_rate",),
    "multi_step": ("milestones", "rates"),
    "wsd": ("final_rate", "decay_share"),
}
#: All such options.
SHAPE = ("milestones", "rates", "final_rate", "decay_share")


@dataclass
class LearningRateConfig:
    """The size of an update: its peak, after a linear rise, and how it goes on.

    learning_rate: the peak. warmup_steps: the rate's linear rise to it.
    schedule: constant | linear (to zero at the last step) | cosine (to final_rate) | multi_step (from each milestone on the peak
        times its rate; the defaults are the paper's) | wsd (constant, then linear to final_rate over the last steps).
    milestones: of multi_step, as shares of the steps. rates: of multi_step, as shares of the peak. final_rate: of cosine and wsd, a
        share of the peak. decay_share: of wsd: the share of the steps in which it falls.
    """

    SECTION: ClassVar[str] = "trainer"

    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_steps: int = 0
    milestones: list[float] = field(default_factory=lambda: [0.8, 0.9])
    rates: list[float] = field(default_factory=lambda: [0.316, 0.1])
    final_rate: float = 0.1
    decay_share: float = 0.2

    def __post_init__(self) -> None:
        positive(f"{self.SECTION}.learning_rate", self.learning_rate)
        one_of(f"{self.SECTION}.schedule", self.schedule, tuple(SCHEDULES))
        at_least(f"{self.SECTION}.warmup_steps", self.warmup_steps, 0)
        between(f"{self.SECTION}.final_rate", self.final_rate, 0.0, 1.0)
        between(f"{self.SECTION}.decay_share", self.decay_share, 0.0, 1.0)
        if len(self.milestones) != len(self.rates) or self.milestones != sorted(self.milestones):
            raise ConfigError(
                f"{self.SECTION}.milestones={self.milestones} must rise, and {self.SECTION}.rates={self.rates} hold one for each"
            )
        for name in ("milestones", "rates"):
            for value in getattr(self, name):
                between(f"{self.SECTION}.{name}", value, 0.0, 1.0)

    @property
    def learning_rates(self) -> dict[str, Any]:
        """These settings alone, for a section trainer to take over."""
        return {name: getattr(self, name) for name in ("learning_rate", "schedule", "warmup_steps", *SHAPE)}
