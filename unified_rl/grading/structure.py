"""What kind of thing an answer is: a number or expression, a list, tuple, set, interval, union, matrix, relation, or words.

Works on tidied text (`normalise.tidy`) by matching brackets; nothing is parsed as mathematics here, and nothing is evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from unified_rl.grading.normalise import CJK, unwrap_text

MAX_DEPTH = 12
MAX_ITEMS = 400
RADIANS = r"\cdot\frac{\pi}{180}"  # a degree, inside an expression


@dataclass(frozen=True)
class Scalar:
    """A number or expression as tidied LaTeX, with what was written around it."""

    latex: str
    unit: str = ""
    percent: bool = False
    degree: bool = False
    base: str = ""


@dataclass(frozen=True)
class Words:
    """Letters, words, a time of day, or anything that has no other structure."""

    text: str


@dataclass(frozen=True)
class Items:
    """`kind`: "list" (no brackets), "set" or "tuple". `brackets` of a tuple, e.g. "(]"."""

    kind: str
    items: tuple
    brackets: str = ""


@dataclass(frozen=True)
class Union:
    parts: tuple


@dataclass(frozen=True)
class Matrix:
    rows: tuple


@dataclass(frozen=True)
class Named:
    """`name = value` or `name in value`."""

    name: str
    value: object


@dataclass(frozen=True)
class Relation:
    """A chain of relations: `sides[0] ops[0] sides[1] ops[1] ...`, with > turned into <."""

    sides: tuple
    ops: tuple


Node = Scalar | Words | Items | Union | Matrix | Named | Relation

_OPEN, _CLOSE = "([{", ")]}"
_SEPARATOR_WORDS = (
    r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])"
    r"|(?<=[0-9)}\]])(?:and|or)(?=[A-Za-z](?:_\w|\([a-z]\))?\s*=)|和|或者?|及|与)\s*,?\s*"
)
_OR_WORDS = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*or\s*,?\s*\}|(?<![A-Za-z\\])or(?![A-Za-z])|或者?)\s*,?\s*")
_SEPARATOR = re.compile(_SEPARATOR_WORDS)
_RELATION = re.compile(r"\\(?:le|ge|neq|in|approx|equiv|implies|to|Rightarrow)(?![a-zA-Z])|[=<>]")
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
_MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix|array|smallmatrix)\}(?:\{[lcr|\s]{1,40}\})?(.*)\\end\{\1\}$", re.DOTALL)
_CASES = re.compile(
    r"\\begin\{(?:cases|aligned|array)\}(?:\{[lcr|\s]{1,40}\})?(.*)\\end\{(?:cases|aligned|array)\}$", re.DOTALL
)
_INTEGER_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?")
_NAME = re.compile(
    r"(?:\\?[A-Za-z]+|\\text\{[^{}]*\})(?:_(?:\{[^{}]{1,20}\}|[A-Za-z0-9]|\\[a-z]+))?'{0,3}(?:\^\{?(?:\\prime|-1|\*)\}?)?\s*(?:\([A-Za-z0-9_\\,\s{}]{1,30}\))?"
)
_PART = r"[^{}]{1,12}(?:\{[^{}]{1,8}\})?"
_RATIO = re.compile(rf"\\frac\s*\{{({_PART})\}}\s*\{{({_PART})\}}|([^/\s]{{1,12}})\s*/\s*([^/\s]{{1,12}})")
_WORDS = re.compile(r"[A-Za-z][A-Za-z' .-]*")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?\s*(?:\\text\{)?\s*([ap]\.?\s?m\.?)?\s*\}?", re.IGNORECASE)
_TRAILING_TEXT = re.compile(
    r"\s*\\text\s*\{([^{}]*)\}\s*(\^\s*\{?\s*-?[0-9]\s*\}?)?(?:\s*/\s*\\text\s*\{[^{}]*\}\s*(?:\^\s*\{?[0-9]\}?)?)?$"
)
_TRAILING_WORDS = re.compile(
    r"(?<=[0-9}\)%.])\s*([A-Za-z]{2,}[A-Za-z.]*(?:[\s/-]+[A-Za-z]+\.?){0,5}(?:\^\{?[0-9]\}?)?|(?<=\s)[A-Za-z](?:\^\{?[23]\}?)?)$"
)
_TRAILING_CJK = re.compile(rf"(?<=[0-9}}\)%])\s*([{CJK}][{CJK}A-Za-z/0-9()]{{0,20}})$")
_RATE = re.compile(r"(?<=[0-9}])\s+([A-Za-z]{1,3})\s?/\s?([A-Za-z]{1,3})(?:\^\{?[0-9]\}?)?$")
_TEXT_WITH_MATHS = re.compile(r"\\text\s*\{[^{}]*(?:[0-9,]|\band\b|\bor\b)[^{}]*\}")
_BRACKETED_UNIT = re.compile(rf"(?<=[0-9}}])\s?\(\s?([A-Za-z{CJK}]{{1,6}})\s?\)$")
_BASED = re.compile(r"(-?(?=[0-9A-Z]*[0-9])[0-9A-Z]+)_\s?\{?\s?(?:\\text\{)?([0-9]{1,2}|[a-z]{3,9})\}{0,2}")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_LEADING_CJK = re.compile(rf"^[{CJK}]{{1,8}}\s*(?=[-+0-9\\(])")

#: Units by their usual spellings. The canonical name comes first.
_UNITS = """
mm millimeter millimetre 毫米|cm centimeter centimetre 厘米|dm 分米|m meter metre 米|km kilometer kilometre 千米 公里
inch in 英寸|foot feet ft 英尺
yard yd|mile mi 英里|mg|g gram 克|kg kilogram 千克 公斤|ton tonne t 吨|ounce oz|pound lb lbs 磅
second sec s 秒|minute min 分钟 分
hour hr h 小时|day 天|week 周|month 月|year yr 年
ml mL 毫升|liter litre L l 升|gallon gal|dollar usd dollars 美元|cent 美分|yuan rmb 元
am a.m|pm p.m
mph|kph kmh|rad radian|N newton|J joule|W watt|V volt|A amp|Hz hertz|K kelvin|Pa pascal|unit|C coulomb|T tesla|eV|mol|pi
"""
UNIT_NAMES = {
    word: group.split()[0] for group in _UNITS.replace("\n", "|").split("|") if group.strip() for word in group.split()
}
UNIT_NAMES.pop("pi")
MAGNITUDES = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "billion": 9,
    "trillion": 12,
    "百": 2,
    "千": 3,
    "万": 4,
    "百万": 6,
    "亿": 8,
}
_NO_UNIT = re.compile(r"[0-9=]|\b(?:and|or|not|if|when|where|to|from)\b|或|和|不")  # more than a unit is said
_NOT_UNITS = {
    "pi",
    "sin",
    "cos",
    "tan",
    "log",
    "ln",
    "exp",
    "mod",
    "choose",
    "and",
    "or",
    "if",
    "sqrt",
    "frac",
    "cdot",
    "times",
    "infty",
}


def read(text: str, depth: int = 0) -> Node:
    """The structure of a tidied answer. Never fails: what has no structure is `Words`."""
    text = _strip(text)
    if _TEXT_WITH_MATHS.fullmatch(text):
        text = unwrap_text(text).strip()
    if not text or depth > MAX_DEPTH or _unbalanced(text):
        return Words(text)
    for reader in (_read_environment, _read_time, _read_list, _read_brackets, _read_union, _read_relation, _read_signs):
        if (node := reader(text, depth)) is not None:
            return node
    return _read_scalar(text)


def _strip(text: str) -> str:
    r"""Without outer spaces, commas and grouping braces."""
    text = text.strip().strip(",").strip()
    while text.startswith("{") and text.endswith("}") and _match(text, 0) == len(text) - 1:
        if len(_split(text[1:-1], ",")) > 1 and not _INTEGER_GROUPS.fullmatch(text[1:-1].strip()):
            return text  # {1, 2}: a set without its backslashes
        text = text[1:-1].strip()
    return text


def _tokens(text: str) -> list[tuple[int, str]]:
    return [(match.start(), match[0]) for match in _TOKEN.finditer(text)]


def _level(token: str) -> int:
    if token in ("(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"):
        return 1
    return -1 if token in (")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil") else 0


def _unbalanced(text: str) -> bool:
    depth = 0
    for _, token in _tokens(text):
        depth += _level(token)
        if depth < 0:
            return True
    return depth != 0


def _match(text: str, start: int) -> int | None:
    """Index of the token that closes the bracket at `start`; ( and [ may close each other, as in half-open intervals."""
    depth = 0
    for index, token in _tokens(text[start:]):
        depth += _level(token)
        if depth == 0:
            return start + index
    return None


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators outside all brackets. `begin`/`end` environments count as brackets."""
    parts, depth, last = [], 0, 0
    for index, token in _tokens(text):
        depth += _level(token) + (token == r"\begin") - (token == r"\end")
        if depth == 0 and token == separator:
            parts.append(text[last:index])
            last = index + len(token)
    return [*parts, text[last:]]


def _split_words(text: str, pattern: re.Pattern) -> list[str]:
    """Parts between matches of `pattern` that lie outside all brackets."""
    depth, depths = 0, [0] * (len(text) + 1)
    for index, token in _tokens(text):
        before = depth
        depth += _level(token) + (token == r"\begin") - (token == r"\end")
        for place in range(index, index + len(token)):
            depths[place] = before
    parts, last = [], 0
    for match in pattern.finditer(text):
        if match[0].strip() and depths[match.start()] == 0:
            parts.append(text[last : match.start()])
            last = match.end()
    return [part for part in [*parts, text[last:]] if part.strip()]


# --- readers, in order


def _read_environment(text: str, depth: int) -> Node | None:
    if not text.startswith(r"\begin"):
        return None
    if text.count(r"\begin") > 1:
        return None
    match = _MATRIX.fullmatch(text)
    if match:
        rows = [row for row in re.split(r"\\\\|\\cr(?![a-z])|\\(?=[-+0-9.])", match[2].replace(r"\hline", "")) if row.strip()]
        return Matrix(tuple(tuple(read(cell, depth + 1) for cell in _split(row, "&")) for row in rows))
    match = _CASES.fullmatch(text)
    if match:
        rows = [row.replace("&", "") for row in re.split(r"\\\\", match[1]) if row.strip()]
        return Items("list", tuple(read(row, depth + 1) for row in rows))
    return None


def _read_time(text: str, depth: int) -> Node | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hours, minutes, seconds, half = match.groups()
    half = re.sub(r"[^apm]", "", half.lower()) if half else ""
    return Words(f"{int(hours)}:{minutes}" + (f":{seconds}" if seconds not in (None, "00") else "") + half)


def _read_list(text: str, depth: int) -> Node | None:
    """Items without brackets: `1; 2`, `x=1 or x=2`, `3, 5 and 7`."""
    for parts in (_split(text, ";"), _even(_split_words(text, _OR_WORDS)), _same_names(_split_words(text, _SEPARATOR))):
        if len(parts) > 1:
            return _items("list", [part for part in parts if part.strip()], depth)
    if _INTEGER_GROUPS.fullmatch(text):
        return None
    parts = [piece for part in _split_words(text, _SEPARATOR) for piece in _split_commas(part)]
    if len(parts) < 2 or (len(parts) == 2 and _is_sentence(text)):
        return None
    return _items("list", parts, depth)


def _split_commas(text: str) -> list[str]:
    """Split at commas, but not inside numbers such as 1,234 that stand in a list with spaces after its commas."""
    pieces = _split(text, ",")
    if ", " in text:
        spaced = re.split(r",\s+", text) if not any(bracket in text for bracket in (*_OPEN, r"\langle")) else []
        if spaced and all(_INTEGER_GROUPS.fullmatch(piece.strip()) or "," not in piece for piece in spaced):
            return [piece for piece in spaced if piece.strip()]
    return [piece for piece in pieces if piece.strip()]


def _even(parts: list[str]) -> list[str]:
    """`parts` if each holds the same number, above one, of items; else nothing to split at this level."""
    counts = {len(_split(part, ",")) for part in parts}
    return parts if len(parts) > 1 and len(counts) == 1 and counts != {1} else []


def _same_names(parts: list[str]) -> list[str]:
    """`parts` if they assign to the same names, several each: p = 5, q = 2 and p = 7, q = 2."""
    names = {tuple(piece.split("=")[0].strip() for piece in _split(part, ",") if "=" in piece) for part in parts}
    return parts if len(parts) > 1 and len(names) == 1 and len(names.pop()) > 1 else []


def _is_sentence(text: str) -> bool:
    return len(re.findall(r"(?<![\\A-Za-z])[a-z]{3,}", text)) > 3


def _items(kind: str, parts: list[str], depth: int, brackets: str = "") -> Node:
    if len(parts) > MAX_ITEMS:
        return Words(",".join(parts))
    return Items(kind, tuple(read(part, depth + 1) for part in parts), brackets)


def _read_brackets(text: str, depth: int) -> Node | None:
    first = _TOKEN.match(text)[0]
    if first not in ("(", "[", "{", r"\{", r"\langle"):
        return None
    end = _match(text, 0)
    if end is None:
        return None
    last = text[end:].strip()
    if last not in (")", "]", "}", r"\}", r"\rangle"):
        return None
    inner = text[len(first) : end]
    if first in ("{", r"\{"):
        return _read_set(inner, depth)
    parts = _split(inner, ";")  # where commas are decimal
    if len(parts) == 1:
        parts = [part for part in _split_words(inner, _SEPARATOR) for part in _split(part, ",")]
    if len(parts) == 1:
        return read(inner, depth + 1) if (first, last) in (("(", ")"), ("[", "]")) else None
    brackets = "()" if first == r"\langle" else first + last
    return _items("tuple", parts, depth, brackets)


def _read_set(inner: str, depth: int) -> Node:
    condition = re.split(r"\\mid|\||:", inner, maxsplit=1)
    if len(condition) == 2 and _NAME.fullmatch(_strip(condition[0]).split(r"\in")[0].strip() or "?"):
        node = read(condition[1], depth + 1)
        if isinstance(node, Named | Items | Relation):
            return node
    parts = [piece for part in _split_words(inner, _SEPARATOR) for piece in _split(part, ",")]
    return _items("set", [part for part in parts if part.strip()], depth)


def _read_union(text: str, depth: int) -> Node | None:
    parts = _split(text, r"\cup")
    if len(parts) < 2:
        return None
    if _RELATION.search(_split(text, r"\cup")[0]) and _read_relation_parts(text)[1]:
        return None  # x \in A \cup B: the relation binds looser
    return Union(tuple(read(part, depth + 1) for part in parts))


def _read_relation_parts(text: str) -> tuple[list[str], list[str]]:
    sides, ops, depth, last = [], [], 0, 0
    for index, token in _tokens(text):
        depth += _level(token) + (token == r"\begin") - (token == r"\end")
        if depth == 0 and _RELATION.fullmatch(token):
            sides.append(text[last:index].strip())
            ops.append(token)
            last = index + len(token)
    return [*sides, text[last:].strip()], ops


def _read_relation(text: str, depth: int) -> Node | None:
    sides, ops = _read_relation_parts(text)
    if not ops:
        return None
    sides, ops = _without_approximation(sides, ops)
    if not ops:
        return read(sides[0], depth + 1)
    if r"\implies" in ops or r"\Rightarrow" in ops or r"\to" in ops:
        return Words(text)
    if set(ops) <= {"="}:
        return _read_equation(sides, depth)
    if r"\in" in ops:
        if ops[-1] == r"\in" and len(ops) == 1 and is_name(sides[0]):
            return Named(_name(sides[0]), read(sides[1], depth + 1))
        return Words(text)
    if r"\equiv" in ops:
        return Words(text)
    if set(ops) <= {"<", r"\le"} or set(ops) <= {">", r"\ge"}:
        return _read_inequality(sides, ops, depth)
    if ops == [r"\neq"]:
        return Relation((sides[0], sides[1]), (r"\neq",))
    if "=" in ops and ops[0] == "=" and is_name(sides[0]):  # D = x < 3
        return read(text.split("=", 1)[1], depth + 1)
    return Words(text)


def _without_approximation(sides: list[str], ops: list[str]) -> tuple[list[str], list[str]]:
    r"""`exact \approx decimal` is the exact value; `name \approx value` is `name = value`."""
    if r"\approx" not in ops:
        return sides, ops
    place = ops.index(r"\approx")
    if place == 0 and (is_name(sides[0]) or not sides[0]):
        return (sides[:2], ["="]) if sides[0] else (sides[1:2], [])
    return sides[: place + 1], ops[:place]


def _read_equation(sides: list[str], depth: int) -> Node:
    named = next((side for side in sides[:-1] if is_name(side)), None)
    if not sides[0]:
        return read(sides[-1], depth + 1)
    if named is not None and (is_name(sides[0]) or len(sides) > 2):
        return Named(_name(named), read(sides[-1], depth + 1))
    if len(sides) == 2 and is_name(sides[1]):
        return Named(_name(sides[1]), read(sides[0], depth + 1))
    if not any(re.search(r"(?<!\\)[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", side)) for side in sides):
        return read(sides[-1], depth + 1)  # 5 + 5 + 1 = 11
    return Relation((sides[0], sides[-1]), ("=",))


def _read_inequality(sides: list[str], ops: list[str], depth: int) -> Node:
    if ops[0] in (">", r"\ge"):
        sides = sides[::-1]
        ops = ["<" if op == ">" else r"\le" for op in ops[::-1]]
    names = [place for place, side in enumerate(sides) if is_name(side)]
    if len(names) == 1:
        place = names[0]
        if len(sides) == 2:
            low, high = (r"-\infty", sides[1]) if place == 0 else (sides[0], r"\infty")
            brackets = ("(" if place == 0 or ops[0] == "<" else "[") + (")" if place == 1 or ops[0] == "<" else "]")
            return Named(_name(sides[place]), Items("tuple", (read(low, depth + 1), read(high, depth + 1)), brackets + "i"))
        if len(sides) == 3 and place == 1:
            brackets = ("(" if ops[0] == "<" else "[") + (")" if ops[1] == "<" else "]")
            ends = (read(sides[0], depth + 1), read(sides[2], depth + 1))
            return Named(_name(sides[1]), Items("tuple", ends, brackets + "i"))
    return Relation(tuple(sides), tuple(ops))


def _read_signs(text: str, depth: int) -> Node | None:
    r"""`a \pm b` is the two numbers."""
    if not re.search(r"\\(?:pm|mp)(?![a-zA-Z])", text):
        return None
    plus = re.sub(r"\\mp(?![a-zA-Z])", " - ", re.sub(r"\\pm(?![a-zA-Z])", " + ", text)).strip()
    minus = re.sub(r"\\mp(?![a-zA-Z])", " + ", re.sub(r"\\pm(?![a-zA-Z])", " - ", text)).strip()
    return Items("list", (_read_scalar(plus.lstrip("+ ")), _read_scalar(minus)))


def is_name(text: str) -> bool:
    r"""Whether a side of an equation only names the answer: x, f(x), a_{3}, (p, q), |AB|, A:B, \angle ABC, 面积."""
    text = _strip(text).strip("|")
    text = re.sub(r"^\\(?:angle|triangle|overline|vec|measuredangle|Delta|delta)\s*", "", text)
    text = re.sub(r"^\{(.*)\}$", r"\1", text)
    text = re.sub(r"^\\text\{([^{}]*)\}\s*", r"\1", text) if not re.search(r"[0-9]", text) else text
    if text.startswith("(") and text.endswith(")"):
        return all(is_name(part) for part in _split(text[1:-1], ","))
    if re.fullmatch(rf"[{CJK}A-Za-z][{CJK}A-Za-z ]*", text):
        return True
    if fraction := _RATIO.fullmatch(text):
        return all(is_name(part) for part in fraction.groups() if part)
    if ":" in text:
        return all(part.strip() and is_name(part) for part in text.split(":"))
    return bool(_NAME.fullmatch(text)) and text.strip() not in (r"\pi", r"\infty", "e", r"\emptyset", "i")


def _name(text: str) -> str:
    text = _RATIO.sub(lambda match: f"({match[1] or match[3]})/({match[2] or match[4]})", text)
    return re.sub(r"[\s{}]|\\text|\\prime|\\left|\\right", "", text)


def _read_scalar(text: str) -> Node:
    bare = unwrap_text(text).strip()
    if text.startswith(r"\text") and not re.search(r"[0-9\\^_=+]", bare):
        return Words(bare)
    if _WORDS.fullmatch(text) and re.search(r"[A-Za-z]{4,}|[A-Za-z]{2,}\s[A-Za-z]{2,}", text):
        return Words(text)
    if re.search(f"[{CJK}]", text) and not re.search(r"[0-9\\]", text):
        return Words(text)
    if based := _BASED.fullmatch(re.sub(r"^\\text\{([0-9A-Z]+)\}", r"\1", text)):
        return Scalar(based[1], base=based[2])
    text, unit = _split_unit(text)
    text, power = _split_magnitude(text, unit)
    if power:
        unit, text = "", rf"({text})\times 10^{{{power}}}"
    text = text.strip()
    percent = text.endswith("%")
    text = text.rstrip("% ")
    degree = text.endswith(r"\degree") and not _TRIGONOMETRIC.search(text)
    text = text if text.endswith(r"\degree") and not degree else text.removesuffix(r"\degree").strip().removesuffix("^").strip()
    text = _strip(text)
    return Scalar(text.replace(r"\degree", RADIANS), unit, percent, degree)


def _split_unit(text: str) -> tuple[str, str]:
    text = _LEADING_CJK.sub("", text)
    bracketed = _BRACKETED_UNIT.search(text)
    if bracketed and (bracketed[1] in UNIT_NAMES or not bracketed[1].isascii()):
        return text[: bracketed.start()], bracketed[1]
    rate = _RATE.search(text)
    if rate and rate[1] in UNIT_NAMES and rate[2] in UNIT_NAMES:
        return text[: rate.start()], f"{rate[1]}/{rate[2]}"
    for pattern in (_TRAILING_TEXT, _TRAILING_CJK, _TRAILING_WORDS):
        match = pattern.search(text)
        if not match or match.start() == 0 or not text[: match.start()].strip():
            continue
        word = match[1].strip()
        if _NO_UNIT.search(re.sub(r"\^\{?[0-9]\}?$", "", word)):
            continue
        if pattern is _TRAILING_WORDS:
            first = re.split(r"[\s/^.-]", word)[0]
            known = (
                first.lower() in UNIT_NAMES or first in UNIT_NAMES or first.rstrip("s").lower() in UNIT_NAMES or len(first) > 3
            )
            if len(first) == 1 and not _is_term(text[: match.start()]):
                continue  # x + 3 t
            if first.lower() in MAGNITUDES:
                known = True
            if first.lower() in _NOT_UNITS or not known or text[match.start() - 1] == "\\":
                continue
        return text[: match.start()], (word + (match[2] or "" if pattern is _TRAILING_TEXT else "")).strip()
    return text, ""


def _is_term(text: str) -> bool:
    """Whether an expression is a number in one piece, which a unit may follow, rather than a sum or a product with letters."""
    text = re.sub(r"\\[A-Za-z]+|\^\s*\{[-+0-9]*\}", "", text.strip())
    return not re.search(r"[A-Za-z]|(?<=.)[-+]", text)


def _split_magnitude(text: str, unit: str) -> tuple[str, int]:
    """3 million: the power of ten, 0 where the unit is none."""
    first = unit.split()[0].lower() if unit.split() else ""
    if first in MAGNITUDES:
        return text, MAGNITUDES[first]
    if unit[:2] == "百万":
        return text, 6
    if unit[:1] in ("万", "亿"):
        return text, MAGNITUDES[unit[0]]
    return text, 0


def unit_name(unit: str) -> str | None:
    """The canonical name of a known unit; None for free words."""
    base = re.sub(r"[\s.{}]", "", unit.split("^")[0]) if "^" in unit else unit.strip().rstrip(".")
    power = "".join(re.findall(r"\^\{?(-?[0-9])", unit))
    for prefix, exponent in (("square", "2"), ("sq", "2"), ("cubic", "3"), ("平方", "2"), ("立方", "3")):
        if base.lower().startswith(prefix) and len(base) > len(prefix):
            base, power = base[len(prefix) :].strip(" ."), exponent
            break
    for form in (base, base.lower(), base.lower().removesuffix("s"), base.lower().removesuffix("es")):
        if form in UNIT_NAMES:
            return UNIT_NAMES[form] + power
    return None
