"""The pages of the reference by their files, written where they have changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.reference.formats import formats_page
from tools.reference.methods import methods_page
from tools.reference.metrics import metrics_page
from tools.reference.settings import commands_page, settings_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "methods.md": methods_page,
    "metrics.md": metrics_page,
    "formats.md": formats_page,
}


def write() -> list[Path]:
    """Write all pages; returns their paths."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return [FOLDER / name for name in PAGES]
