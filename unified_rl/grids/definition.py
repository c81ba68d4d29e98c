"""Grids: an ablation as data, and the pure function from it to its cells. No torch, nothing is read or run.

An ablation is a file of `experiments` (or any other) that holds one `GRID`; `unified-rl grid NAME` runs it. A cell differs from its
neighbours only in the words of its arm and in its seed; its id is a readable name and a hash of all its words, so a cell that is
defined otherwise tomorrow is another cell, in another folder. docs/grids.md has an example.
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.launch.cells import Cell
from unified_rl.stages.kinds.pretrain import COMMAND as PRETRAIN

START_LABEL = "SFT"
#: What the start policy depends on; an arm's other words are about its training, and mean nothing to a run of no steps.
START_SECTIONS = frozenset(
    {
        "stack",
        "init",
        "stages",
        "task",
        "data",
        "model",
        "pretraining",
        "sft",
        "generator",
        "logging",
        "evaluation",
        "artifacts",
    }
)
DIRECTIONS = ("above", "below", "")
PRIMARY_METRICS = ("greedy", "avg", "maj", "pass", "cot_pass", "gain", "left_at_half")
GROUPS = {"train": "runs", "iterate": "iterative", PRETRAIN: "pretraining"}
#: Where the start policies come from: one for all seeds, so that intervals are conditional on it; or one for each seed.
SHARED, PER_SEED = "shared", "per_seed"
#: What is drawn anew with a seed's own start: initial weights; order of demonstrations, and samples of the frozen start.
START_SEEDS = ("model.seed", "sft.seed")
#: What arms draw anew besides: the training of reward models.
ARM_SEEDS = ("reward_model.seed",)


@dataclass(frozen=True)
class Arm:
    """One of the things compared.

    label: what tables and figures show. words: added to `unified-rl COMMAND`, the seed in place of "{seed}". command: train |
    iterate | pretrain. note: why an arm exists that the question itself does not call for. folder: name of its runs' folders with
    "{seed}" in it, where the job is known by plain names; "" = a readable name and a hash of what defines the cell.
    """

    label: str
    words: tuple[str, ...]
    command: str = "train"
    note: str = ""
    folder: str = ""

    @property
    def name(self) -> str:
        """Its label as part of a file's name."""
        return slug(self.label)

    def __post_init__(self) -> None:
        if self.command not in GROUPS:
            raise ConfigError(
                f"arm {self.label!r}: command={self.command!r} is not a command of grids{did_you_mean(self.command, GROUPS)}"
            )


@dataclass(frozen=True)
class Matching:
    """What the arms have equal amounts of. Made by `equal_updates`, `equal_sampled_tokens` or `equal_training_tokens`.

    budget: response tokens of a run, for the two token rules.
    """

    rule: str
    budget: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """Added to every arm's training."""
        counts = _COUNTED.get(self.rule)
        return () if counts is None else (f"trainer.token_budget={self.budget}", f"trainer.budget_counts={counts}")

    @property
    def caption(self) -> str:
        """A sentence for captions."""
        if self.rule == "equal_updates":
            return "Matched by updates: every arm makes the same number of updates of equally many responses."
        if self.rule == SOURCE_TOKENS:
            every = f"{self.budget:,} in every arm"
            return f"Matched by tokens of the source that is measured, {every}; total tokens differ, and are told."
        kind = "sampled" if self.rule == "equal_sampled_tokens" else "training"
        return f"Matched by {kind} tokens: every run ends with the step in which it reaches {self.budget:,} {kind} tokens."


def equal_source_tokens(budget: int) -> Matching:
    """Every arm reads `budget` tokens of the source that is measured, and what else it reads differs."""
    return Matching(SOURCE_TOKENS, _budget(budget))


SOURCE_TOKENS = "equal_source_tokens"
_COUNTED = {"equal_sampled_tokens": "sampled", "equal_training_tokens": "trained"}
RULES = ("equal_updates", *_COUNTED)


def equal_updates() -> Matching:
    """The number of updates is the presets' `trainer.steps`, the same for every arm."""
    return Matching("equal_updates")


def equal_sampled_tokens(budget: int) -> Matching:
    """A run ends once its policy has sampled `budget` response tokens (stored samples and demonstrations cost none)."""
    return Matching("equal_sampled_tokens", _budget(budget))


