"""Whether time grows with the length of a text, or faster: measured on inputs that are built from a pattern's own parts."""

from __future__ import annotations

import ast
import gc
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]

FLOOR = 0.03  # seconds: what the longest input may take without its growth being looked at
RATIO = 3.0
HUGE = 0.5  # seconds for one of the shorter inputs: no need to try a longer one

SHORT = 0.02  # seconds for some thirty characters

NEVER = "\x00"  # a character that no pattern asks for: a match that was almost there fails here


def seconds(work: Callable[[str], object], text: str) -> float:
    gc.disable()
    try:
        start = time.process_time()
        work(text)
        return time.process_time() - start
    finally:
        gc.enable()


def fault(work: Callable[[str], object], make: Callable[[int], str], cap: int) -> str:
    """Why the time of `work` grows faster than the length of `make(n)` up to `cap`; "" where it does not."""
    for length in range(8, 31):
        if (spent := seconds(work, make(length))) > SHORT:
            return f"{spent:.2f} s at {length} characters"
    for length in (200, cap // 40, cap // 10, cap // 4):
        if (spent := seconds(work, make(length))) > HUGE:
            return f"{spent:.2f} s at {length} characters"
    half, whole = make(cap // 2), make(cap)
    if seconds(work, whole) < FLOOR:
        return ""
    for _ in range(2):  # a busy machine can slow one look of three, a text that grows too fast is slow in both
        short, long = (
            min(times) for times in zip(*((seconds(work, half), seconds(work, whole)) for _ in range(3)), strict=True)
        )
        if long < FLOOR or long < RATIO * short:
            return ""
    return f"{short:.3f} s at {cap // 2} characters, {long:.3f} s at {cap}"


def repeated(head: str, unit: str, tail: str = "") -> Callable[[int], str]:
    return lambda length: head + unit * max(1, (length - len(head) - len(tail)) // max(1, len(unit))) + tail


# --- the patterns of the sources


def patterns(packages: tuple[str, ...]) -> Iterator[tuple[str, re.Pattern[str], str]]:
    """(name, pattern, method it is used with) of every pattern of the modules: those compiled at import, and literals in calls."""
    for module in _modules(packages):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        used = _methods(tree)
        for name, value in vars(module).items():
            methods = used.get(name, {"finditer"})
            yield from ((f"{module.__name__}.{name}", one, work) for one in _compiled(value) for work in methods)
        for node in ast.walk(tree):
            if _is_call_of_re(node) and node.func.attr != "compile" and isinstance(node.args[0], ast.Constant):
                compiled = re.compile(node.args[0].value, _flags(node))
                yield f"{module.__name__}:{node.lineno}", compiled, _work(node.func.attr)


def _methods(tree: ast.AST) -> dict[str, set[str]]:
    """The methods that each name is used with, as "match", "fullmatch" or "finditer" (all that look everywhere)."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(_work(node.attr))
    return found


def _flags(call: ast.Call) -> int:
    """The flags that a call of `re` names: re.DOTALL | re.MULTILINE."""
    flags = 0
    for argument in [*call.args[1:], *(one.value for one in call.keywords)]:
        for node in ast.walk(argument):
            if isinstance(node, ast.Attribute) and isinstance(getattr(re, node.attr, None), re.RegexFlag):
                flags |= getattr(re, node.attr)
    return flags


def _work(method: str) -> str:
    return method if method in ("match", "fullmatch") else "finditer"


def uses(pattern: re.Pattern[str]) -> dict[str, Callable[[str], object]]:
    """What can be done with a pattern, by the names of `patterns`."""
    return {
        "match": pattern.match,
        "fullmatch": pattern.fullmatch,
        "finditer": lambda text: sum(1 for _ in pattern.finditer(text)),
    }


def unseen(packages: tuple[str, ...]) -> list[str]:
    """Calls of `re` inside functions whose pattern is put together there, so that no test could find it."""
    found = []
    for module in _modules(packages):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                calls = [node for node in ast.walk(function) if _is_call_of_re(node)]
                found += [f"{module.__name__}:{node.lineno}" for node in calls if isinstance(node.args[0], ast.JoinedStr)]
    return found


def _modules(packages: tuple[str, ...]) -> Iterator:
    for name in packages:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.iter_modules(getattr(package, "__path__", [])):
            yield importlib.import_module(f"{name}.{found.name}")


def _compiled(value: object) -> list[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        return [value] if isinstance(value.pattern, str) else []
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return [found for one in value for found in _compiled(one)]
    return []


def _is_call_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and bool(node.args)
    )


# --- inputs from a pattern's parts


def attacks(pattern: re.Pattern[str]) -> list[Callable[[int], str]]:
    """Inputs that repeat what the pattern repeats, behind what leads there, and do not end as it wants."""
    found: dict[tuple[str, str, str], None] = {}
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE & ~re.LOCALE)
    for head, unit in {("", _sample(tree)): None, **dict.fromkeys(_repeats(tree, ""))}:
        for tail in ("", NEVER):
            found |= {(head, unit, tail): None, ("", head + unit, tail): None, ("", head, tail): None}
        found[("", head + unit * 30, NEVER)] = None
    return [repeated(*parts) for parts in found if parts[1]]


def _repeats(tree, head: str) -> Iterator[tuple[str, str]]:
    """(what leads to it, what is repeated) for each repetition of a parsed pattern."""
    for operation, value in tree:
        for part in _parts(operation, value):
            yield from _repeats(part, head)
        if operation in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT) and value[1] > 1:
            yield head, _sample(value[2])
            for other in _alternatives(value[2]):
                yield head, other
        head += _sample([(operation, value)])


def _parts(operation, value) -> list:
    if operation is codes.SUBPATTERN:
        return [value[-1]]
    if operation is codes.BRANCH:
        return list(value[1])
    if operation in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [value[2]]
    return [value[1]] if operation in (codes.ASSERT, codes.ASSERT_NOT) else [value] if operation is codes.ATOMIC_GROUP else []


def _alternatives(tree) -> list[str]:
    """Texts of each branch and of each member of a class."""
    found = []
    for operation, value in tree:
        if operation is codes.BRANCH:
            found += [_sample(branch) for branch in value[1]]
        elif operation is codes.SUBPATTERN:
            found += _alternatives(value[-1])
        elif operation is codes.IN:
            found += [_member(one) for one in value[:6] if _member(one)]
    return found


def _sample(tree) -> str:
    """A text that a parsed pattern matches, assertions apart."""
    return "".join(_text(operation, value) for operation, value in tree)


def _text(operation, value) -> str:
    if operation is codes.LITERAL:
        return chr(value)
    if operation in (codes.NOT_LITERAL, codes.ANY):
        return "b" if value != ord("b") else "c"
    if operation is codes.IN:
        return "b" if value[0][0] is codes.NEGATE else _member(value[0])
    if operation in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return _sample(value[2]) * max(1, min(value[0], 3))
    if operation is codes.BRANCH:
        return _sample(value[1][0])
    return _sample(value[-1]) if operation is codes.SUBPATTERN else _sample(value) if operation is codes.ATOMIC_GROUP else ""


_OF_CATEGORY = {codes.CATEGORY_DIGIT: "7", codes.CATEGORY_SPACE: " ", codes.CATEGORY_WORD: "w", codes.CATEGORY_NOT_SPACE: "s"}


def _member(one) -> str:
    operation, value = one
    if operation is codes.LITERAL:
        return chr(value)
    if operation is codes.RANGE:
        return chr(value[0])
    return _OF_CATEGORY.get(value, "-") if operation is codes.CATEGORY else ""
