"""Tables -> figures. `python -m figures.make --tables DIR --out DIR [NAME ...]` draws all figures, or those named."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from figures import learning_curves, maj_pass, paper_figure7, results_table, sft_vs_rl
from unified_rl.errors import ConfigError, UnifiedRLError

#: Each module declares `INPUTS`, the tables it reads, and has `draw(tables, out) -> files`.
FIGURES: dict[str, ModuleType] = {
    "learning_curves": learning_curves,
    "maj_pass": maj_pass,
    "sft_vs_rl": sft_vs_rl,
    "paper_figure7": paper_figure7,
    "results_table": results_table,
}


def make(tables: Path | str, out: Path | str, names: Sequence[str] = ()) -> tuple[list[Path], list[UnifiedRLError]]:
    """Draw the named figures, or all. One that cannot be drawn does not stop the others.

    Returns:
        The files written, and an error per figure that could not be drawn.

    Raises:
        ConfigError: no figure has that name.
    """
    for name in names:
        if name not in FIGURES:
            close = difflib.get_close_matches(name, FIGURES, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(f"there is no figure {name!r}; {hint}choose from: {', '.join(FIGURES)}")
    files: list[Path] = []
    errors: list[UnifiedRLError] = []
    for name in names or FIGURES:
        try:
            files += FIGURES[name].draw(tables, out)
        except UnifiedRLError as error:
            errors.append(type(error)(f"figure {name}: {error}"))
    return files, errors


def main(argv: Sequence[str] | None = None) -> int:
    listed = "; ".join(f"{name} (reads {', '.join(module.INPUTS)})" for name, module in FIGURES.items())
    parser = argparse.ArgumentParser(prog="python -m figures.make", description="Draw figures from analysis tables.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"figures to draw, all by default: {listed}")
    parser.add_argument("--tables", type=Path, required=True, help="folder that `python -m analysis.tables` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    options = parser.parse_args(argv)
    try:
        files, errors = make(options.tables, options.out, options.names)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for path in files:
        print(path)
    for error in errors:
        print(error, file=sys.stderr)
    return errors[0].exit_code if errors else 0


if __name__ == "__main__":
    sys.exit(main())
