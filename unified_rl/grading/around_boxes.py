r"""What stands around a box and belongs to its answer: `\frac{[5]}{7}`, `|[5]|`, `3[5]`, `-[5]`, `[5]!`, "[5] million", "not [5]".

Words around a box are its author's sentence ("at least [445] widgets"), a unit or a modulus behind it says what it counts, and a
box before a relation (`3 + [4] = 7`) is a blank that was filled in: of these the answer is the content alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unified_rl.grading import vocabulary as words
from unified_rl.grading.functions import FUNCTIONS, GREEK
from unified_rl.grading.scan import Token, closing_braces, formulas, tokens
from unified_rl.grading.sentences import word_of
from unified_rl.grading.units import known_unit

if TYPE_CHECKING:
    from unified_rl.grading.boxes import Box

END_OF_OPEN = re.compile(r"[\n$]|$")
_MATRIX = re.compile(r"\\(begin|end)\{[pbvBV]?matrix\}")
_ROW = re.compile(r"\\\\|(?<!\\)&|\\(?:begin|end)\{(?:align|gather|split|equation)(?:ed)?\*?\}")
_LAST_COMMAND = re.compile(r"\\[A-Za-z]{1,15}$")
_FRACTIONS = frozenset({r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"})
#: Commands whose arguments are operands.
_OPERATIONS = _FRACTIONS | {r"\sqrt", r"\binom", r"\dbinom", r"\tbinom", r"\overline", r"\pmod"}
_MAX_AROUND = 40  # groups in groups around a box
_WIDTH = 60  # characters of running text beside a box
MAX_GROUPS = 8  # of a command
_RELATIONS = frozenset({"=", "≈", "<", ">", r"\approx", r"\le", r"\leq", r"\ge", r"\geq", r"\in", r"\Rightarrow", r"\implies"})
_LEADING = _RELATIONS | {r"\equiv", r"\simeq", r"\sim", r"\cong", r"\to", r"\Longrightarrow", r"\rightarrow"}
_NAMES = GREEK | {r"\pi", "π"}
_OPERATORS = frozenset({"+", "-", "−", "*", "/", "×", "·", "÷", r"\times", r"\cdot", r"\div"})
_SPACING = frozenset({r"\,", r"\;", r"\:", r"\ ", r"\!"})
_EDGES = _RELATIONS | {"$", r"\[", r"\(", "&"}
_SIDES = frozenset({r"\left", r"\right"})
_BARS = frozenset({"|", r"\|", r"\vert", r"\Vert"})
_CLOSERS = {"(": ")]", "[": ")]", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", r"\lvert": r"\rvert"}
_CLOSERS |= {r"\lVert": r"\rVert", r"\langle": r"\rangle", **{bar: bar for bar in _BARS}}
#: What an expression is written with, numbers and letters apart.
_OF_EXPRESSIONS = (
    frozenset("^_!'(){}[]²³√π∛")
    | _OPERATORS - {"*"}
    | (_OPERATIONS - {r"\pmod", r"\overline"})
    | GREEK
    | {r"\pi", r"\circ", r"\boxed", r"\fbox"}
    | _SIDES
    | _SPACING
    | set(_CLOSERS)
    | {r"\}", r"\rfloor", r"\rceil", r"\rvert", r"\rVert", r"\rangle"}
    | {f"\\{name}" for name in FUNCTIONS}
)
#: What a factor behind a box may begin with, numbers and letters apart.
_FACTORS = frozenset("(√π∛") | (_OPERATIONS - {r"\pmod", r"\overline"}) | GREEK | {r"\pi", r"\left", r"\lfloor", r"\lceil"}
_FACTORS |= {f"\\{name}" for name in FUNCTIONS}
#: A content that is no operand: a list, a statement, words, an option.
_NO_OPERAND = re.compile(
    r"[=<>≤≥,;]|\\(?:text|mbox|mathrm|le|ge|leq|geq|ne|neq|in|cup|begin|infty|pm)(?![a-zA-Z])|^\s*[A-F]\s*$"
)
_MAGNITUDES = frozenset(
    {
        "million",
        "billion",
        "trillion",
        "thousand",
        "hundred",
        "dozen",
        "percent",
        "percentage",
        "pct",
        "factorial",
        "squared",
        "cubed",
    }
)


def is_a_part(text: str, box: Box) -> bool:
    r"""Whether a box is a part of an operation or in brackets of a formula: \frac{[5]}{7}, x^{[5]}, |[5]|, ([3], 7)."""
    return _is_an_argument(text, box) or _is_in_brackets(text, box)


def _is_an_argument(text: str, box: Box) -> bool:
    r"""Whether a box is a part of an expression around it: \frac{[5]}{7}, x^{[5]}."""
    closing = closing_braces(text)
    opening = {close: start for start, close in closing.items()}
    around = sorted(start for start, close in closing.items() if start < box.start and close >= box.end)
    for start in around[-_MAX_AROUND:]:
        place = _behind_command(text, start, opening)
        command = _LAST_COMMAND.search(text, max(0, place - 20), place)
        if text[place - 1 : place] in ("^", "_") or (command and command[0] in _OPERATIONS):
            return True
    return False


def _is_in_brackets(text: str, box: Box) -> bool:
    """Brackets and bars in a formula; in running text the bars that touch the box, if the line is no row of a table."""
    start, end, in_formula = formula_around(text, box)
    if not in_formula:
        start, end = _touching(text, box.start, box.end)
        line = text[text.rfind("\n", 0, box.start) + 1 : END_OF_OPEN.search(text, end).start()]  # type: ignore[union-attr]
        if line.count("|") > 2:
            return False
    if in_formula and _in_matrix(text[start : box.start]):
        return True
    before = [token for token in tokens(text, start, box.start) if token.text not in _SIDES]
    opened = _open_brackets(before)
    if not opened:
        return False
    place = opened[-1]
    opening, inside = before[place].text, before[place + 1 :]
    if opening in "([" and (not in_formula or any(token.text in _RELATIONS for token in inside)):
        return False  # a remark in brackets
    if any(token.kind == "word" and len(token.text) > 1 and token.text not in FUNCTIONS for token in inside):
        return False
    return any(token.text in _CLOSERS[opening] for token in tokens(text, box.end, end))


def _in_matrix(before: str) -> bool:
    kinds = [match[1] for match in _MATRIX.finditer(before)]
    return kinds.count("begin") > kinds.count("end")


def _open_brackets(found: list[Token]) -> list[int]:
    """The places of the brackets and bars that are not closed again. A row of a matrix or of an alignment is one level."""
    opened: list[int] = []
    for place, token in enumerate(found):
        if opened and token.text in _CLOSERS[found[opened[-1]].text] and place > opened[-1] + 1:
            opened.pop()
        elif token.text in _CLOSERS:
            opened.append(place)
        elif token.text in ("&", "\\\\"):
            opened.clear()
    return opened


def _behind_command(text: str, place: int, opening: dict[int, int]) -> int:
    """The place where the arguments begin, one of which begins at `place`: behind the command's name."""
    for _ in range(MAX_GROUPS):
        before = place
        while before > 0 and before > place - 4 and text[before - 1] == " ":
            before -= 1
        bracket = text.rfind("[", max(0, before - 20), before) if text[before - 1 : before] == "]" else -1
        if bracket >= 0:
            place = bracket  # the degree of a root
        elif before - 1 in opening:
            place = opening[before - 1]
        else:
            return before
    return place


