"""Commands on methods and configurations: the table, its rows, their differences; what a configuration is and would do."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from unified_rl import methods
from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.cli.grammar import JSON, Call, Command
from unified_rl.cli.schema import settings, written
from unified_rl.methods import COEFFICIENTS
from unified_rl.methods.table import FAMILIES
from unified_rl.presets import loading
from unified_rl.records.config_file import as_text

FORMULA = (
    "grad J = E_{(q,o) ~ source} [ 1/|o| sum_t GC(q,o,t,reward) grad log pi(o_t|q,o_<t) ]; a line: name, source, reward, GC"
)
#: Width of the list where there is no terminal to ask.
WIDTH = 160


@dataclass(frozen=True)
class MethodsOptions:
    """Which rows.

    names: methods, by their names in the table; none = the whole table, a line per row. family, source, reward, supervision,
    coefficient: only the rows of that one.
    """

    names: list[str] = field(default_factory=list)
    family: str = ""
    source: str = ""
    reward: str = ""
    supervision: str = ""
    coefficient: str = ""


def _methods(call: Call) -> None:
    rows = {row["method"]: row for row in methods.table()}
    names = call.options.names
    for name in names:
        if name not in rows:
            raise ConfigError(f"there is no method {name!r}{did_you_mean(name, rows)}")
    if "--diff" in call.flags:
        _print_difference(call, rows)
        return
    chosen = filtered([rows[name] for name in names or rows], call.options)
    if call.json:
        print(json.dumps(chosen, indent=1, ensure_ascii=False))
    elif names:
        print("\n\n".join(_row_in_full(described(row)) for row in chosen))
    else:
        print(listed(chosen, _width()))


def filtered(rows: list[dict[str, str]], options: MethodsOptions) -> list[dict[str, str]]:
    """The rows that have what the options ask for.

    Raises:
        ConfigError: no row of the table has it.
    """
    for name in (item.name for item in fields(options) if item.name != "names"):
        wanted = getattr(options, name)
        known = list(dict.fromkeys(row[name] for row in methods.table()))
        if wanted and wanted not in known:
            raise ConfigError(f"no row has {name}={wanted!r}{did_you_mean(wanted, known)}; choose from: {', '.join(known)}")
        rows = [row for row in rows if wanted in ("", row[name])]
    return rows


def listed(rows: list[dict[str, str]], width: int) -> str:
    """A line per row, families as headings; what does not fit the width is cut."""
    names, sources = (max((len(row[key]) for row in rows), default=0) for key in ("method", "source"))
    lines = [FORMULA]
    for family, (heading, _) in FAMILIES.items():
        here = [row for row in rows if row["family"] == family]
        if here:
            lines += ["", f"{heading} (family={family})"]
        for row in here:
            reward = "-" if row["reward"] == "none" else row["reward"]
            line = f"  {row['method']:{names}}  {row['source']:{sources}}  {reward:5}  {row['formula']}  [{row['equation']}]"
            lines.append(line if len(line) <= width else f"{line[: width - 3]}...")
    more = "unified-rl methods NAME: one in full; --diff A B: two compared; filters: source=..., family=..., reward=..."
    return "\n".join([*lines, "", f"{len(rows)} rows. {more}"])


def _width() -> int:
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def _print_difference(call: Call, rows: Mapping[str, Mapping[str, str]]) -> None:
    names = call.options.names
    if len(set(names)) != 2:
        raise ConfigError("methods --diff takes two methods, for example: unified-rl methods --diff grpo dr_grpo")
    differences = list(differing(*(described(rows[name]) for name in names)))
    from unified_rl.labs import contrast

    compared = contrast.compare(*names)
    if call.json:
        found = {"settings": differences, "batch": compared.facts()}
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    print(_side_by_side(names, differences))
    print(f"\n{compared.text()}")
    print(f"\nthe same of a policy's own responses, drawn: unified-rl microscope methods={','.join(names)} run=RUN")


def described(row: Mapping[str, str]) -> dict[str, str]:
    """A row in words: what it is, what its coefficient needs, and its options and other settings as they come by default."""
    options, config = COEFFICIENTS[row["coefficient"]], loading.compose([f"method={row['method']}"])
    found = {
        "method": row["method"],
        "label": row["label"],
        "family": row["family"],
        "source": f"{row['source']}: {row['source_in_words']}",
        "reward": row["reward"],
        "supervision": row["supervision"],
        "coefficient": row["coefficient"],
        "formula": row["formula"],
        "from": row["equation"],
        "unit": str(config.coefficient.unit),
        "needs": ", ".join(sorted(config.coefficient.needs)) or "nothing beside the responses",
        "aggregation": config.aggregation.name,
        **{
            f"source.{name}": written(value)
            for name, value in methods.METHODS[row["method"]].settings.get("source", {}).items()
        },
        **{f"losses.{name}": written(weight) for name, weight in config.losses.items()},
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


def _explain(call: Call) -> None:
    from unified_rl.planning import explain

    given = loading.parse_words(call.rest)
    if given.get("mix") and "method" not in given:
        _explain_pretraining(call)
        return
    config = loading.load_config(call.rest)
    facts = explain.facts(config, call.rest)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if call.json else explain.render(facts))


def _explain_pretraining(call: Call) -> None:
    """Of a mix alone, what `unified-rl pretrain` would do with it."""
    from unified_rl.planning import pretraining
    from unified_rl.stages.kinds.pretrain import runs_of

    facts = pretraining.facts(runs_of(call.rest), call.rest)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if call.json else pretraining.described(facts))


def _config(call: Call) -> None:
    facts = loading.as_dict(loading.load_config(call.rest))
    print(json.dumps(facts, indent=1, ensure_ascii=False) if call.json else as_text(facts), end="")


COMMANDS: Mapping[str, Command] = {
    "methods": Command(
        "the table of methods; NAME: one row with its options; --diff A B: what two rows differ in, and on which tokens",
        "--diff grpo dr_grpo",
        _methods,
        MethodsOptions,
        "names",
        {"--diff": "what the two methods that are named differ in", **JSON},
        instead="; `unified-rl explain method=NAME` takes settings",
    ),
    "explain": Command(
        "what a configuration would do, or with mix=NAME alone, a pre-training; starts nothing",
        "method=grpo",
        _explain,
        flags=JSON,
        sections=("config",),
    ),
    "config": Command(
        "the whole of a configuration as YAML, as a run of it would store it",
        "method=grpo trainer.steps=8",
        _config,
        flags=JSON,
        sections=("config",),
    ),
}
