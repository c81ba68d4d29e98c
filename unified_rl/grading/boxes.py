"""`\\boxed{...}` and `\\fbox{...}`: the last one speaks, with what belongs to it on both sides.

A box that holds nothing is no answer, and the boxes before it are none either: the response meant to say something else. A box that
is never closed holds what stands in it up to the end of its line or formula.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unified_rl.grading import vocabulary as words
from unified_rl.grading.marks import Found, Void
from unified_rl.grading.scan import Token, closing_braces, formulas, tokens
from unified_rl.grading.sentences import word_of

Joining = Literal["joined", "last"]

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])")
_END_OF_OPEN = re.compile(r"[\n$]|$")
_LAST_COMMAND = re.compile(r"\\[A-Za-z]{1,15}$")
#: Commands whose arguments are operands.
_OPERATIONS = frozenset(
    {r"\frac", r"\dfrac", r"\tfrac", r"\cfrac", r"\sqrt", r"\binom", r"\dbinom", r"\tbinom", r"\overline", r"\pmod"}
)
_MAX_AROUND = 40  # groups in groups around a box
_GLUE_WIDTH = 60
_MAX_GROUPS = 8  # of a command, behind a box without braces
_GLUE_WORDS = frozenset({"and", "or", "for", "part", "case", "text", "mbox"})
_GLUE_COMMANDS = frozenset(
    {r"\text", r"\mbox", r"\quad", r"\qquad", r"\,", r"\;", r"\:", r"\ ", r"\[", r"\]", r"\(", r"\)", r"\!"}
)
_RELATIONS = frozenset({"=", "≈", "<", ">", r"\approx", r"\le", r"\leq", r"\ge", r"\geq", r"\in", r"\Rightarrow", r"\implies"})
_OPERATORS = frozenset({"+", "-", "−", "*", "/", "×", "·", "÷", r"\times", r"\cdot", r"\div"})
_SPACING = frozenset({r"\,", r"\;", r"\:", r"\ ", r"\!"})
_EDGES = _RELATIONS | {"$", r"\[", r"\(", "&"}
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


@dataclass(frozen=True, slots=True)
class Box:
    """`start`, `end`: of the whole command. `content`: what is inside."""

    start: int
    end: int
    content: str


def boxes(text: str) -> list[Box]:
    """All boxes in order, those in other boxes left out."""
    closing = closing_braces(text)
    found: list[Box] = []
    for match in _BOX.finditer(text):
        if found and match.start() < found[-1].end:
            continue
        start = match.end()
        while text[start : start + 1].isspace():
            start += 1
        found.append(_box(text, match.start(), start, closing))
    return found


def _box(text: str, place: int, start: int, closing: dict[int, int]) -> Box:
    if text[start : start + 1] == "{":
        end = closing.get(start)
        if end is not None:
            return Box(place, end + 1, text[start + 1 : end])
        match = _END_OF_OPEN.search(text, start)
        stop = match.start() if match else len(text)
        return Box(place, stop, text[start + 1 : stop])
    end = _unbraced(text, start, closing)
    return Box(place, end, text[start:end])


def _unbraced(text: str, start: int, closing: dict[int, int]) -> int:
    """The end of what an unbraced box holds: a number with its sign, a word, or a command with its arguments."""
    found = [token for token in tokens(text, start, start + 60)]
    if not found or found[0].kind == "formula":
        return start
    if found[0].text in ("-", "+", "−") and len(found) > 1 and found[1].kind == "number":
        return found[1].end
    if found[0].kind == "command":
        end = found[0].end
        for _ in range(_MAX_GROUPS):
            if text[end : end + 1] != "{" or end not in closing:
                break
            end = closing[end] + 1
        return end
    return found[0].end if found[0].kind in ("number", "word") else start


def boxed(text: str, joining: Joining = "joined", void: Sequence[Void] = ()) -> Found | None:
    """The answer in the last box, or in the last few where they stand side by side; its text is "" where the box is empty.

    Args:
        void: announcements whose boxes are no answers ("a common incorrect answer is ...").
    """
    found = [box for box in boxes(text) if not any(one.start <= box.start < one.value_end for one in void)]
    if not found:
        return None
    if found[-1].content.strip() and _is_an_argument(text, found[-1]):
        return Found(found[-1].end, _unboxed_around(text, found))
    contents = _side_by_side(text, found, joining)
    if len(contents) > 1:
        return Found(found[-1].end, ", ".join(contents))
    return Found(found[-1].end, _with_company(text, found[-1]) if contents else "")


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


def _behind_command(text: str, place: int, opening: dict[int, int]) -> int:
    """The place where the arguments begin, one of which begins at `place`: behind the command's name."""
    for _ in range(_MAX_GROUPS):
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


def _unboxed_around(text: str, found: Sequence[Box]) -> str:
    """The formula or line around the last box, every box in it replaced by what it holds."""
    start, end, in_formula = _formula_around(text, found[-1])
    start = start if in_formula else text.rfind("\n", 0, found[-1].start) + 1
    pieces, place = [], start
    for box in found:
        if start <= box.start and box.end <= end:
            content = box.content.strip()
            pieces += [text[place : box.start], content if content.isalnum() else f"({content})"]
            place = box.end
    return "".join([*pieces, text[place:end]]).strip()


