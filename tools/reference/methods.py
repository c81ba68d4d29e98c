"""docs/reference/methods.md: every row with its equation, and every coefficient with its options, from the table of methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tools.reference.markdown import NOTE, prose, table
from unified_rl import methods
from unified_rl.cli.schema import Setting, settings
from unified_rl.methods import COEFFICIENTS
from unified_rl.methods.table import FAMILIES

INTRO = """Every method is a row: a data source, a reward and a gradient coefficient GC in

    grad J = E_{{(q, o) ~ source}} [ 1/|o| sum_t  GC(q, o, t, reward)  grad log pi(o_t | q, o_<t) ]        (Eq. 5)

where 1/|o| is the [aggregation](settings.md#aggregation) and rho = pi / pi_old. r is the reward, A the advantage, pi_ref the
reference, m a pair's margin, sigma the logistic function. There are {rows} rows of {coefficients} coefficients; `unified-rl
methods NAME` prints one with all its settings, `unified-rl methods --diff A B` what two differ in. What rows are composed of,
signals and losses: [methods](../methods.md)."""
COEFFICIENTS_INTRO = "`coefficient=NAME`, and `coefficient.OPTION=VALUE` for its options, whose defaults are named here."


def methods_page() -> str:
    """The rows family by family, then the coefficients, then their options."""
    rows = methods.table()
    blocks = [
        f"# Methods and their equations\n\n{NOTE}",
        INTRO.format(rows=len(rows), coefficients=len(COEFFICIENTS)),
    ]
    for family, (heading, _) in FAMILIES.items():
        here = [row for row in rows if row["family"] == family]
        blocks.append(f"## {heading}\n\n{_rows(here)}")
    blocks.append(f"## The coefficients\n\n{COEFFICIENTS_INTRO}")
    blocks += [_coefficient(name) for name in COEFFICIENTS]
    blocks.append(f"## Options of the coefficients\n\n{_options()}")
    return "\n\n".join(blocks) + "\n"


def _rows(rows: list[dict[str, str]]) -> str:
    return table(
        ("method", "name", "source", "reward", "gradient coefficient", "from"),
        [
            (
                f"`{row['method']}`",
                row["label"],
                f"`{row['source']}`",
                row["reward"] if row["supervision"] in ("none", "outcome") else f"{row['reward']}, per step",
                f"`{row['formula']}`",
                row["equation"],
            )
            for row in rows
        ],
    )


def _coefficient(name: str) -> str:
    options = COEFFICIENTS[name]
    own = [one for one in settings(options, "") if one.name != "name"]
    needs = ", ".join(f"`{one}`" for one in sorted(options.needs)) or "nothing beside the responses"
    first = prose(" ".join((options.__doc__ or "").split("\n\n")[0].split()))
    written = ", ".join(f"`{one.name}={'none' if one.default == '-' else one.default}`" for one in own)
    lines = [
        f"### {name}",
        "",
        first,
        "",
        f"    {options.formula}",
        "",
        f"From {options.equation or 'this table'}. Needs {needs}.",
    ]
    return "\n".join([*lines, "", f"Options: {written}." if own else "No options."])


def _options() -> str:
    """A row per option and meaning, with the coefficients that have it."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, one in _all_settings():
        found[one.name, "; ".join(filter(None, (one.kind, one.allowed))), one.text].append(name)
    every = len(COEFFICIENTS)
    rows = [
        (f"`{option}`", kind, prose(text), f"{len(names)} of the {every}" if len(names) > 6 else ", ".join(names))
        for (option, kind, text), names in found.items()
    ]
    return table(("option", "type", "what it is", "of"), rows)


def _all_settings() -> Iterator[tuple[str, Setting]]:
    for name, options in COEFFICIENTS.items():
        yield from ((name, one) for one in settings(options, "") if one.name != "name")
