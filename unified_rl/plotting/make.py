"""Tables -> figures: those named, or all whose tables are there. `unified-rl figures tables=DIR out=DIR [NAME ...]`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from unified_rl.base.errors import ConfigError, UnifiedRLError
from unified_rl.plotting import (
    contrasts,
    cot_pass,
    dynamics,
    effective_rate,
    iterations,
    learning_curves,
    maj_pass,
    microscope,
    paper_figure5,
    paper_figure6,
    paper_figure7,
    paper_tables,
    pass_rate,
    renewal_quality,
    results_table,
    reward_models,
    sft_vs_rl,
    sizes,
    table10,
    wrong_forms,
)

#: Each module declares `INPUTS`, the tables it reads, and has `draw(tables, out) -> files`. One without inputs is drawn from what
#: the library holds (the method table, the paper's points), with our own curves beside them where `OPTIONAL_INPUTS` are there.
FIGURES: dict[str, ModuleType] = {
    "learning_curves": learning_curves,
    "maj_pass": maj_pass,
    "sft_vs_rl": sft_vs_rl,
    "paper_figure7": paper_figure7,
    "results_table": results_table,
    "contrasts": contrasts,
    "iterations": iterations,
    "dynamics": dynamics,
    "cot_pass": cot_pass,
    "effective_rate": effective_rate,
    "wrong_forms": wrong_forms,
    "renewal_quality": renewal_quality,
    "sizes": sizes,
    "microscope": microscope,
    "pass_rate": pass_rate,
    "reward_models": reward_models,
    "table10": table10,
    "paper_figure5": paper_figure5,
    "paper_figure6": paper_figure6,
    "paper_tables": paper_tables,
}


def make(tables: Path | str, out: Path | str, names: Sequence[str] = ()) -> tuple[list[Path], list[UnifiedRLError]]:
    """Draw the named figures, or all whose tables are there. One that cannot be drawn does not stop the others.

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
    for name in names or (drawable(tables) and [*drawable(tables), *without_inputs()]) or FIGURES:
        try:
            files += FIGURES[name].draw(tables, out)
        except UnifiedRLError as error:
            errors.append(type(error)(f"figure {name}: {error}"))
    return files, errors


def drawable(tables: Path | str) -> list[str]:
    """The figures whose tables are all in the folder: not every experiment makes every table."""
    fed = {name: module for name, module in FIGURES.items() if module.INPUTS}
    return [name for name, module in fed.items() if all((Path(tables) / table).exists() for table in module.INPUTS)]


def without_inputs() -> list[str]:
    """The figures that need no table."""
    return [name for name, module in FIGURES.items() if not module.INPUTS]
