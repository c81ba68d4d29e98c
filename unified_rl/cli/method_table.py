"""Commands on methods and configurations: the table, its rows, their differences; what a configuration is and would do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from unified_rl import methods
from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.base.terminal import Escaping
from unified_rl.cli.grammar import JSON, Call, Command
from unified_rl.cli.schema import settings, written
from unified_rl.methods import COEFFICIENTS
from unified_rl.presets import loading
from unified_rl.records.config_file import as_text

HEADINGS = ("method", "data source", "reward", "gradient coefficient GC", "from")


@dataclass(frozen=True)
class MethodsOptions:
    """Which rows.

    names: methods, by their names in the table; none = the whole table.
    """

    names: list[str] = field(default_factory=list)


def _methods(call: Call) -> None:
    rows = {row["method"]: row for row in methods.table()}
    names = call.options.names
    for name in names:
        if name not in rows:
            raise ConfigError(f"there is no method {name!r}{did_you_mean(name, rows)}")
    if "--diff" in call.flags:
        if len(set(names)) != 2:
            raise ConfigError("methods --diff takes two methods, for example: unified-rl methods --diff grpo dr_grpo")
        differences = list(differing(*(described(rows[name]) for name in names)))
        print(json.dumps(differences, indent=1, ensure_ascii=False) if call.json else _side_by_side(names, differences))
    elif call.json:
        print(json.dumps([rows[name] for name in names or rows], indent=1, ensure_ascii=False))
    elif names:
        print("\n\n".join(_row_in_full(described(rows[name])) for name in names))
    else:
        _print_table(list(rows.values()))


def described(row: Mapping[str, str]) -> dict[str, str]:
    """A row in words: what it is, what its coefficient needs, and its options and other settings as they come by default."""
    options, config = COEFFICIENTS[row["coefficient"]], loading.compose([f"method={row['method']}"])
    found = {
        "method": row["method"],
        "label": row["label"],
        "source": f"{row['source']}: {row['source_in_words']}",
        "reward": row["reward"],
        "supervision": row["supervision"],
        "coefficient": row["coefficient"],
        "formula": row["formula"],
        "from": row["equation"],
        "unit": str(options.unit),
        "needs": ", ".join(sorted(options.needs)) or "nothing beside the responses",
        "aggregation": config.aggregation.name,
    }
    for setting in settings(options, "coefficient."):
        name = setting.name.removeprefix("coefficient.")
        if name != "name":
            found[setting.name] = written(getattr(config.coefficient, name))
    for name in ("correct", "incorrect", "overlong"):
        found[f"reward.{name}"] = written(getattr(config.reward, name))
    for name in ("epochs", "minibatches", "responses_per_prompt"):
        found[f"rollout.{name}"] = written(getattr(config.rollout, name))
    return found


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(what, ours, theirs) of what two rows differ in; "-" for what one of them does not have."""
    for name in dict.fromkeys([*ours, *theirs]):
        a, b = ours.get(name, "-"), theirs.get(name, "-")
        if a != b and name not in ("method", "label"):
            yield name, a, b


def _row_in_full(row: Mapping[str, str]) -> str:
    width = max(map(len, row))
    return "\n".join(f"{name:{width}}  {text}" for name, text in row.items())


def _side_by_side(names: list[str], differences: list[tuple[str, str, str]]) -> str:
    """One block per difference."""
    width = max(map(len, names))
    blocks = [f"{what}\n  {names[0]:{width}}  {a}\n  {names[1]:{width}}  {b}" for what, a, b in differences]
    return "\n".join(blocks) or "no difference by default"


def _print_table(rows: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text("grad J = E_{(q,o) ~ source} [ 1/|o| sum_t GC(q,o,t,reward) grad log pi(o_t|q,o_<t) ]")
    table = Table(title=title, show_lines=True)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in rows:
        reward = "-" if row["reward"] == "none" else f"{row['reward']}, {row['supervision']}"
        cells = (row["method"], f"{row['source']}\n{row['source_in_words']}", reward, row["formula"], row["equation"])
        table.add_row(*(Text(cell) for cell in cells))  # Text: square brackets are formulas, not markup
    out = sys.stdout.beneath if isinstance(sys.stdout, Escaping) else sys.stdout
    console = Console(file=out)
    console = console if console.is_terminal else Console(file=out, width=140)
    console.print(table)


def _explain(call: Call) -> None:
    from unified_rl.planning import explain

    config = loading.load_config(call.rest)
    facts = explain.facts(config, call.rest)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if call.json else explain.render(facts))


def _config(call: Call) -> None:
    facts = loading.as_dict(loading.load_config(call.rest))
    print(json.dumps(facts, indent=1, ensure_ascii=False) if call.json else as_text(facts), end="")


COMMANDS: Mapping[str, Command] = {
    "methods": Command(
        "the table of methods; NAME: one row with its options; --diff A B: what two rows differ in",
        "--diff grpo dr_grpo",
        _methods,
        MethodsOptions,
        "names",
        {"--diff": "what the two methods that are named differ in", **JSON},
        instead="; `unified-rl explain method=NAME` takes settings",
    ),
    "explain": Command(
        "what a configuration would do; starts nothing", "method=grpo", _explain, flags=JSON, sections=("config",)
    ),
    "config": Command(
        "the whole of a configuration as YAML, as a run of it would store it",
        "method=grpo trainer.steps=8",
        _config,
        flags=JSON,
        sections=("config",),
    ),
}
