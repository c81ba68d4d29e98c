"""Shipping a finished grid: its plan, tables, figures and cost into the folder of results, which docs/results.md is made from.

What it was priced at before it began (`folder.note_price`) is shipped beside what it took. A grid of the testing
preset is no result, and one with cells that are not done is none yet. What a person wrote of the tables (reading.md) is kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.grids.costs import parameters
from unified_rl.grids.folder import FILE, PRICE
from unified_rl.launch.cells import Cell, read_record, standing
from unified_rl.pages.results.shipped import COST, FIGURES, READING
from unified_rl.stages.kinds.pretrain import config_of

TESTING, DEFAULT = "testing", "default"
TABLES = "tables"
#: What is shipped of a folder of figures: pictures, captions, tables in LaTeX. (A PDF is drawn again from the tables.)
PICTURES = (".png", ".md", ".tex")


def ship(folder: Path, results: Path) -> Path:
    """Copy what a finished grid has to say into `results`, in place of what was there under its name; returns where.

    Raises:
        DataError: no grid's folder, a testing preset, cells that are not done, or no tables; says what to do.
    """
    plan, cells = _plan(folder)
    if plan["preset"] == TESTING:
        raise DataError(f"{folder} is of the preset {TESTING}, which shows that a grid runs and is no result; run another")
    undone = [cell.name for cell in cells if standing(cell, folder).state != "done"]
    if undone:
        raise DataError(
            f"{folder}: {len(undone)} of {len(cells)} cells are not done ({undone[0]} ...); run the grid's command again"
        )
    if not any((folder / TABLES).rglob("*.csv")):
        raise DataError(f"{folder / TABLES} holds no tables; make them with: unified-rl tables {folder}")
    said = f"{plan['name']}_{plan['preset']}"
    name = plan["name"] if plan["preset"] == DEFAULT else said
    place = results / name
    results.mkdir(parents=True, exist_ok=True)
    with files.replacing(place) as aside:
        _copy(folder, aside, f"runs/{said}")
        files.write_json(aside / COST, cost(cells, folder))
        if (place / READING).exists():
            shutil.copy2(place / READING, aside / READING)
    return place


def cost(cells: Sequence[Cell], folder: Path) -> dict[str, Any]:
    """What it was priced at before it began (None where nobody noted it), and what its cells took; seconds of one core.

    copied: cells that another grid had run, not counted. by_the_clock: cells of whose record no CPU seconds are known. interrupted:
    cells that were not run in one go, whose earlier attempts are not counted. parameters: of the policy's matrices.
    """
    price, found = folder / PRICE, [(cell, read_record(cell, folder)) for cell in cells]
    records = [(cell, record) for cell, record in found if record]
    return {
        "priced_core_seconds": json.loads(price.read_text(encoding="utf-8"))["core_seconds"] if price.exists() else None,
        "took_core_seconds": round(sum(_took(cell, record) for cell, record in records), 1),
        "cells": len(cells),
        "copied": len(cells) - len(records),
        "by_the_clock": sum("cpu_seconds" not in record for _, record in records),
        "interrupted": sum(not record.get("whole", False) for _, record in records),
        "parameters": parameters(config_of(cells[0].command, cells[0].train).model),
    }


def _took(cell: Cell, record: dict[str, Any]) -> float:
    """CPU seconds; records of before they were noted have seconds by the clock."""
    return float(record.get("cpu_seconds", record.get("seconds", 0.0) * cell.cores))


def _plan(folder: Path) -> tuple[dict[str, Any], list[Cell]]:
    path = folder / FILE
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        facts = [{"name": cell.pop("id"), "train": cell.pop("words"), **cell} for cell in plan["cells"]]
        return plan, [Cell.from_json(json.dumps(cell)) for cell in facts]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no plan of a grid ({error}); give a folder that `unified-rl grid` made") from error


def _copy(folder: Path, to: Path, said: str) -> None:
    """said: what texts are to call the grid's folder. Where it and the artefacts are on this machine is not shipped."""
    plan = json.loads((folder / FILE).read_text(encoding="utf-8"))
    for cell in plan["cells"]:
        cell["words"] = [word for word in cell["words"] if not word.startswith("artifacts=")]
    to.mkdir(parents=True)
    files.write_json(to / FILE, plan)
    found = [(path, path.relative_to(folder / TABLES)) for path in (folder / TABLES).rglob("*.csv")]
    pictures = [path for path in (folder / FIGURES).rglob("*") if path.suffix in PICTURES]
    found += [(path, FIGURES / path.relative_to(folder / FIGURES)) for path in pictures]
    for path, place in found:
        (to / place).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            shutil.copy2(path, to / place)
        else:
            text = path.read_text(encoding="utf-8")
            files.write_text(to / place, text.replace(str(folder.resolve()), said))
