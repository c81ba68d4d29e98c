"""The command that makes a corpus of web pages, by steps: recall, annotate, decontaminate, tokenise, report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unified_rl.cli.grammar import JSON, Call, Command
from unified_rl.config.ranges import one_of
from unified_rl.corpus.settings import CorpusConfig

STEPS = ("recall", "annotate", "decontaminate", "tokenise", "report")


@dataclass(frozen=True)
class CorpusOptions:
    """Which step.

    step: recall, annotate, decontaminate, tokenise or report.
    """

    step: str

    def __post_init__(self) -> None:
        one_of("step", self.step, STEPS)


def _corpus(call: Call) -> None:
    from unified_rl.corpus import jobs, marking, report
    from unified_rl.corpus.executors import Submitted
    from unified_rl.corpus.loading import load

    config, step = load(call.rest), call.options.step
    line = shlex.join(["unified-rl", "corpus", "recall", *call.rest])
    try:
        if step == "recall":
            _print_rounds(jobs.recall(config, line), call.json)
        elif step == "annotate":
            print(marking.run(config))
        elif step == "report":
            print(report.write(config))
        else:
            _print_facts((jobs.decontaminate if step == "decontaminate" else jobs.tokenise)(config), call.json)
    except Submitted as submitted:
        print(submitted)


def _print_rounds(told: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    print("round  kept pages  kept tokens  overlap  chosen domains  precision  recall (held-out pages)")
    for one in told:
        quality = one["quality"] or {}
        shares = [_share(value) for value in (one["overlap"], quality.get("precision"), quality.get("recall"))]
        print(
            f"{one['round']:>5}  {one['kept pages']:>10,}  {one['kept tokens']:>11,}  {shares[0]:>7}  {one['chosen domains']:>14}  "
            f"{shares[1]:>9}  {shares[2]:>6}"
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}: " + ", ".join(f"{key} {count:,}" for key, count in value.items()))
        else:
            print(f"{name}: {', '.join(value) or 'none' if isinstance(value, list) else f'{value:,}'}")


COMMANDS: Mapping[str, Command] = {
    "corpus": Command(
        "web pages to a corpus: recall in rounds, deduplication, decontamination, token files",
        "recall corpus=small data.path=crawl data.seed=seed.txt run_dir=runs/corpus",
        _corpus,
        CorpusOptions,
        "step",
        flags=JSON,
        whole=CorpusConfig,
        goes_on="",
        more="recall reads and deduplicates the pages and runs the rounds; it stops with a table of URL paths to mark, and goes on "
        "when they are marked. annotate asks for the marks. decontaminate takes benchmarks out of what was kept, tokenise writes "
        ".bin/.idx, report a page. Later steps take what they are not told from run_dir. "
        "corpus=deepseekmath has the paper's settings.",
    ),
}
