"""Writes what the documentation says from the code itself: docs/map.md, the floors in CONTRIBUTING.md, and docs/reference.

    python -m tools.map

The map is the first line of each module's docstring; the floors are those that the import linter checks (pyproject.toml);
the reference is `tools.reference`.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.reference.pages import write

ROOT = Path(__file__).parents[1]
MAP, CONTRIBUTING = ROOT / "docs" / "map.md", ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- floors: written by tools/map.py -->\n", "<!-- end of floors -->\n"
HEAD = """# Map: every file in one line

Written by `python -m tools.map` from the first line of each module's docstring.
"""


def map_text(root: Path = ROOT) -> str:
    """docs/map.md, whole. Raises ValueError where a module says nothing of itself."""
    blocks = [HEAD]
    for folder in sorted({path.parent for path in _modules(root)}):
        init = folder / "__init__.py"
        title = f"## {folder.relative_to(root)}/" + (f"\n\n{first_line(init)}" if init.exists() else "")
        files = [path for path in _modules(root) if path.parent == folder and path.name != "__init__.py"]
        rows = [f"| [{path.name}](../{path.relative_to(root)}) | {_cell(first_line(path))} |" for path in files]
        blocks.append("\n".join([title, "", *(["| file | what |", "|---|---|", *rows] if rows else [])]).rstrip() + "\n")
    return "\n".join(blocks)


def first_line(path: Path) -> str:
    """The first sentence or line of a module's docstring, whichever is longer, on one line.

    Raises:
        ValueError: it has none.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path} has no docstring, so the map cannot say what it is for")
    return docstring.split("\n\n")[0].split("\n")[0].strip()


def floors_text(root: Path = ROOT) -> str:
    """The table of floors, the highest first, as the contract "Floors" has them."""
    facts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [one for one in facts["tool"]["importlinter"]["contracts"] if one["name"].startswith("Floors")]
    lines = ["| floor | modules of `unified_rl` |", "|---|---|"]
    for place, layer in enumerate(contract["layers"]):
        names = " ".join(f"`{name.strip().removeprefix('unified_rl.')}`" for name in layer.split("|"))
        lines.append(f"| {len(contract['layers']) - place} | {names} |")
    return "\n".join(lines) + "\n"


def with_floors(text: str, floors: str) -> str:
    """CONTRIBUTING.md with the table put between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + floors + END + rest.split(END)[1]


def _modules(root: Path) -> Iterator[Path]:
    for top in ("unified_rl", "experiments", "figures", "tools"):
        yield from sorted((root / top).rglob("*.py"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    MAP.write_text(map_text(), encoding="utf-8")
    CONTRIBUTING.write_text(with_floors(CONTRIBUTING.read_text(encoding="utf-8"), floors_text()), encoding="utf-8")
    print(MAP, CONTRIBUTING, *write())
