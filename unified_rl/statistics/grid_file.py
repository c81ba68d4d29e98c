"""What a grid says of itself: grid.json, which `grids.runner` writes beside the runs. A folder without one is a grid that
says nothing: its matching rule is "not stated", and only the runs that exist are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.statistics.factorial import Effect, Factor, effects

FILE = "grid.json"
#: The label that others are compared with where the grid names none: the policy that training starts from.
DEFAULT_BASELINE = "SFT"
NOT_STATED = "not stated"
#: Where a hypothesis has the label of a primary contrast, seen from its baseline; "" where it does not say.
ABOVE, BELOW = "above", "below"
DIRECTIONS = (ABOVE, BELOW, "")
#: Words that say what a run is called and where it finds things.
_NAMES = ("label=", "artifacts=", "run_dir=")


@dataclass(frozen=True)
class PlannedCell:
    """A cell as the grid planned it. run: its directory, which need not exist yet.

    defining: the words that define its numbers, of training and of evaluation, without its label; () where they are not at hand.
    """

    id: str
    label: str
    seed: int
    run: Path
    command: str = "train"
    defining: tuple[str, ...] = ()


@dataclass(frozen=True)
class Primary:
    """A contrast that an ablation is about, declared before it runs: label minus baseline by one metric, on every slice.

    margin: a difference within it, either way, is no difference that matters (accuracy, 0..1). reason: why that much.
    expected: where the hypothesis has label, ABOVE or BELOW baseline; "" where it states no direction, and in older files.
    """

    label: str
    baseline: str
    metric: str
    margin: float
    reason: str = ""
    expected: str = ""

    def is_of(self, row: Mapping[str, Any]) -> bool:
        return (row["label"], row["baseline"], row["metric"]) == (self.label, self.baseline, self.metric)


@dataclass(frozen=True)
class GridFacts:
    """What grid.json holds, in the words it has; empty where it says nothing.

    matching: the rule by which the arms are comparable, as captions state it. baseline: the label that all others are compared
    with; contrasts: further planned pairs (label, baseline). line: what `unified-rl grid` is told to make it; () where its name is
    all. world: of these, the words that take an ablation elsewhere. arms: words that define an arm of training, those of the world
    left out -> its label. effects: those of its factors, where it is factorial.
    """

    name: str = ""
    title: str = ""
    hypothesis: str = ""
    preset: str = ""
    tuning: str = ""
    matching: str = NOT_STATED
    baseline: str = DEFAULT_BASELINE
    contrasts: tuple[tuple[str, str], ...] = ()
    primary: tuple[Primary, ...] = ()
    seeds: tuple[int, ...] = ()
    line: tuple[str, ...] = ()
    world: tuple[str, ...] = ()
    cells: tuple[PlannedCell, ...] = field(default=(), repr=False)
    arms: Mapping[frozenset[str], str] = field(default_factory=dict, repr=False)
    effects: tuple[Effect, ...] = field(default=(), repr=False)

    @property
    def trains(self) -> bool:
        """Whether there may be runs of training: a grid of iterative runs alone has none but the baseline."""
        return not self.cells or any(cell.command == "train" and cell.label != self.baseline for cell in self.cells)

    @property
    def of_its_words(self) -> str:
        """What a reader must know of `hypothesis` and of a claim's reasons: they are about the world of the ablation's file."""
        if not self.world:
            return ""
        return f"Written of the ablation's own world; here all of it is with {' '.join(self.world)}, where not all of it need hold."


def read_grid(folder: Path | str) -> GridFacts:
    """The facts of a grid directory; those of an unnamed grid where there is no grid.json.

    Raises:
        DataError: grid.json is unreadable or lacks what a cell must say.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return GridFacts()
    try:
        facts = files.read_json(path)
        cells = tuple(_cell(Path(folder), cell) for cell in facts.get("cells", ()))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is not readable ({error}); start the grid's command again, which writes it") from error
    except KeyError as error:
        raise DataError(f"{path}: a cell lacks {error}; start the grid's command again, which writes it") from error
    return GridFacts(
        **{name: str(facts.get(name) or "") for name in ("name", "title", "hypothesis", "preset", "tuning")},
        matching=_matching(facts.get("matching")),
        baseline=str(facts.get("baseline") or DEFAULT_BASELINE),
        contrasts=tuple((str(label), str(baseline)) for label, baseline in facts.get("contrasts", ())),
        primary=_primary(path, facts.get("primary")),
        seeds=tuple(int(seed) for seed in facts.get("seeds", ())),
        line=tuple(map(str, facts.get("line", ()))),
        world=tuple(map(str, facts.get("world", ()))),
        cells=cells,
        arms=_arms(path, facts),
        effects=_effects(path, facts),
    )


