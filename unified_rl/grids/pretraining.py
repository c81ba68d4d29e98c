"""What the ablations of pre-training have in common: a small model in the made-up world, and stages before mathematics.

A run in `default` is 1.5M tokens of mathematics and, before or among them, 4M of something else (the paper's 150 to 400), in a
Llama of two layers of width 64: minutes on one core. What is measured is how much of the budget of mathematics is left when
half of the held-out problems' steps are right, teacher-forced, and the losses of what is read and what is computed
(`statistics.pretraining`).

Seeds change the initial weights and the order of the rows of every stage. The world is one: intervals are conditional on its
texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.grids.definition import Arm, Preset
from unified_rl.stages.kinds.pretrain import COMMAND as PRETRAIN

MATHEMATICS, OTHER = 1_500_000, 4_000_000
SEEDS = tuple(range(8))
MARGIN, MARGIN_REASON = 0.05, "less than lies between two measurements of mathematics alone, a fifteenth of the budget"
MEASURED = "{name: mathematics, path: 'world:mathematics', weight: %d, held_out: 'world:mathematics_held_out.jsonl'}"
COMMON = (
    "model.tokenizer=world:tokenizer",
    "model.hidden_size=64",
    "model.num_layers=2",
    "model.num_heads=2",
    "model.intermediate_size=176",
    "pretraining.context_tokens=128",
    "pretraining.rows_per_step=8",
    "pretraining.learning_rate=4e-3",
    "pretraining.warmup_steps=40",
    "pretraining.held_out_every=100",
    "pretraining.checkpoint_every=400",
    "trainer.micro_batch_tokens=2048",
    "pretraining.world.max_start=40",
    "pretraining.world.max_operand=20",
    "pretraining.world.packs=0.1",
)
_WORLD = ("mathematics", "code", "general", "arxiv")


def sizes(mathematics: int, other: int, *more: str) -> tuple[str, ...]:
    """Words for budgets of so many tokens of mathematics and of another source; no source is gone through twice."""
    room = {"mathematics": mathematics, "code": other, "general": other, "arxiv": other}
    return (
        *(f"pretraining.world.{name}={int(1.02 * room[name]) + 2000}" for name in _WORLD),
        f"pretraining.tokens={mathematics}",
        *more,
    )


def alone(label: str, *words: str) -> Arm:
    """Mathematics and nothing else."""
    return Arm(label, (f"pretraining.sources=[{MEASURED % 1}]", *words), command=PRETRAIN)


def after(label: str, source: str, *words: str, tokens: int = OTHER, settings: str = "") -> Arm:
    """Mathematics from a model that was first trained on another source, in a stage with a schedule of its own."""
    section = f"sources: [{{name: {source}, path: 'world:{source}'}}], tokens: {tokens}, held_out_every: 0{settings}"
    return Arm(
        label,
        (
            f"pretraining.sources=[{MEASURED % 1}]",
            "stages.first.kind=pretrain",
            "stages.first.inputs.policy=base",
            f"stages.first.settings.pretraining={{{section}}}",
            *words,
        ),
        command=PRETRAIN,
    )


def mixed(label: str, source: str, *words: str, mathematics: int = MATHEMATICS, other: int = OTHER) -> Arm:
    """Mathematics and another source in one stage, in the same proportion as in two."""
    return Arm(label, (*mixed_words(source, mathematics, other), *words), command=PRETRAIN)


def mixed_words(source: str, mathematics: int, other: int) -> tuple[str, ...]:
    """The sources and the budget of one stage."""
    sources = f"[{MEASURED % mathematics}, {{name: {source}, path: 'world:{source}', weight: {other}}}]"
    return (f"pretraining.sources={sources}", f"pretraining.tokens={mathematics + other}")


def default(*words: str) -> Preset:
    """Eight seeds of the sizes above."""
    return Preset(seeds=SEEDS, train=(*sizes(MATHEMATICS, OTHER), *words), evaluate=None)


def testing(arms: Sequence[Arm], source_words: dict[str, tuple[str, ...]] | None = None) -> Preset:
    """One seed of a few steps: that the grid runs, and nothing else.

    Args:
        source_words: label -> words of arms whose budgets are their own.
    """
    small = ("stages.first.settings.pretraining.tokens=2048",)
    own = {arm.label: small for arm in arms if any(word.startswith("stages.first.") for word in arm.words)}
    few = sizes(2048, 4096, "pretraining.held_out_every=1", "pretraining.held_out_tokens=400", "pretraining.world.held_out=10")
    return Preset(seeds=(0,), train=few, evaluate=None, arms={**own, **(source_words or {})})
