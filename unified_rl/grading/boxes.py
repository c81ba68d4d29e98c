"""`\\boxed{...}` and `\\fbox{...}`: the last one speaks, with what belongs to it on both sides.

A box that holds nothing is no answer, and the boxes before it are none either: the response meant to say something else. A box that
is never closed holds what stands in it up to the end of its line or formula.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unified_rl.grading.around_boxes import END_OF_OPEN, MAX_GROUPS, is_a_part, unboxed_around, with_company
from unified_rl.grading.marks import Found, Void
from unified_rl.grading.scan import closing_braces, tokens
from unified_rl.grading.sentences import word_of

Joining = Literal["joined", "last"]

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])")
_GLUE_WIDTH = 60
_GLUE_WORDS = frozenset({"and", "or", "for", "part", "case", "text", "mbox"})
_GLUE_COMMANDS = frozenset(
    {r"\text", r"\mbox", r"\quad", r"\qquad", r"\,", r"\;", r"\:", r"\ ", r"\[", r"\]", r"\(", r"\)", r"\!"}
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
        match = END_OF_OPEN.search(text, start)
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
        for _ in range(MAX_GROUPS):
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
    if found[-1].content.strip() and is_a_part(text, found[-1]):
        return Found(found[-1].end, unboxed_around(text, found))
    contents = _side_by_side(text, found, joining)
    if len(contents) > 1:
        return Found(found[-1].end, ", ".join(contents))
    if not contents:
        return Found(found[-1].end, "")
    beside = len(found) > 1 and _is_glue(text[found[-2].end : found[-1].start])
    return Found(found[-1].end, with_company(text, found[-1], found[-2].end if beside else 0))


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
