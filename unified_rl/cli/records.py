"""Commands that read what runs have left: tables, figures, pages, claims, results; single runs and responses. They run nothing.

What they call loads pandas or matplotlib, so it is imported when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.base.terminal import Escaping, shown
from unified_rl.cli.grammar import Call, Command
from unified_rl.config.ranges import between
from unified_rl.statistics.options import TablesOptions


@dataclass(frozen=True)
class FiguresOptions:
    """What is drawn from where.

    names: of figures; none = all whose tables are there. tables: folder that `unified-rl tables` wrote. out: folder for the
    figures.
    """

    tables: Path
    out: Path
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PageOptions:
    """What is shown.

    experiment: directory with runs at or below it. tables: folder of tables; by default EXPERIMENT/tables. figures: folder of
    figures; by default EXPERIMENT/figures. out: the page; by default EXPERIMENT/index.html.
    """

    experiment: Path
    tables: Path | None = None
    figures: Path | None = None
    out: Path | None = None


@dataclass(frozen=True)
class WatchOptions:
    """What is watched.

    folder: a run's directory, or one with runs below it, such as a grid's; also of another machine, through a shared file system.
    every: seconds between two looks.
    """

    folder: Path
    every: float = 1.0

    def __post_init__(self) -> None:
        between("every", self.every, 0.1, 3600.0)


@dataclass(frozen=True)
class ClaimsOptions:
    """Which tables are read.

    experiments: folders of tables; none = all in experiments/results. out: the document.
    """

    experiments: list[Path] = field(default_factory=list)
    out: Path = Path("analysis/CLAIMS.md")


@dataclass(frozen=True)
class ResultsOptions:
    """What is shipped, and which page is written.

    grids: folders of finished grids, to be shipped first, each in place of what was there under its name. shipped: the folder of
    results. out: the page that is made from all of them.
    """

    grids: list[Path] = field(default_factory=list)
    shipped: Path = Path("experiments/results")
    out: Path = Path("docs/results.md")


@dataclass(frozen=True)
class ExportOptions:
    """What goes into the file.

    runs: directories with runs at or below them. out: the Parquet file to write. evaluation: name of the evaluation to use where a
    run has several of its last step. runs_made_by: the command that made the runs, to be kept in the file.
    run: a run whose policy is written to the folder `out` instead. merged: its adapter as a part of whole weights.
    """

    out: Path
    runs: list[Path] = field(default_factory=list)
    evaluation: str = ""
    runs_made_by: str = ""
    run: Path | None = None
    merged: bool = False


@dataclass(frozen=True)
class ShowOptions:
    """What is shown.

    folder: a run's directory, or one with runs below it. out: folder for the tables as Parquet.
    """

    folder: Path
    out: Path | None = None


@dataclass(frozen=True)
class BrowseOptions:
    """Which responses.

    run: a run's directory. prompt: a problem's id, or text that its id, prompt or response contains. step: samples logged at this
    training step, instead of an evaluation's. evaluation: its name; by default the last complete one. verdict: correct, incorrect,
    unparsable or timeout. limit: responses to show at most.
    """

    run: Path
    prompt: str | None = None
    step: int | None = None
    evaluation: str | None = None
    verdict: str | None = None
    limit: int = 5


@dataclass(frozen=True)
class DiffOptions:
    """The two runs.

    runs: two run directories.
    """

    runs: list[Path]

    def __post_init__(self) -> None:
        if len(self.runs) != 2:
            raise ConfigError(f"diff compares two runs, got {len(self.runs)}")


def _tables(call: Call) -> None:
    from unified_rl.statistics import make

    print(make.make(call.options, call.line))


def _figures(call: Call) -> int:
    from unified_rl.plotting import make

    options: FiguresOptions = call.options
    files, errors = make.make(options.tables, options.out, options.names)
    for path in files:
        print(path)
    there = {*make.drawable(options.tables), *make.without_inputs()}
    left_out = [] if options.names else [name for name in make.FIGURES if name not in there]
    if files and left_out:
        print(f"not drawn, for want of their tables: {', '.join(left_out)}")
    for failure in errors:
        print(shown(str(failure)), file=sys.stderr)
    failed = errors and (options.names or not files)  # of all that there are, those that lack something are only named
    return errors[0].exit_code if failed else 0


def _page(call: Call) -> None:
    from unified_rl.pages import page

    options: PageOptions = call.options
    usual = page.places(options.experiment)
    out, tables, figures = options.out or usual.out, options.tables or usual.tables, options.figures or usual.figures
    page.write(page.page(options.experiment, page.Places(tables, figures, out, "--embed" in call.flags)), out)
    print(out)


def _watch(call: Call) -> None:
    from rich.console import Console

    from unified_rl.pages.watch import watch

    # What runs wrote is escaped where the picture is made; the colours around it are ours, and meant to be obeyed.
    stream = sys.stdout.beneath if isinstance(sys.stdout, Escaping) else sys.stdout
    watch(call.options.folder, call.options.every, Console(file=stream))


def _claims(call: Call) -> None:
    from unified_rl.statistics import claims, evidence

    options: ClaimsOptions = call.options
    found = [evidence.read_experiment_tables(folder) for folder in options.experiments or claims.shipped_experiments()]
    claims.write(claims.document(found), options.out)
    print(options.out)


def _results(call: Call) -> None:
    from unified_rl.grids import shipping
    from unified_rl.pages.results import document, prose
    from unified_rl.pages.results.shipped import read_shipped
    from unified_rl.statistics import claims

    options: ResultsOptions = call.options
    for folder in options.grids:
        print(f"shipped: {shipping.ship(folder, options.shipped)}")
    found = read_shipped(options.shipped)
    claims.write(document.document(found, options.out), options.out)
    for note in filter(None, (prose.reading(one)[1] for one in found)):
        print(note)
    print(f"{options.out}   (what the tables say of the paper's claims: {claims.COMMAND})")


def _export(call: Call) -> None:
    from unified_rl.statistics.experiment import COMPLETE
    from unified_rl.statistics.export import export

    options: ExportOptions = call.options
    if (options.run is None) == (not options.runs) or (options.merged and options.run is None):
        raise ConfigError(
            "export writes the votes of directories of runs (unified-rl export RUNS out=FILE.parquet), or the policy of one run "
            "(unified-rl export run=RUN merged=true out=DIR); give one of the two"
        )
    if options.run is not None:
        from unified_rl.stages.export import export_policy

        print(export_policy(options.run, options.out, options.merged))
        return
    cells = export(options.runs, options.out, evaluation=options.evaluation or None, runs_made_by=options.runs_made_by)
    for cell in cells:
        slices = ", ".join(f"{split}/{name} {len(scores.problem_ids)}" for (name, split), scores in cell.scores.items())
        status = "" if cell.evaluation_status == COMPLETE else f"  {cell.evaluation_status}"
        print(f"{cell.label}, seed {cell.seed}: {slices or 'no problems'}{status}")
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB")


def _show(call: Call) -> None:
    from unified_rl.statistics import load

    options: ShowOptions = call.options
    experiment = load.load_experiment([options.folder])
    runs = experiment.runs
    print(experiment.cells.drop(columns=["run", "commit"]).to_string(index=False))
    if len(runs) == 1:
        print(f"\n{runs[0].path}\n{runs[0].parts.drop(columns=list(load.RUN_COLUMNS)).to_string(index=False)}")
    if options.out:
        stacked = {name: experiment.stack(name) for name in load.COLUMNS}
        load.save_tables({"cells": experiment.cells} | stacked, options.out)
        print(f"\ntables written to {options.out}: cells, {', '.join(load.COLUMNS)} (Parquet, schema {load.SCHEMA})")


def _browse(call: Call) -> None:
    from unified_rl.statistics.browse import browse

    one: BrowseOptions = call.options
    print(browse(one.run, one.prompt, one.step, evaluation=one.evaluation, verdict=one.verdict, limit=one.limit))


def _diff(call: Call) -> None:
    from unified_rl.statistics.diff import diff

    print(diff(*call.options.runs))


COMMANDS: Mapping[str, Command] = {
    "watch": Command(
        "a run or a grid in the terminal, as it goes on; Ctrl-C ends looking, not the run",
        "runs/mine",
        _watch,
        WatchOptions,
        "folder",
    ),
    "tables": Command(
        "runs, a grid, iterative runs or facts -> tidy tables (CSV): results, curves, comparisons",
        "runs/default/runs out=tables pair='GRPO+PS|GRPO+OS'",
        _tables,
        TablesOptions,
        "records",
    ),
    "figures": Command(
        "tables -> figures, with captions",
        "learning_curves results_table tables=tables out=figures",
        _figures,
        FiguresOptions,
        "names",
    ),
    "page": Command(
        "an experiment as one HTML page that opens without a server",
        "runs/default",
        _page,
        PageOptions,
        "experiment",
        {"--embed": "put the pictures into the page"},
    ),
    "claims": Command(
        "the paper's claims beside what the shipped tables say", "out=analysis/CLAIMS.md", _claims, ClaimsOptions, "experiments"
    ),
    "results": Command(
        "the page of results from shipped tables; GRID_DIR ships a finished grid first",
        "runs/kl_default out=docs/results.md",
        _results,
        ResultsOptions,
        "grids",
    ),
    "export": Command(
        "runs -> one small file of votes, enough for every table of Pass@K and Maj@K; or a run's policy -> a folder for others",
        "runs/default/runs out=votes.parquet",
        _export,
        ExportOptions,
        "runs",
        more="`unified-rl export run=RUN out=DIR` writes the policy of a run's latest checkpoint: an adapter (PEFT's format) where "
        "the run trained one, else whole weights in Hugging Face format; with merged=true always whole weights.",
    ),
    "show": Command("what a run or an experiment holds", "runs/mine", _show, ShowOptions, "folder"),
    "browse": Command("single responses of a run", "runs/mine prompt=train verdict=incorrect", _browse, BrowseOptions, "run"),
    "diff": Command(
        "what two runs differ in: configuration, metrics, evaluations", "runs/a runs/b", _diff, DiffOptions, "runs"
    ),
}
