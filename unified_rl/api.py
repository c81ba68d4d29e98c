"""The Python interface. The settings are those of the command line, as keywords: sections are dictionaries, or dotted keys.

    import unified_rl as ur

    run = ur.train(method="grpo", data="qa.csv", reward=my_reward, steps=50, rollout={"responses_per_prompt": 4})
    run.metrics                  # pandas: one row per step
    run.evaluate(samples=64)     # accuracy, Maj@K and Pass@K with 95 % intervals
    run.plot()
    ur.compare([run, ur.load("runs/other")]).results

`train(a=1, b={"c": 2})` is `unified-rl train a=1 b.c=2`, word for word. Every error that is the user's to mend is one line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_rl import methods
from unified_rl.base import plugins
from unified_rl.base.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Where runs go that are given no folder.
RUNS = Path("runs")
#: Settings that name code, for which a function or class of this process may stand.
_CODE = ("reward", "reward.source", "coefficient", "coefficient.name", "task", "task.name")


def train(run_dir: str | Path = "", **settings: Any) -> Run:
    """Train, as `unified-rl train` does.

    Args:
        run_dir: the folder of the run; by default a new one in `runs`. settings: of the configuration.

    Raises:
        UnifiedRLError: settings, data or files that cannot be used.
    """
    from unified_rl.pages.live import beside_work
    from unified_rl.stages import jobs

    folder = Path(run_dir) if run_dir else _new_folder(str(settings.get("method") or methods.DEFAULT))
    jobs.train(words({**settings, "run_dir": str(folder)}), beside_work)
    return load(folder)


def explain(**settings: Any) -> str:
    """What a configuration would do, as `unified-rl explain` prints it. Starts nothing.

    Raises:
        ConfigError: settings that cannot be used.
    """
    from unified_rl.planning import explain as planned
    from unified_rl.presets import loading

    given = words(settings)
    return planned.render(planned.facts(loading.load_config(given), given))


def load(path: str | Path) -> Run:
    """A run that is there, finished or not. Nothing that came with it is executed.

    Raises:
        DataError: there is none.
    """
    from unified_rl.statistics.load import load_run

    load_run(path)
    return Run(Path(path))


def compare(runs: Iterable[Run | str | Path]) -> Comparison:
    """Runs beside each other; those that differ in their seeds alone are pooled.

    Raises:
        DataError: there is no run at a path, or two are the same arm and seed.
    """
    paths = [run.path if isinstance(run, Run) else load(run).path for run in runs]
    if not paths:
        raise DataError("there are no runs to compare; give at least one run or its folder")
    return Comparison(tuple(paths))


def grid(out: str | Path = "", seeds: Sequence[int] = (0,), workers: int = 0, **settings: Any) -> GridRun:
    """A factorial grid, as `unified-rl grid` runs it: every setting that is a list is an axis; cells are processes of their own.

    The same call again completes what is missing.

    Args:
        out: folder of the grid; by default one in `runs`, named by its axes. workers: most cells at a time; 0 = as many as fit.

    Raises:
        ConfigError: settings that cannot be used, or a function that other processes cannot import.
    """
    from unified_rl.grids import runner
    from unified_rl.grids.line import HYPOTHESIS, grid_of_line

    line = grid_of_line([*_axes(settings), f"seed={','.join(map(str, seeds))}"])
    plan = runner.make_plan(line, HYPOTHESIS, runner.Choices(out=str(out), workers=workers), {})
    failed = runner.run(plan)
    return GridRun(plan.folder, failed == 0)


@dataclass(frozen=True)
class Run:
    """A run, by its folder. Tables are read when they are asked for, so that those of a run in progress are its present ones."""

    path: Path

    @property
    def state(self) -> str:
        """ "complete", or what is lacking, in words."""
        return self._tables.state

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return self._tables.config or {}

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per step."""
        return self._tables.metrics

    @property
    def curve(self) -> pd.DataFrame:
        """One row per step and validation problem, `correct` 1 or 0, or the share of right samples, as `answers` says."""
        return self._tables.curve

    @property
    def samples(self) -> pd.DataFrame:
        """The responses that training logged, one row each, with their rewards and the coefficient of every token."""
        return self._tables.samples

    @property
    def responses(self) -> pd.DataFrame:
        """The responses of every complete evaluation, one row each."""
        return self._tables.responses

    def evaluate(self, **settings: Any) -> pd.DataFrame:
        """Evaluate the latest checkpoint, as `unified-rl evaluate` does.

        Args:
            settings: of section evaluation (samples, problems, temperature ...), name, and those of task and data.

        Returns:
            One row per slice: `greedy`, `avg`, `maj` and `pass` at K = `k`, each with `_low` and `_high` (95 %).

        Raises:
            RunDirectoryError: an evaluation of that name exists. Others as `train`.
        """
        from unified_rl.stages import jobs

        name = [f"name={settings.pop('name')}"] if "name" in settings else []
        folder = jobs.evaluate([f"run={self.path}", *name, *words(settings)])
        return _results([self.path], folder.name)

    def plot(self) -> Figure:
        """Reward, accuracy, KL, length and entropy over the steps, those that the run has."""
        from unified_rl.plotting.run_overview import figure

        return figure(self.metrics, self.path.name)

    def explain(self) -> str:
        """What its configuration does, as `unified-rl explain` prints it."""
        from unified_rl.planning import explain as planned
        from unified_rl.stages import stored

        return planned.render(planned.facts(stored.read_run(self.path, False)))

    @property
    def _tables(self) -> Any:
        from unified_rl.statistics.load import load_run

        return load_run(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.state})"


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other."""

    paths: tuple[Path, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(map(Run, self.paths))

    @property
    def results(self) -> pd.DataFrame:
        """One row per arm and slice, of the last evaluated step; seeds pooled, with 95 % intervals."""
        return _results(self.paths)

    @property
    def metrics(self) -> pd.DataFrame:
        """The metrics of all runs, one row per run and step."""
        import pandas as pd

        return pd.concat([run.metrics for run in self.runs], ignore_index=True)

    @property
    def settings(self) -> pd.DataFrame:
        """What the configurations differ in: one row per setting, one column per run."""
        import pandas as pd

        flat = {run.path.name: dict(_flat(run.config)) for run in self.runs}
        table = pd.DataFrame(flat).sort_index()
        return table[table.astype(str).nunique(axis=1) > 1]


@dataclass(frozen=True)
class GridRun:
    """A grid that has run. complete: whether no cell failed."""

    path: Path
    complete: bool

    @property
    def runs(self) -> tuple[Run, ...]:
        from unified_rl.records.reading import list_runs

        return tuple(map(Run, list_runs(self.path)))

    @property
    def results(self) -> pd.DataFrame:
        """One row per arm and slice; seeds pooled, with 95 % intervals."""
        return _results([self.path])

    @property
    def page(self) -> Path:
        """The page of its tables and figures."""
        return self.path / "index.html"


def words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the words of the command line.

    Raises:
        ConfigError: a value that no setting can have.
    """
    return [f"{key}={_text(key, value)}" for key, value in _leaves(_with_rewards(settings))]


