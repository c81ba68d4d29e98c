"""A finished figure as files: PDF for papers, PNG for screens, and the caption that must go with it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from unified_rl.plotting import style


def save(figure: Figure, out: Path | str, name: str, caption: Iterable[str]) -> list[Path]:
    """Write NAME.pdf, NAME.png and NAME.md (the caption: sentences, joined and wrapped). Returns their paths."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{name}.{suffix}" for suffix in ("pdf", "png", "md")]
    with style.sheet():  # its resolution, also for a figure that was made elsewhere
        figure.savefig(paths[0], metadata={"CreationDate": None})  # without the date, equal figures are equal files
        figure.savefig(paths[1])
    paths[2].write_text(
        textwrap.fill(" ".join(filter(None, caption)), width=110, break_on_hyphens=False) + "\n", encoding="utf-8"
    )
    return paths
