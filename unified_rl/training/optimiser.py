"""The optimiser's settings, the same for every trainer."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class AdamWOptions:
    """AdamW with warm-up and a schedule in updates (`config.stages.LearningRateConfig` says what each is).

    milestones, rates, final_rate, decay_share: shape the schedules that read them; shares of `total_updates` and of the peak.
    """

    learning_rate: float
    total_updates: int
    schedule: str = "constant"
    warmup_updates: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    max_grad_norm: float = 1.0
    milestones: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    final_rate: float = 0.0
    decay_share: float = 0.0

    def rate(self, update: int) -> float:
        """The learning rate of update 0, 1, 2 ..."""
        warm = min(1.0, (update + 1) / self.warmup_updates) if self.warmup_updates else 1.0
        return self.learning_rate * warm * max(self._share(update), 0.0)

    def _share(self, update: int) -> float:
        """Of the peak, warm-up aside."""
        if self.schedule == "linear":
            return 1.0 - update / self.total_updates
        if self.schedule == "cosine":
            # the warm-up is the first part of the run, and the half wave begins at the peak
            rest = max(1, self.total_updates - self.warmup_updates)
            done = min(1.0, max(0, update - self.warmup_updates) / rest)
            return self.final_rate + (1.0 - self.final_rate) * (1.0 + math.cos(math.pi * done)) / 2.0
        if self.schedule == "multi_step":
            passed = [rate for at, rate in zip(self.milestones, self.rates, strict=True) if update >= at * self.total_updates]
            return passed[-1] if passed else 1.0
        if self.schedule == "wsd":
            decaying = self.decay_share * self.total_updates
            begun = update - (self.total_updates - decaying)
            return 1.0 if begun <= 0 else 1.0 - (1.0 - self.final_rate) * min(1.0, begun / decaying)
        return 1.0