def experiment_name(folder: Path | str) -> str:
    """What an experiment is called in captions: its folder's name, which for a folder `runs` is the one above."""
    place = Path(folder).resolve()
    return place.parent.name if place.name == "runs" else place.name


def matching_of(folders: Sequence[Path | str]) -> str:
    """The matching rule of the grids that these folders are, or are the runs of; `NOT_STATED` where none says."""
    rules = dict.fromkeys(_rule_at(Path(folder)) for folder in folders)
    stated = [rule for rule in rules if rule != NOT_STATED]
    return "; ".join(stated) if stated else NOT_STATED


def matching_sentence(rule: str) -> str:
    """The rule as a sentence for captions and pages. (A grid may state it as one already.)"""
    rule = rule.strip().rstrip(".")
    return f"{rule}." if rule.startswith("Matched") else f"Matching rule: {rule}."


def _rule_at(folder: Path) -> str:
    """Of the nearest grid: a folder of runs lies one or two levels below its grid."""
    for place in (folder, *folder.resolve().parents[:2]):
        if (place / FILE).exists():
            return read_grid(place).matching
    return NOT_STATED


def _matching(stated: Any) -> str:
    """The rule as a caption states it, whether grid.json holds a sentence or the rule's parts."""
    if isinstance(stated, Mapping):
        budget = f" ({stated['budget']} tokens)" if stated.get("budget") else ""
        stated = stated.get("caption") or str(stated.get("rule") or "").replace("_", " ") + budget
    return str(stated) if stated else NOT_STATED


def _primary(path: Path, stated: Any) -> tuple[Primary, ...]:
    """The contrasts that a grid is about; there was but one, or none, in older files."""
    each = [stated] if isinstance(stated, Mapping) else stated or []
    try:
        return tuple(_one_primary(one) for one in each)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its primary contrast is not readable ({error}); start the grid's command again") from error


def _one_primary(stated: Mapping[str, Any]) -> Primary:
    label, baseline, metric = (str(stated[name]) for name in ("label", "baseline", "metric"))
    expected = str(stated.get("expected") or "")
    if expected not in DIRECTIONS:
        raise ValueError(f"expected={expected} is neither {ABOVE} nor {BELOW}")
    return Primary(label, baseline, metric, float(stated["margin"]), str(stated.get("reason") or ""), expected)


def _arms(path: Path, facts: Mapping[str, Any]) -> dict[frozenset[str], str]:
    """The start policy, which no words define, and the arms of training: in another world they are the same arms."""
    trained = [arm for arm in facts.get("arms", ()) if arm.get("command", "train") == "train"]
    common = facts.get("common", ())
    common = common[: len(common) - len(facts.get("world", ()))]
    try:
        found = {frozenset([*common, *arm["words"]]): str(arm["label"]) for arm in trained}
    except KeyError as error:
        raise DataError(f"{path}: an arm lacks {error}; start the grid's command again, which writes it") from error
    return {frozenset(): DEFAULT_BASELINE} | found if found else {}


def _effects(path: Path, facts: Mapping[str, Any]) -> tuple[Effect, ...]:
    """Of a grid that says which factors its arms are the product of."""
    try:
        factors = [Factor(str(name), tuple(map(str, levels))) for name, levels in (facts.get("factors") or {}).items()]
        trained = [arm for arm in facts.get("arms", ()) if arm.get("command", "train") == "train"]
        levels = [{key: value for key, _, value in (word.partition("=") for word in arm["words"])} for arm in trained]
        labels = [str(arm["label"]) for arm in trained]
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{path}: its factors are not readable ({error}); start the grid's command again") from error
    places = [tuple(found.get(factor.name, "") for factor in factors) for found in levels]
    return tuple(effects(factors, dict(zip(places, labels, strict=True))))


def _cell(folder: Path, cell: Mapping[str, Any]) -> PlannedCell:
    run = folder / (cell.get("group") or "runs") / str(cell["id"])
    words = sorted(word for word in cell.get("words") or () if not word.startswith(_NAMES))
    defining = tuple(map(str, [*words, "evaluated:", *(cell.get("evaluate") or ())])) if words else ()
    return PlannedCell(
        str(cell["id"]), str(cell["label"]), int(cell["seed"]), run, str(cell.get("command") or "train"), defining
    )
