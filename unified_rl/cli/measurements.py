"""Commands that measure a policy, a reward model, the intervals or the machine. They train no runs, and so are no grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.cli.grammar import Call, Command
from unified_rl.config.ranges import at_least, one_of
from unified_rl.labs.options import (
    AuditOptions,
    BiasLabOptions,
    ConformanceOptions,
    FirstErrorOptions,
    MicroscopeOptions,
    PassRateOptions,
    RewardModelsOptions,
)

#: The part of the benchmark that needs another machine than the others.
GPU = "gpu"


@dataclass(frozen=True)
class CoverageOptions:
    """How much is simulated.

    tables: simulated tables per cell. seeds, problems: of a table. kinds: accuracy, pass, difference, learning (where a share of
    the starts does not learn; a tenth of the tables, of 1,000 problems each); none = all. pages: in place of tables, this many
    whole pages of grids in which nothing differs, and how many have a false positive. out: file for the table; none = it is printed
    only.
    """

    tables: int = 10_000
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 5, 10])
    problems: list[int] = field(default_factory=lambda: [100, 1000])
    kinds: list[str] = field(default_factory=list)
    pages: int = 0
    out: Path | None = None

    def __post_init__(self) -> None:
        at_least("pages", self.pages, 0)
        at_least("tables", self.tables, 2)
        for name, sizes, least in (("seeds", self.seeds, 1), ("problems", self.problems, 2)):
            for size in sizes:
                at_least(name, size, least)


@dataclass(frozen=True)
class BenchOptions:
    """What is timed.

    parts: engines, grading, sandbox, statistics, corpus; none = all five; or gpu, by itself. threads: of torch; 0 = as many as
    there are cores. out: file for the results; none = experiments/results/bench.jsonl, for gpu one in experiments/results/gpu.
    Of gpu: device: cuda or cpu. shape: of the model, 7b, 1.3b, 0.5b or tiny; several with commas; none = all but tiny. only:
    training, head, attention, decoding, step, deepspeed; several with commas; none = all. rounds: of which the best counts.
    """

    parts: list[str] = field(default_factory=list)
    threads: int = 0
    out: Path | None = None
    device: str = "cuda"
    shape: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    rounds: int = 5

    def __post_init__(self) -> None:
        at_least("threads", self.threads, 0)
        if GPU in self.parts and len(self.parts) > 1:
            raise ConfigError(f"bench {GPU} is a run of its own; give the other parts to another")
        for name in self.only:
            one_of("only", name, ("training", "head", "attention", "decoding", "step", "deepspeed"))
        one_of("device", self.device, ("cuda", "cpu"))
        for name in self.shape:
            one_of("shape", name, ("7b", "1.3b", "0.5b", "tiny"))
        at_least("rounds", self.rounds, 1)


def _conformance(call: Call) -> None:
    from unified_rl.labs import conformance

    golden = conformance.read(call.options.golden)
    compare = conformance.compare_dialects if call.options.dialects else conformance.compare
    found = [one for peer in call.options.peer or [""] for one in compare(golden, peer)]
    print(conformance.table(found))
    print(f"\n{conformance.summary(found)}")


def _audit(call: Call) -> None:
    from unified_rl.labs.audit import run

    print(run.run(call.options, call.rest, call.line))


def _bias_lab(call: Call) -> None:
    from unified_rl.labs import bias_lab

    _print_paths(bias_lab.run(call.options, call.line))


def _microscope(call: Call) -> None:
    from unified_rl.labs import microscope

    _print_paths(microscope.run(call.options, call.rest, call.line))


def _pass_rate(call: Call) -> None:
    from unified_rl.labs import pass_rate

    _print_paths(pass_rate.run(call.options, call.rest, call.line))


def _print_paths(paths: list[Path]) -> None:
    for path in paths:
        print(path)


def _reward_models(call: Call) -> None:
    from unified_rl.labs import reward_models

    folder = reward_models.run(call.options, call.rest)
    print(f"facts: {folder / 'quality'}   table: {folder / 'tables'}   figure: {folder / 'figures'}")


def _first_error(call: Call) -> None:
    from unified_rl.labs import first_error

    print(f"facts and table: {first_error.run(call.options)}")


def _interval_coverage(call: Call) -> None:
    from unified_rl.statistics import interval_coverage as simulated

    options: CoverageOptions = call.options
    for kind in options.kinds:
        one_of("kinds", kind, list(simulated.KINDS))
    if options.pages:
        from unified_rl.statistics import null_pages

        sizes = [null_pages.PageSize(seeds=seeds, primary=primary) for seeds in options.seeds for primary in (False, True)]
        found = [null_pages.null_row(size, options.pages) for size in sizes]
        print(null_pages.format_rows(found))
        _write_simulated(options.out, found, "null_pages", call.line)
        return
    chosen = simulated.cells(options.seeds, options.problems, options.kinds or simulated.KINDS)
    rows = []
    for row in simulated.coverage_table(chosen, options.tables):
        rows.append(row)
        print(simulated.format_row(row), flush=True)
    print(f"\nnominal 95 %, {options.tables} tables per cell\n{simulated.format_summary(rows)}")
    _write_simulated(options.out, rows, "interval_coverage", call.line)


def _write_simulated(out: Path | None, rows: list[dict[str, Any]], name: str, command: str) -> None:
    import pandas as pd

    from unified_rl.statistics.table_files import SCHEMA, write_table

    if out is not None:
        write_table(pd.DataFrame(rows), out, {"schema": SCHEMA, "table": name, "command": command})


def _bench(call: Call) -> int:
    options: BenchOptions = call.options
    if options.parts == [GPU]:
        from unified_rl.bench.gpu import report

        return report.run(options.device, options.shape, options.only, options.rounds, options.out)
    from unified_rl.bench import parts

    parts.run(options.parts, options.threads, options.out)
    return 0


COMMANDS: Mapping[str, Command] = {
    "conformance": Command(
        "our gradients beside those of other projects' own loss functions: project, loss, our line, largest difference",
        "trl golden=tests/data/golden",
        _conformance,
        ConformanceOptions,
        "peer",
    ),
    "audit": Command(
        "what a loss did to each token of another trainer's dumped rollouts, and what another loss would have done",
        "completions.parquet as=trl against=paper",
        _audit,
        AuditOptions,
        "rollouts",
        sections=("config",),
    ),
    "bias-lab": Command(
        "what every row's gradient is in expectation, beside the true ones, on a problem that is enumerated",
        "rows weight out=runs/bias_lab",
        _bias_lab,
        BiasLabOptions,
        "questions",
    ),
    "microscope": Command(
        "every method's coefficient, token by token and term by term, on the same responses to one prompt",
        "run=runs/mine responses=8",
        _microscope,
        MicroscopeOptions,
        sections=("config",),
    ),
    "pass-rate": Command(
        "a prompt's weight in the gradient against its pass rate, per method",
        "run=runs/mine prompts=128",
        _pass_rate,
        PassRateOptions,
        sections=("config",),
    ),
    "reward-models": Command(
        "how good completion labels and reward models trained on them are: a table and a figure",
        "preset=smoke",
        _reward_models,
        RewardModelsOptions,
        sections=("config",),
    ),
    "first-error": Command(
        "first-error detection of a reward model on human-marked solutions",
        "model=runs/prm data=steps.jsonl",
        _first_error,
        FirstErrorOptions,
    ),
    "interval-coverage": Command(
        "how often the 95 % intervals cover the truth, by simulation", "tables=200", _interval_coverage, CoverageOptions
    ),
    "bench": Command(
        "ratios and times measured side by side, on an idle machine; `bench gpu` on one with a CUDA GPU",
        "engines threads=2",
        _bench,
        BenchOptions,
        "parts",
    ),
}
