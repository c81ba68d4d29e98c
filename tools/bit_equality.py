"""Lists every assertion of bit equality in the tests, with its reason from `tests/bit_equality.toml`.

    python -m tools.bit_equality

An assertion is a call of `torch.equal`, `array_equal`, `assert_array_equal`, `assert_frame_equal`, `read_bytes` or `tobytes` in a
function. Prints file, lines, function and reason; exits 1 where a reason is missing, or given for nothing.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
REASONS = ROOT / "tests" / "bit_equality.toml"
COMPARISONS = {"array_equal", "assert_array_equal", "assert_frame_equal", "read_bytes", "tobytes"}


def assertions(source: str) -> dict[str, list[int]]:
    """Lines of the comparisons in a file's text, by the outermost function that holds them."""
    found: dict[str, list[int]] = {}
    for function in _outermost_functions(ast.parse(source)):
        lines = sorted({node.lineno for node in ast.walk(function) if isinstance(node, ast.Call) and _compares(node)})
        if lines:
            found.setdefault(function.name, []).extend(lines)
    return found


def listed(tests: Path = ROOT / "tests", reasons: Path = REASONS) -> tuple[list[str], list[str]]:
    """Lines "file:lines function: reason", and complaints: functions without a reason, reasons without a function."""
    table = tomllib.loads(reasons.read_text(encoding="utf-8"))
    given = {
        (path, name): kind for kind, files in table["functions"].items() for path, names in files.items() for name in names
    }
    lines, complaints = [], [f"no such kind: {kind}" for kind in table["functions"] if kind not in table["reasons"]]
    for path in sorted(tests.rglob("*.py")):
        for name, numbers in assertions(path.read_text(encoding="utf-8")).items():
            place = path.relative_to(tests).as_posix()
            kind = given.pop((place, name), None)
            if kind is None:
                complaints.append(f"{place}:{numbers[0]}: {name} asserts bit equality and {reasons.name} does not say why")
            else:
                lines.append(f"{place}:{','.join(map(str, numbers))} {name}: {table['reasons'].get(kind)}")
    return lines, [*complaints, *(f"{place}: {name} has a reason, and asserts nothing" for place, name in given)]


def _outermost_functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node
        else:
            yield from _outermost_functions(node)


def _compares(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = call.func.value
    return call.func.attr in COMPARISONS or (call.func.attr == "equal" and isinstance(owner, ast.Name) and owner.id == "torch")


if __name__ == "__main__":
    found, wrong = listed()
    print("\n".join([*found, *wrong]))
    print(f"{len(found)} functions assert bit equality with a reason; {len(wrong)} complaints")
    sys.exit(bool(wrong))
