"""docs/reference/formats.md: the version of every stored format, from the constants that readers compare with."""

from __future__ import annotations

import ast
from pathlib import Path

from tools.reference.markdown import NOTE, table
from unified_rl import __version__

ROOT = Path(__file__).parents[2]
#: Module and constant -> the files whose version it is, and what makes them again.
FORMATS = {
    "records.artifacts.SCHEMA": ("`ARTIFACTS/KIND/KEY/manifest.json`: a stage's result", "the run that needs it"),
    "records.runs.RECORDS_SCHEMA": (
        "`checkpoints/step_*/records.json`: extents of a run's logs",
        "`unified-rl train`, from the start",
    ),
    "records.seals.SCHEMA": ("`manifest.json` of a run directory", "delete it: the files are then read as they are"),
    "records.reading.EVALUATION_SCHEMA": ("`evaluations/NAME/meta.json` and `samples.parquet`", "`unified-rl evaluate`"),
    "stages.base_models.SCHEMA": (
        "`base_model.json`: which model the evaluations beside it are of",
        "`unified-rl evaluate model=DIR`",
    ),
    "stages.iterate.SCHEMA": ("`iterate.json` of an iterative run, as it is written", "`unified-rl iterate`"),
    "statistics.iterations.RUN_SCHEMA": ("`iterate.json`, as it is read", "`unified-rl iterate`"),
    "stages.reward_model_quality.SCHEMA": ("facts on reward models, as they are written", "`unified-rl reward-models`"),
    "statistics.reward_models.SCHEMA": ("facts on reward models, as they are read", "`unified-rl reward-models`"),
    "stages.first_error.SCHEMA": ("facts on first errors, as they are written", "`unified-rl first-error`"),
    "statistics.first_error.SCHEMA": ("facts on first errors, as they are read", "`unified-rl first-error`"),
    "statistics.table_files.SCHEMA": ("`tables/*.csv`: the first line's JSON", "`unified-rl tables`"),
    "statistics.counts.SCHEMA": ("the votes of `unified-rl export`", "`unified-rl export`"),
    "statistics.load.SCHEMA": ("tables that `unified-rl show out=` saved", "`unified-rl show RUN out=FOLDER`"),
    "grids.folder.SCHEMA": ("`grid.json`", "`unified-rl grid`, the same command"),
}

INTRO = """What version {version} writes. Each file says its version in a field `schema`; a reader that knows another one
refuses the file by its name and says what makes it again. A number goes up when a reader of the old one would misread the new
one; fields that are added do not change it. What is in the files: [the run directory](../run_directory.md),
[grids](../grids.md), [tables](../analysis.md)."""


def formats_page() -> str:
    """The versions of this release's formats."""
    versions = declared()
    rows = [(what, str(versions[name]), remedy) for name, (what, remedy) in FORMATS.items()]
    return (
        "\n\n".join(
            [
                f"# Stored formats\n\n{NOTE}",
                INTRO.format(version=__version__),
                table(("format", "version", "made again by"), rows),
            ]
        )
        + "\n"
    )


def declared() -> dict[str, int]:
    """Every constant of the package that is a version of a format: MODULE.NAME -> its number."""
    found = {}
    for path in sorted((ROOT / "unified_rl").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "unified_rl").with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign):
                continue
            for name in (one.id for one in node.targets if isinstance(one, ast.Name)):
                if name.endswith("SCHEMA"):
                    found[f"{module}.{name}"] = int(ast.literal_eval(node.value))
    return found