def equal_training_tokens(budget: int) -> Matching:
    """A run ends once it has been trained on `budget` response tokens, each epoch counted."""
    return Matching("equal_training_tokens", _budget(budget))


def matching_of(text: str) -> Matching:
    """A rule as written on the command line: `equal_updates`, `equal_sampled_tokens:200000`, `equal_training_tokens:200000`."""
    rule, _, budget = text.partition(":")
    if rule == "equal_updates" and not budget:
        return equal_updates()
    if rule not in _COUNTED or not budget.isdecimal():
        raise ConfigError(f"matching={text}: use equal_updates, equal_sampled_tokens:TOKENS or equal_training_tokens:TOKENS")
    return Matching(rule, _budget(int(budget)))


@dataclass(frozen=True)
class Preset:
    """How large a grid is run.

    train, evaluate: words added to every arm's training and evaluation (evaluate None: none). arms: label -> words of that arm
    in this preset alone. only: labels of the arms that this preset runs; () = all. matching: in place of the grid's own, e.g. a
    smaller budget. cores, gpus: what one cell is given (8 x 1 or 1 x 8 GPUs).
    """

    seeds: tuple[int, ...]
    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] | None = ()
    arms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    matching: Matching | None = None
    cores: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"a preset's seeds={self.seeds} must be different numbers, at least one")


@dataclass(frozen=True)
class Primary:
    """A contrast that an ablation is about: `label` minus `baseline`, on every slice. Declared before it runs.

    metric: greedy, avg, maj, pass or cot_pass; gain: of the first renewal of an arm of iterations over its own control, label and
    baseline being this arm, or how much larger it is than that of another arm;
    left_at_half: of pre-training (`statistics.pretraining`), a share in 0..1 as accuracies are.
    margin: differences of accuracy (0..1) within it, either way, do not matter, and a run is precise enough whose interval reaches
    no further to either side. reason: why that much.
    expected: above | below, where the hypothesis has `label`, and by which a difference supports or contradicts it; "" where it
    states no direction: the page then says which it was.
    """

    label: str
    baseline: str
    metric: str = "greedy"
    margin: float = 0.02
    reason: str = ""
    expected: str = ""

    def __post_init__(self) -> None:
        if self.expected not in DIRECTIONS:
            raise ConfigError(
                f"primary contrast: expected={self.expected} is neither above nor below; without a direction leave it out"
            )
        if self.metric not in PRIMARY_METRICS:
            raise ConfigError(f"primary contrast: metric={self.metric} is none of {', '.join(PRIMARY_METRICS)}")
        if self.label == self.baseline and self.metric != "gain":
            raise ConfigError(f"primary contrast: {self.label} against itself goes with metric=gain alone")
        if not 0 < self.margin < 1:
            raise ConfigError(f"primary contrast: margin={self.margin:g} must lie in 0..1")


