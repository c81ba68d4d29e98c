"""From section trainer to the options of an optimiser."""

from __future__ import annotations

from unified_rl.config.training import TrainerConfig
from unified_rl.training.optimiser import AdamWOptions


def adamw(trainer: TrainerConfig, learning_rate: float | None = None, updates: int = 1) -> AdamWOptions:
    """AdamW as section trainer has it.

    Args:
        learning_rate: in place of the section's, for a role that has its own. updates: of the role in each step.
    """
    return AdamWOptions(
        learning_rate=trainer.learning_rate if learning_rate is None else learning_rate,
        total_updates=max(1, trainer.steps * updates),
        schedule=trainer.schedule,
        warmup_updates=trainer.warmup_steps * updates,
        weight_decay=trainer.weight_decay,
        betas=(trainer.beta1, trainer.beta2),
        eps=trainer.adam_eps,
        max_grad_norm=trainer.max_grad_norm,
        milestones=tuple(trainer.milestones),
        rates=tuple(trainer.rates),
        final_rate=trainer.final_rate,
        decay_share=trainer.decay_share,
    )
