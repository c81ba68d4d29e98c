"""The optimiser's settings, the same for every trainer."""

from __future__ import annotations

from dataclasses import dataclass


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