@dataclass(frozen=True)
class Grid:
    """An ablation: its arms, how they are matched, and how large it is run.

    presets: at least "testing" (a minute or two on one core in all) and "default". baseline: label that the others are compared
    with. contrasts: further planned (label, baseline) pairs. primary: what it is about, few.
    common: words of every arm. factors: setting -> values, of which the arms are the product (`grids.factors`). figures: those of
    `unified-rl figures`. tuning: one sentence on the learning rates, besides what the configurations say (`grids.tuning`). sweep:
    the table of a sweep whose arms these are, by label; "" = that of the methods.
    starts: shared | per_seed, whether every seed has a start policy of its own, from which all its arms start. start_folder: as
    `Arm.folder`, of the start policy. line: what `unified-rl grid` is told to make it, where that is not its name. world: words
    that took it to another world (`in_another_world`); they are the last of `common`.
    """

    name: str
    title: str
    arms: tuple[Arm, ...]
    presets: Mapping[str, Preset]
    matching: Matching = Matching("equal_updates")
    baseline: str = START_LABEL
    contrasts: tuple[tuple[str, str], ...] = ()
    primary: tuple[Primary, ...] = ()
    common: tuple[str, ...] = ()
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    figures: tuple[str, ...] = ("learning_curves", "contrasts", "results_table")
    tuning: str = ""
    sweep: str = ""
    starts: str = SHARED
    start_folder: str = ""
    line: tuple[str, ...] = ()
    world: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = [START_LABEL, *(arm.label for arm in self.arms)]
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        if doubled:
            raise ConfigError(f"grid {self.name}: two arms have the label {doubled[0]!r}; tables would pool them")
        of_presets = [label for preset in self.presets.values() for label in (*preset.arms, *preset.only)]
        named = [label for one in self.primary for label in (one.label, one.baseline)]
        for label in (self.baseline, *named, *(label for pair in self.contrasts for label in pair), *of_presets):
            if label not in labels:
                raise ConfigError(f"grid {self.name}: no arm has the label {label!r}{did_you_mean(label, labels)}")
        self._check_starts()
        self._check_factors()

    def _check_factors(self) -> None:
        arms = [{*arm.words} for arm in self.arms]
        for values in itertools.product(*self.factors.values()):
            words = [f"{name}={value}" for name, value in zip(self.factors, values, strict=True)]
            if not any(arm.issuperset(words) for arm in arms):
                raise ConfigError(
                    f"grid {self.name}: no arm has {' '.join(words)}; take arms=factorial(FACTORS) with factors=FACTORS"
                )

    def _check_starts(self) -> None:
        if self.starts not in (SHARED, PER_SEED):
            raise ConfigError(f"grid {self.name}: starts={self.starts!r} is neither {SHARED} nor {PER_SEED}")
        if self.starts == PER_SEED and self.start_folder and "{seed}" not in self.start_folder:
            raise ConfigError(
                f"grid {self.name}: start_folder={self.start_folder!r} must have '{{seed}}' in it, with starts={PER_SEED}"
            )

    def preset(self, name: str) -> Preset:
        """The named preset. Raises ConfigError, naming the nearest, where there is none."""
        if name not in self.presets:
            raise ConfigError(f"grid {self.name}: preset={name} is not known{did_you_mean(name, self.presets)}")
        return self.presets[name]

    def arms_in(self, preset: str) -> tuple[Arm, ...]:
        """The arms that a preset runs."""
        only = self.preset(preset).only
        return tuple(arm for arm in self.arms if not only or arm.label in only)

    def matching_in(self, preset: str) -> Matching:
        """The matching rule of a preset."""
        return self.preset(preset).matching or self.matching


def cells(grid: Grid, preset: str) -> list[Cell]:
    """The start policies' cells, then one per arm and seed, seed by seed. The same grid gives the same cells, ids and order."""
    size = grid.preset(preset)
    arms = [_cell(grid, preset, arm, seed) for seed in size.seeds for arm in grid.arms_in(preset)]
    return [*start_cells(grid, preset), *arms]


def start_cells(grid: Grid, preset: str) -> list[Cell]:
    """The policies that arms start from, as runs of no steps: one for all, or one for each seed; pre-training has none."""
    if all(arm.command == PRETRAIN for arm in grid.arms):
        return []
    if grid.starts == SHARED:
        return [_start_cell(grid, preset, 0, ())]
    return [_start_cell(grid, preset, seed, (f"seed={seed}", *_drawn(START_SEEDS, seed))) for seed in grid.preset(preset).seeds]


def is_start(cell: Cell) -> bool:
    """Whether a cell of a grid is a start policy."""
    return cell.label == START_LABEL


def _start_cell(grid: Grid, preset: str, seed: int, drawn: tuple[str, ...]) -> Cell:
    size = grid.preset(preset)
    world = tuple(word for word in (*grid.common, *size.train) if re.split(r"[.=]", word)[0] in START_SECTIONS)
    words = ("method=sft", f"label={START_LABEL}", *drawn, *world, "trainer.steps=0")
    name = grid.start_folder.format(seed=seed) or ("sft_policy" if grid.starts == SHARED else f"sft_policy-seed{seed}")
    cell = Cell(name, words, size.evaluate, label=START_LABEL, seed=seed, cores=size.cores, gpus=size.gpus)
    return cell if grid.start_folder else _identified(cell)


def _drawn(names: Sequence[str], seed: int) -> tuple[str, ...]:
    return tuple(f"{name}={seed}" for name in names)