def _with_rewards(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings, several rewards in them by their names: `[f, (g, 0.5)]`, or `{"close": f, "short": (g, 0.5)}`."""
    from dataclasses import fields

    from unified_rl.config.rewards import SEVERAL, RewardConfig

    given = settings.get("reward")
    if isinstance(given, (list, tuple)):
        named = [(one, None) if isinstance(one, str) else _weighted("reward", one) for one in given]
        return {**settings, "reward": [source if weight is None else f"{source}*{weight!r}" for source, weight in named]}
    if isinstance(given, Mapping) and not {str(key).partition(".")[0] for key in given} <= {
        one.name for one in fields(RewardConfig)
    }:
        parts = {
            name: dict(zip(("source", "weight"), _weighted(f"reward {name!r}", one), strict=True))
            for name, one in given.items()
        }
        return {**settings, "reward": {"source": SEVERAL, "parts": parts}}
    return settings


def _weighted(key: str, given: Any) -> tuple[str, float]:
    """A reward's source and weight, of a function, a name, or one of them with a number."""
    reward, weight = given if isinstance(given, (list, tuple)) and len(given) == 2 else (given, 1.0)
    if not (callable(reward) or isinstance(reward, str)) or isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise ConfigError(f"{key} is {given!r:.60}; give a function or a name, or a pair of one and a weight")
    return plugins.named(reward) if callable(reward) else reward, float(weight)


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(key: str, value: Any) -> str:
    """A value as it would be typed: text stands for itself where it is read back as that text, else in quotes."""
    if callable(value):
        if key not in _CODE:
            raise ConfigError(
                f"{key} is {_called(value)}, and takes a value; functions and classes go to {', '.join(_CODE[::2])}"
            )
        value = plugins.named(value)
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and value and _read(value) == value and not set(value) & set("'\"[]{},"):
        return value
    try:
        return json.dumps(list(value) if isinstance(value, range) else value, ensure_ascii=False)
    except TypeError as error:
        raise ConfigError(f"{key} is a {type(value).__name__}; give a number, a text, a list or a dictionary") from error


def _read(text: str) -> Any:
    """What a text is read as on the command line; None where its grammar refuses it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"text={text}"]))["text"]  # type: ignore[index,call-overload]
    except (OmegaConfBaseException, YAMLError, UnicodeEncodeError):
        return None


def _axes(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in _leaves(settings):
        values = list(value) if isinstance(value, (list, tuple, range)) else [value]
        for one in values:
            if callable(one) and (getattr(one, "__module__", "") == "__main__" or plugins.IN_MEMORY in plugins.named(one)):
                raise ConfigError(
                    f"{key} is {_called(one)} of this process, and a grid's cells are processes of their own; put it into a file "
                    f"and give {key}='FILE.py:NAME'"
                )
        yield f"{key}={','.join(_text(key, one) for one in values)}"


def _called(value: Callable[..., Any]) -> str:
    return f"{getattr(value, '__name__', type(value).__name__)}()"


def _new_folder(name: str) -> Path:
    """A folder in `runs` that is not there yet."""
    plain = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
    return next(path for number in count(1) if not (path := RUNS / f"{plain}-{number}").exists())


def _results(paths: Sequence[Path], evaluation: str | None = None) -> pd.DataFrame:
    from unified_rl.statistics import tables
    from unified_rl.statistics.experiment import read_experiment

    return tables.results(read_experiment(paths, evaluation))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
