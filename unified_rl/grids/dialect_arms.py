"""What the ablation `dialects` and its sweep of learning rates have in common: GRPO as each project has it, in three regimes."""

from __future__ import annotations

from unified_rl.presets.dialects import DIALECTS, PAPER

LABELS = {PAPER: "Paper", **{name: dialect.project for name, dialect in DIALECTS.items()}}
#: Regimes set the number of updates per rollout, in place of the dialect's own.
REGIMES = {
    "on policy": ("rollout.minibatches=1",),
    "4 x 2 updates": ("rollout.minibatches=4", "rollout.epochs=2"),
    "lag 4": ("rollout.minibatches=1", "rollout.staleness=4"),
}
LAG = "lag 4"
#: Dialects that correct for a sampler that lags by themselves; the others take every ratio to the sampler.
_OWN_CORRECTION = ("prime_rl", "open_instruct")


def label(dialect: str, regime: str) -> str:
    """What tables call it."""
    return f"{LABELS[dialect]}, {regime}"


def words(dialect: str, regime: str, rate: float) -> tuple[str, ...]:
    """Of `unified-rl train`."""
    bypass = ("importance=bypass",) if regime == LAG and dialect not in _OWN_CORRECTION else ()
    return ("method=grpo", f"dialect={dialect}", f"trainer.learning_rate={rate:g}", *REGIMES[regime], *bypass)