def with_choices(
    grid: Grid, preset: str, *, seeds: Sequence[int] = (), matching: Matching | None = None, arms: Sequence[str] = ()
) -> Grid:
    """The grid with one preset changed.

    Args:
        seeds: several: these; one number: as many, the preset's own first, counting on where it has fewer; none: the preset's.
        matching: another rule. arms: patterns of `Arm.name`; only arms that match one are run.

    Raises:
        ConfigError: no seed, or a pattern that no arm matches.
    """
    size = grid.preset(preset)
    if seeds:
        size = replace(size, seeds=tuple(seeds) if len(seeds) > 1 else _first(size.seeds, seeds[0]))
    if matching is not None:
        size = replace(size, matching=matching)
    if arms:
        size = replace(size, only=_chosen(grid, preset, arms))
    return replace(grid, presets={**grid.presets, preset: size})


def in_another_world(grid: Grid, words: Sequence[str]) -> Grid:
    """The grid with the same arms elsewhere: `task=countdown`, `model.hidden_size=128`, ... for the start and every arm alike.

    Raises:
        ConfigError: a word that is not about the world or its start policy.
    """
    for word in words:
        if (section := re.split(r"[.=]", word)[0]) not in START_SECTIONS or section in ("artifacts", "stages"):
            about = ", ".join(sorted(START_SECTIONS - {"artifacts", "stages"}))
            raise ConfigError(
                f"{word.partition('=')[0]!r} is not about the world of grid {grid.name} (sections {about}); its file says what its "
                "arms are"
            )
    said = " ".join(words)
    elsewhere = f"nothing was swept with {said}, and rates are those of the ablation's own world"
    return replace(
        grid,
        name=f"{grid.name}_{slug(said)}",
        title=f"{grid.title} ({said})",
        common=(*grid.common, *words),
        tuning=elsewhere + (f", of which its file says: {grid.tuning}" if grid.tuning else ""),
        sweep="",
        line=(grid.name, *words),
        world=tuple(words),
    )


def slug(text: str) -> str:
    """Text as part of a file's name: `GRPO+PS, lr 3e-5` -> `grpo_ps_lr_3e_5`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "arm"


def _cell(grid: Grid, preset: str, arm: Arm, seed: int) -> Cell:
    size, matching = grid.preset(preset), grid.matching_in(preset)
    if arm.command == "iterate" and matching.words:
        raise ConfigError(
            f"grid {grid.name}: arm {arm.label!r} is iterated, which counts steps (iterate.steps), but the grid is matched by "
            f"{matching.rule}; use matching=equal_updates, or leave the arm out"
        )
    given = (*arm.words, *size.arms.get(arm.label, ()))  # after the words of all: what the ablation varies has the last word
    own = [word.replace("{seed}", str(seed)) for word in given]
    drawn = _drawn((*START_SEEDS, *ARM_SEEDS), seed) if grid.starts == PER_SEED else ()
    words = (f"label={arm.label}", f"seed={seed}", *drawn, *grid.common, *size.train, *own, *matching.words)
    cell = Cell(
        arm.folder.format(seed=seed) or f"{arm.name}-seed{seed}-{matching.rule}",
        words,
        None if arm.command == "iterate" else size.evaluate,
        command=arm.command,
        group=GROUPS[arm.command],
        label=arm.label,
        seed=seed,
        cores=size.cores,
        gpus=size.gpus,
    )
    return cell if arm.folder else _identified(cell)


def _identified(cell: Cell) -> Cell:
    """The cell with a hash of everything that defines its numbers in its name: not where it finds things."""
    defining = [word for word in cell.train if not word.startswith("artifacts=")]
    facts = json.dumps([cell.command, defining, cell.evaluate], ensure_ascii=False)
    return replace(cell, name=f"{cell.name}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}")


def _chosen(grid: Grid, preset: str, patterns: Sequence[str]) -> tuple[str, ...]:
    """Labels of the arms whose names match a pattern."""
    names = {arm.name: arm.label for arm in grid.arms_in(preset)}
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ConfigError(f"arms={pattern} is no arm of grid {grid.name}{did_you_mean(pattern, names)}")
    return tuple(label for name, label in names.items() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns))


def _first(seeds: tuple[int, ...], count: int) -> tuple[int, ...]:
    if count < 1:
        raise ConfigError(f"seeds={count} must be 1 or more")
    return tuple([*seeds, *range(max(seeds) + 1, max(seeds) + 1 + count)][:count])


def _budget(tokens: int) -> int:
    if tokens < 1:
        raise ConfigError(f"a token budget of {tokens} must be 1 or more")
    return tokens
