"""The section of pre-training: sources of tokens and their weights, rows, budget, what is measured on the way. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from unified_rl.base.errors import ConfigError
from unified_rl.config.engines import TRAINERS
from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive
from unified_rl.config.stages import LearningRateConfig

#: Before a path: a source that section `pretraining.world` describes, made when it is needed.
WORLD = "world:"
#: The task whose problems that world tells. Its vocabulary is closed: no other task's words are in it.
WORLD_TASK = "arithmetic"


@dataclass
class TokenSource:
    """One part of the mix.

    path: token files as `unified-rl corpus tokenise` writes them: one `.idx`, or a folder that is searched for them; or world:NAME.
    weight: its share of the tokens, relative to the others'.
    holds: tokens, where a plan is made without the files.
    held_out: token files, or marked texts (`.jsonl`), whose loss is measured on the way, and which are not trained on; "" = none.
    """

    name: str = ""
    path: str = ""
    weight: float = 1.0
    held_out: str = ""
    holds: int = 0

    def __post_init__(self) -> None:
        if not self.name or not self.path:
            raise ConfigError(
                f"pretraining.sources: a source needs a name and a path, found name={self.name!r} path={self.path!r}; set both"
            )
        positive(f"pretraining.sources: weight of {self.name}", self.weight)


@dataclass
class WorldConfig:
    """A made-up world to pre-train a tiny model in (docs/pretraining.md); `world:NAME` reads its source NAME.

    mathematics, code, general, arxiv: tokens of each source, about. seed: names all of it.
    shows_values: the share of programs that print the value of each line beside it; in the others no result ever stands.
    paraphrases: the share of programs whose comments tell the word problem that they compute, sentence by sentence.
    noise: the share of mathematics that is general text, for corpora of lower quality.
    max_start, max_operand, packs: of the problems, also of those that programs compute: the largest starting count and number, and
        how often a sentence speaks of containers (a product); the defaults are the task's.
    held_out: documents of each source that are kept for measuring.
    """

    seed: int = 0
    mathematics: int = 2_000_000
    code: int = 3_000_000
    general: int = 3_000_000
    arxiv: int = 1_000_000
    shows_values: float = 0.5
    paraphrases: float = 0.5
    noise: float = 0.0
    max_start: int = 99
    max_operand: int = 40
    packs: float = 0.3
    held_out: int = 200

    def __post_init__(self) -> None:
        for name in ("mathematics", "code", "general", "arxiv", "held_out"):
            at_least(f"pretraining.world.{name}", getattr(self, name), 1)
        for name, low in (("max_start", 20), ("max_operand", 5)):
            at_least(f"pretraining.world.{name}", getattr(self, name), low)
        for name in ("shows_values", "paraphrases", "noise", "packs"):
            between(f"pretraining.world.{name}", getattr(self, name), 0.0, 1.0)


@dataclass
class PretrainingConfig(LearningRateConfig):
    """Training on rows of tokens from a weighted mix of sources (docs/pretraining.md), as a stage or by `unified-rl pretrain`.

    seed: of the order of the rows. sources: of the mix. held_out: name -> further files whose loss is measured.
    tokens: the budget, which is reached in whole steps. context_tokens: of a row. rows_per_step: of a batch.
    documents: masked (a token sees its own document alone) | joined (all of its row before it).
    weight_decay: of AdamW. trainer: torch | deepspeed, "" = as trainer.name.
    held_out_every: steps between two measurements, 0 = only at the end. held_out_tokens: of each file, at most.
    checkpoint_every: steps between two checkpoints, of which the last stays. keep_every: steps between models that are kept
        for evaluation, 0 = none: models/step_NNNNNN of the run directory, Hugging Face directories.
    """

    SECTION = "pretraining"

    seed: int = 0
    sources: list[TokenSource] = field(default_factory=list)
    held_out: dict[str, str] = field(default_factory=dict)
    tokens: int = 1_000_000
    context_tokens: int = 256
    rows_per_step: int = 16
    documents: str = "masked"
    learning_rate: float = 3e-3
    schedule: str = "multi_step"
    warmup_steps: int = 20
    weight_decay: float = 0.1
    trainer: str = ""
    held_out_every: int = 50
    held_out_tokens: int = 100_000
    checkpoint_every: int = 200
    keep_every: int = 0
    world: WorldConfig = field(default_factory=WorldConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("pretraining.documents", self.documents, ("masked", "joined"))
        one_of("pretraining.trainer", self.trainer, ("", *TRAINERS))
        not_negative("pretraining.weight_decay", self.weight_decay)
        for name, low in (("tokens", 1), ("context_tokens", 2), ("rows_per_step", 1), ("held_out_tokens", 1)):
            at_least(f"pretraining.{name}", getattr(self, name), low)
        for name in ("held_out_every", "checkpoint_every", "keep_every"):
            at_least(f"pretraining.{name}", getattr(self, name), 0)
        names = [*(source.name for source in self.sources), *self.held_out]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"pretraining: two sources or held-out files are called {twice[0]!r}; rename one")

    @property
    def step_tokens(self) -> int:
        """Tokens that are trained on in one step."""
        return self.context_tokens * self.rows_per_step

    @property
    def steps(self) -> int:
        """Steps that the budget takes."""
        return math.ceil(self.tokens / self.step_tokens)

    @property
    def measured(self) -> dict[str, str]:
        """Name -> file of everything whose loss is measured."""
        return {source.name: source.held_out for source in self.sources if source.held_out} | self.held_out
