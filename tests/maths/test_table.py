"""The table is one place: a row that somebody forgot somewhere fails here, and no other file knows its name."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cases import CASES
from tiny import environment, wants

from unified_rl import planning
from unified_rl.cli import main
from unified_rl.methods import COEFFICIENTS, METHODS, page, signals, table
from unified_rl.planning import explain
from unified_rl.plotting.style import styles
from unified_rl.presets import match
from unified_rl.presets.loading import load_config
from unified_rl.sources.registry import SOURCES, WRAPPERS

PACKAGE = Path(__file__).parents[2] / "unified_rl"
#: Where the names of rows and coefficients belong: their own files, the arms of experiments, what theory says of each, and which of
#: them is which loss of another project.
OF_ROWS = (
    "methods/",
    "grids/",
    "statistics/pass_rate.py",
    "labs/conformance_lines.py",
    "labs/bias/questions.py",
    "planning/dialects.py",
    "presets/dialects.py",
)
#: Where the names of sources belong: their own files, and the rows of the table.
OF_SOURCES = ("sources/", "methods/")
#: Words that are names of other things too: the SFT stage, demonstrations as data, the stage that stores samples; of roles, the
#: grading policy, columns of tables, and fields of other sections.
OTHER_THINGS = {"sft", "demonstrations", "offline_samples", "policy", "value", "reference"}


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_every_coefficient_has_a_textbook_objective(name):
    assert COEFFICIENTS[name].name == name
    assert any(type(coefficient) is COEFFICIENTS[name] for coefficient, *_ in CASES.values()), (
        f"{name} has no case in tests/cases.py, so its gradient is not checked against its own objective"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_row_is_a_legal_configuration_that_is_planned_and_explained(name):
    config = load_config([f"method={name}", *wants(name)])
    row = METHODS[name]
    assert (config.source.name, config.aggregation.name, config.label) == (row.source, row.aggregation, row.label)
    text = explain.render(explain.facts(config))
    parts = [part["part"] for part in planning.plan(config)["memory"]["parts"]]
    for role in signals.beside_policy(config.coefficient.needs):
        assert role.label in text
        assert f"{role.label}: weights" in parts
    for need in config.coefficient.needs:
        assert need in signals.SIGNALS or need in signals.OF_THE_SOURCE


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_every_coefficient_has_a_formula_and_a_source_that_suits_it(name):
    options = COEFFICIENTS[name]()
    assert options.formula
    assert options.equation
    assert options.describe("outcome")
    config = load_config(["method=grpo"])
    aggregation = replace(config.aggregation, name="pair_mean" if "pairs" in options.needs else "sequence_mean")
    config = replace(config, coefficient=options, aggregation=aggregation)
    if "demonstrated" in options.needs:
        config = replace(config, source=replace(config.source, wrappers=["mixed"], mixed_with="demonstrations"))
        assert match.legal(config)
        return
    beside = [wrapper.name for wrapper in WRAPPERS.values() if wrapper.gives & options.needs]
    config = replace(config, source=replace(config.source, wrappers=beside))
    if beside:
        assert match.legal(config)
        return
    assert any(match.legal(replace(config, source=replace(config.source, name=source))) for source in SOURCES)


def test_every_row_has_a_look_of_its_own_in_figures():
    labels = [row.label for row in METHODS.values()]
    assert len(set(labels)) == len(labels)
    looks = [(style.color, style.marker, style.linestyle) for style in styles(labels).values()]
    assert len(set(looks)) == len(labels)


def test_the_table_is_printed_whole(capsys):
    assert {row["method"] for row in table()} == set(METHODS)
    assert main(["methods"]) == 0
    printed = capsys.readouterr().out
    for name in METHODS:
        assert name in printed


def test_the_documentation_has_the_registries():
    text = (PACKAGE.parent / "docs" / "methods.md").read_text()
    for found in (page.signals_table(), page.roles_table(), page.losses_table()):
        assert found in text, f"docs/methods.md is not what the registries say; put this in:\n{found}"


def test_the_table_and_all_checks_load_without_torch():
    code = (
        "import sys, unified_rl.methods, unified_rl.methods.importance, unified_rl.methods.losses, unified_rl.presets.rules\n"
        "from unified_rl.presets.loading import load_config\n"
        "[load_config(line.split(',')) for line in sys.argv[1:]]\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    lines = [",".join([f"method={name}", *wants(name)]) for name in METHODS]
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


def quoted(path):
    """String constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    }


@pytest.mark.parametrize(
    ("names", "homes"),
    [(set(SOURCES), OF_SOURCES), ({*METHODS, *COEFFICIENTS}, OF_ROWS), ({*signals.ROLES}, OF_ROWS)],
    ids=["sources", "rows", "roles"],
)
def test_no_other_file_quotes_a_name(names, homes):
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(homes) and (here := quoted(path) & (names - OTHER_THINGS)):
            found[place] = here
    assert not found
