"""The command line: `unified-rl COMMAND [key=value ...]`. Errors a user can mend are one message and a non-zero exit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from unified_rl import __version__, loading, methods
from unified_rl.errors import ConfigError, UnifiedRLError
from unified_rl.stages import jobs

DESCRIPTION = """\
SFT, RFT, DPO, Online RFT, PPO and GRPO as one formula: data source x reward x gradient coefficient.

  unified-rl methods [--json]                           the table of methods
  unified-rl explain method=grpo [key=value ...]        what a configuration would do; starts nothing
  unified-rl compose-data stack=... [key=value ...]     tokenise the SFT data and say what it is composed of
  unified-rl train method=grpo run_dir=DIR [...]        train (resume=true goes on with an interrupted run)
  unified-rl iterate method=grpo_ps reward=model run_dir=DIR [iterate.iterations=2 ...]   iterative RL (Algorithm 1)
  unified-rl evaluate run=DIR [samples=64 ...]          sample from a run's latest checkpoint and store every response
  unified-rl grade FILE.jsonl [--json] [policy=math]    grade records of gold and prediction, or gold and response
  unified-rl regrade run=DIR [name=test]                rewrite the verdicts and answer classes of a stored evaluation
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="unified-rl", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=list(COMMANDS), metavar="|".join(COMMANDS))
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--json", action="store_true", help="machine-readable output (methods, explain, grade, regrade)")
    arguments = parser.parse_intermixed_args(words)
    try:
        COMMANDS[arguments.command](arguments.words, arguments.json)
    except UnifiedRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("interrupted; train again with resume=true to go on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _methods(words: Sequence[str], as_json: bool) -> None:
    if words:
        raise ConfigError(f"`unified-rl methods` takes no settings, got {' '.join(words)}; see `unified-rl explain {words[0]}`")
    rows = methods.table()
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text("grad J = E_{(q,o) ~ source} [ 1/|o| sum_t GC(q,o,t,reward) grad log pi(o_t|q,o_<t) ]")
    table = Table(title=title, show_lines=True)
    for heading in ("method", "data source", "reward", "gradient coefficient GC", "from"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        reward = "-" if row["reward"] == "none" else f"{row['reward']}, {row['supervision']}"
        cells = (row["method"], f"{row['source']}\n{row['source_in_words']}", reward, row["formula"], row["equation"])
        table.add_row(*(Text(cell) for cell in cells))  # Text: square brackets are formulas, not markup
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table)


def _explain(words: Sequence[str], as_json: bool) -> None:
    from unified_rl import explain

    config = loading.load_config(words)
    facts = explain.facts(config, words)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else explain.render(facts))


def _train(words: Sequence[str], as_json: bool) -> None:
    jobs.train(words)


def _iterate(words: Sequence[str], as_json: bool) -> None:
    jobs.iterate(words)


def _evaluate(words: Sequence[str], as_json: bool) -> None:
    jobs.evaluate(words)


def _compose_data(words: Sequence[str], as_json: bool) -> None:
    config = loading.load_config([*words, "method=sft"])
    config = replace(config, data=replace(config.data, prompts=config.sft.demonstrations))
    if not config.data.mixed:
        raise ConfigError(
            "compose-data describes a mix of demonstrations, and there is none: set data.demonstrations='[{path: FILE}]', or "
            "data.batch=rows to fill rows with the task's own solutions"
        )
    from unified_rl.stages.demonstrations import compose, described

    folder, composition = compose(config)
    print(json.dumps(composition, indent=1, ensure_ascii=False) if as_json else described(composition))
    print(f"stored: {folder}", file=sys.stderr)


def _grade(words: Sequence[str], as_json: bool) -> None:
    from unified_rl.grading import command

    command.run(words, as_json)


def _regrade(words: Sequence[str], as_json: bool) -> None:
    from unified_rl.stages import regrade

    regrade.run(words, as_json)


COMMANDS = {
    "train": _train,
    "iterate": _iterate,
    "evaluate": _evaluate,
    "methods": _methods,
    "explain": _explain,
    "compose-data": _compose_data,
    "grade": _grade,
    "regrade": _regrade,
}