def contents_of_last(text: str, joining: Joining = "joined") -> str | None:
    """What stands in the last box, or in the last few side by side, and nothing around it: how data sets store a gold answer."""
    found = boxes(text)
    return ", ".join(_side_by_side(text, found, joining)).strip() or None if found else None


def _side_by_side(text: str, found: list[Box], joining: Joining) -> list[str]:
    """The contents of the last box and of those beside it, no content twice; none where the last box is empty."""
    group = [found[-1]] if found[-1].content.strip() else []
    for before in found[-2::-1] if group and joining == "joined" else []:
        if not before.content.strip() or not _is_glue(text[before.end : group[0].start]):
            break
        group.insert(0, before)
    return list(dict.fromkeys(box.content for box in group))


def _is_glue(between: str) -> bool:
    """Whether two boxes stand side by side: only "and", commas, spacing, a part's number or the next one's name between them."""
    if len(between) > _GLUE_WIDTH or "\n\n" in between:
        return False
    found = [token for token in tokens(between.replace("$", " ")) if token.kind not in ("space", "newline")]
    names = 0
    for place, token in enumerate(found):
        text = token.text
        if text == "." and place + 1 < len(found):
            return False
        if text in ",;、，；.{}&()[]=:_'" or text in _GLUE_COMMANDS or (token.kind == "cjk" and text in "和或者以及与"):
            continue
        if token.kind == "formula" or word_of(token) in _GLUE_WORDS:
            continue
        if token.kind in ("word", "number") and (len(text) == 1 or (place == 0 and token.kind == "word" and "and" in between)):
            names += 1
            continue
        return False
    return names <= 5


def _with_company(text: str, box: Box) -> str:
    """A box's content with what cannot be parted from it: a minus sign before it, a power or "million" behind it, "not".

    Other words around a box are its author's sentence ("at least [445] widgets"), and the answer is what he put into the box.
    """
    start, end, in_formula = _formula_around(text, box)
    inside = _squeezed(tokens(text, box.end, end))
    right, taken = _right(inside)
    filled_in = bool(inside) and taken < len(inside) and inside[taken].text in _RELATIONS  # 3 + [4] = 7: a blank
    left = "" if filled_in else _left(tokens(text, max(start, box.start - _GLUE_WIDTH), box.start))
    right = "" if filled_in else right
    content = box.content.strip()
    if left or (right and not content.isalnum() and right not in ("%", r"\%", "°")):
        content = f"{left}({content}){right}"
    else:
        content += right
    if in_formula:
        behind = "" if taken < len(inside) else _magnitude(tokens(text, end, end + _GLUE_WIDTH))
    else:
        behind = "" if taken else _magnitude(tokens(text, box.end, box.end + _GLUE_WIDTH))
    before = _denial(tokens(text, max(0, start - _GLUE_WIDTH), start))
    return f"{before}${content}${behind}" if before or behind else content


def _formula_around(text: str, box: Box) -> tuple[int, int, bool]:
    """[start, end) of the text around a box up to the delimiters of its formula; its line where it stands in none."""
    for one in formulas(text):
        if one.start < box.start < one.end:
            width = 1 if text[one.start] == "$" != text[one.start + 1] else 2
            return one.start + width, one.end - width, True
    found = _END_OF_OPEN.search(text, box.end, min(len(text), box.end + _GLUE_WIDTH))
    return box.start, found.start() if found else box.end, False


def _squeezed(found: list[Token]) -> list[Token]:
    return [token for token in found if token.kind not in ("space", "newline") and token.text not in _SPACING]


def _right(found: list[Token]) -> tuple[str, int]:
    """(what follows a box and belongs to it, number of its tokens): a power, "!", "%", or an operator with its number."""
    if len(found) > 1 and found[0].text == "_" and (found[1].kind == "number" or found[1].text == "{"):
        taken = _argument_end(found, 1)  # a base
        return "".join(token.text for token in found[:taken]), taken
    if not found or found[0].text not in {"^", "!", "%", r"\%", "°", *_OPERATORS}:
        return "", 0
    taken = 1
    if found[0].text in _OPERATORS:
        if len(found) < 2 or found[1].kind != "number":
            return "", 0
        taken = 2
    if taken < len(found) and (found[taken - 1].text == "^" or found[taken].text == "^"):
        taken = _argument_end(found, taken + (found[taken].text == "^"))
    said = "".join(token.text for token in found[:taken])
    return ("", 0) if r"\prime" in said or "'" in said else (said, taken)


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


def _left(found: list[Token]) -> str:
    """The minus sign directly before a box. A number there is what the box completes: "= 11 [2]"."""
    if not found or found[-1].text not in ("-", "−"):
        return ""
    before = found[-2] if len(found) > 1 else None
    return "-" if before is None or before.kind in ("space", "newline") or before.text in _EDGES else ""


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