def unboxed_around(text: str, found: Sequence[Box]) -> str:
    """The formula around the last box, every box in it replaced by what it holds; in running text what touches the box."""
    start, end, in_formula = formula_around(text, found[-1])
    if not in_formula:
        start, end = _touching(text, found[-1].start, found[-1].end)
    elif not _in_matrix(text[start : found[-1].start]):
        start, end = _row(text, start, end, found[-1])
    pieces, place = [], start
    for box in found:
        if start <= box.start and box.end <= end:
            content = box.content.strip()
            pieces += [text[place : box.start], content if content.isalnum() else f"({content})"]
            place = box.end
    answer = "".join([*pieces, text[place:end]]).strip()
    answer = answer.removeprefix("=").lstrip()
    return answer if in_formula else answer.strip("*.,;:").removesuffix("\\\\").rstrip(".,;:")


def _row(text: str, start: int, end: int, box: Box) -> tuple[int, int]:
    """[start, end) of a formula's row: up to the next marks of an alignment."""
    marks = [match for match in _ROW.finditer(text, start, end) if not box.start <= match.start() < box.end]
    start = max((match.end() for match in marks if match.end() <= box.start), default=start)
    return start, min((match.start() for match in marks if match.start() >= box.end), default=end)


def _touching(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) with the groups around it in its line, and what touches them without a space."""
    first = text.rfind("\n", 0, start) + 1
    for opening, close in sorted(closing_braces(text).items(), reverse=True):
        if first <= opening < start and close >= end and "\n" not in text[end:close]:
            start, end = opening, close + 1
    while start > first and not text[start - 1].isspace() and text[start - 1] != "$":
        start -= 1
    while end < len(text) and not text[end].isspace() and text[end] != "$":
        end += 1
    return start, end


def with_company(text: str, box: Box, floor: int) -> str:
    """A box's content with what cannot be parted from it: factors and signs on both sides, a power or "million" behind it, "not".

    Args:
        floor: where a box ends that stands beside this one, and belongs to a list with it.
    """
    start, end, in_formula = formula_around(text, box)
    line = start if in_formula else text.rfind("\n", 0, box.start) + 1
    before = tokens(text, max(line, floor, box.start - 4 * _WIDTH), box.start)
    inside = _squeezed(tokens(text, box.end, end))
    operand = not _NO_OPERAND.search(box.content)
    led = any(token.text in _LEADING for token in before)
    taken = _right(inside)
    if operand and not (led and not taken and inside and _is_name(inside[0])):
        taken = _right_of_product(inside, taken, box.end if not in_formula else None)
    filled_in = bool(inside) and taken < len(inside) and inside[taken].text in _RELATIONS  # 3 + [4] = 7: a blank
    left = right = ""
    if not filled_in:
        left, right = _left(before, in_formula, operand, led), _spelled(inside[:taken])
    content = _joined(left, box.content.strip(), right)
    if in_formula:
        behind = "" if taken < len(inside) else _magnitude(tokens(text, end, end + _WIDTH))
    else:
        behind = "" if taken else _magnitude(tokens(text, box.end, box.end + _WIDTH))
    denied = _denial(tokens(text, max(0, start - _WIDTH), start))
    return f"{denied}${content}${behind}" if denied or behind else content


def _joined(left: str, content: str, right: str) -> str:
    """As one expression. Brackets keep digits apart; 2[\frac{1}{3}] without them is the mixed number that it shows."""
    if left[-1:].isdigit() and re.match(r"\\[dtc]?frac", content) and not right:
        return left + content
    if left or (right and not content.isalnum() and right not in ("%", r"\%", "°")):
        return f"{left}({content}){right}"
    if right and content[-1:].isalnum() and right[0].isalnum():
        return f"({content}){right}"
    return content + right


def formula_around(text: str, box: Box) -> tuple[int, int, bool]:
    """[start, end) of the text around a box up to the delimiters of its formula; its line where it stands in none."""
    for one in formulas(text):
        if one.start < box.start < one.end:
            width = 1 if text[one.start] == "$" != text[one.start + 1] else 2
            return one.start + width, one.end - width, True
    found = END_OF_OPEN.search(text, box.end, min(len(text), box.end + _WIDTH))
    return box.start, found.start() if found else box.end, False


def _squeezed(found: list[Token]) -> list[Token]:
    return [token for token in found if token.kind not in ("space", "newline") and token.text not in _SPACING]


def _spelled(found: list[Token]) -> str:
    """As written, without spaces but those between a command and a letter."""
    spelled = ""
    for token in found:
        apart = token.text[0].isalpha() and _LAST_COMMAND.search(spelled[-20:])
        spelled += f" {token.text}" if apart else token.text
    return spelled


def _right(found: list[Token]) -> int:
    """How many tokens behind a box belong to it: a power, "!", "%", a base, or an operator with its number."""
    if len(found) > 1 and found[0].text == "_" and (found[1].kind == "number" or found[1].text == "{"):
        return _argument_end(found, 1)  # a base
    if not found or found[0].text not in {"^", "!", "%", r"\%", "°", *_OPERATORS}:
        return 0
    taken = 1
    if found[0].text in _OPERATORS:
        if len(found) < 2 or found[1].kind != "number":
            return 0
        taken = 2
    if taken < len(found) and (found[taken - 1].text == "^" or found[taken].text == "^"):
        taken = _argument_end(found, taken + (found[taken].text == "^"))
    said = "".join(token.text for token in found[:taken])
    return 0 if r"\prime" in said or "'" in said else taken


def _argument_end(found: list[Token], place: int) -> int:
    """Behind the token, or the group in braces, at `place`."""
    if place >= len(found) or found[place].text != "{":
        return min(place + 1, len(found))
    depth = 0
    for index in range(place, len(found)):
        depth += (found[index].text == "{") - (found[index].text == "}")
        if depth == 0:
            return index + 1
    return len(found)


def _right_of_product(found: list[Token], taken: int, touching: int | None) -> int:
    """As many tokens as go on with the expression: factors (no units), and what is added to the product.

    Args:
        touching: where the box ends, in running text: there only what touches belongs to it.
    """
    if taken == len(found) or not _begins_factor(found[taken:]):
        return taken
    place, depth = taken, 0
    while place < len(found) and _in_expression(found, place, depth):
        before = found[place - 1].end if place else touching
        if touching is not None and found[place].start != before:
            break
        depth += _step(found[place])
        if depth < 0:
            break
        place += 1
    while place > taken and (found[place - 1].text in _OPERATORS or found[place - 1].text in ("^", "_", *_SIDES)):
        place -= 1
    return taken if depth > 0 else place


def _begins_factor(found: list[Token]) -> bool:
    first = found[len(found) > 1 and found[0].text in _OPERATORS]
    if first.text == r"\mu":
        return False  # of a unit
    return first.kind == "number" or first.text in _FACTORS or first.text in FUNCTIONS or _is_variable(first)


def _is_variable(token: Token) -> bool:
    """A letter that is no unit."""
    return token.kind == "word" and len(token.text) == 1 and known_unit(token.text) is None


def _in_expression(found: list[Token], place: int, depth: int) -> bool:
    token = found[place]
    if token.kind == "number":
        return True
    if token.kind == "word":
        return token.text in FUNCTIONS or (len(token.text) == 1 if depth else _is_variable(token))
    if token.text == "*":
        return "*" not in [near.text for near in (*found[max(0, place - 1) : place], *found[place + 1 : place + 2])]  # **bold**
    return token.text in _OF_EXPRESSIONS or (token.text == "," and depth > 0)


def _step(token: Token) -> int:
    """How much deeper in brackets it is behind a token."""
    return (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))


def _left(found: list[Token], in_formula: bool, operand: bool, led: bool) -> str:
    """Factors, terms and signs before a box, back to a relation, a comma or words; a dash behind a word is no minus sign.

    In running text only what touches the box, and no label: "(1)[5]". The last term behind "=" is a blank: x = 7 - [5].
    """
    if led and _ends_in_term(found):
        return ""
    place = _start_of_product(found, in_formula) if operand else len(found)
    run = [token for token in found[place:] if token.kind not in ("space", "newline") and token.text not in _SPACING]
    while (
        run and (run[0].text in _OPERATORS or run[0].text in (")", "^", "_", "!", r"\circ")) and run[0].text not in ("-", "−")
    ):
        run.pop(0)
    if sum(token.text in _BARS for token in run) % 2 or (
        not in_formula and len(run) == 3 and run[0].text + run[2].text == "()"
    ):
        return ""
    minus = bool(run) and run[0].text in ("-", "−")
    if len(run) > minus and (not minus or _is_sign(found, place)):
        return _spelled([token for token in run if token.text not in (r"\boxed", r"\fbox")])
    return "-" if found and found[-1].text in ("-", "−") and _is_sign(found, len(found) - 1) else ""


def _ends_in_term(found: list[Token]) -> bool:
    """Whether a sign with something before it that it adds to is what stands before the box."""
    squeezed = _squeezed(found)
    if len(squeezed) < 2 or squeezed[-1].text not in ("+", "-", "−"):
        return False
    before = squeezed[-2]
    return before.kind == "number" or _is_name(before) or before.text in (")", "]", "}", "!")


def _is_name(token: Token) -> bool:
    """A letter or a constant: behind a value it may be what the value is the coefficient of."""
    return (token.kind == "word" and len(token.text) == 1) or token.text in _NAMES


def _start_of_product(found: list[Token], in_formula: bool) -> int:
    """Where the expression begins that goes on in the box."""
    place, depth = len(found), 0
    while place and (in_formula or found[place - 1].kind != "space"):
        token = found[place - 1]
        if not in_formula and token.text in _BARS:
            break  # of a table
        blank = token.kind in ("space", "newline") or (token.kind == "word" and len(token.text) == 1)
        if not blank and not _in_expression(found, place - 1, depth):
            break
        depth -= _step(token)
        if depth < 0:
            break
        place -= 1
    return place if depth <= 0 else len(found)


def _is_sign(found: list[Token], place: int) -> bool:
    """Whether the minus at a place is a sign: nothing, a space or a relation stands before it."""
    before = found[place - 1] if place else None
    return before is None or before.kind in ("space", "newline") or before.text in _EDGES


def _magnitude(found: list[Token]) -> str:
    """ "million", "percent", "/ $7$" behind a box's formula, as it was written."""
    place = 0
    while place < len(found) and (found[place].text in ("$", r"\)", r"\]", "}", "*") or found[place].kind == "space"):
        place += 1
    if place >= len(found):
        return ""
    token, following = found[place], found[place + 1].kind if place + 1 < len(found) else ""
    scales = word_of(token) in _MAGNITUDES or token.text in ("%", r"\%") or token.text in words.CJK_AFTER
    if scales:
        return f" {token.text}"
    alternative = (
        next((one for one in found[place + 1 : place + 3] if one.kind != "space"), None) if word_of(token) == "or" else None
    )
    if alternative and alternative.kind in ("number", "formula"):
        return f" or {alternative.text}"
    return token.text + found[place + 1].text if token.text in _OPERATORS and following in ("number", "formula") else ""


def _denial(found: list[Token]) -> str:
    """ "not" or "negative" before a box."""
    while found and (found[-1].kind in ("space", "newline") or found[-1].text in ("$", r"\(", r"\[", "*", ":")):
        found = found[:-1]
    word = word_of(found[-1]) if found else ""
    return f"{word} " if word in words.NEGATIONS | {"negative", "minus"} or word.endswith("n't") else ""
