"""Option letters only: "B", "(C)", "ACD", for benchmarks of multiple choice."""

from __future__ import annotations

import re

from unified_rl.grading.boxes import boxed
from unified_rl.grading.marks import Void, announcements, hashes
from unified_rl.grading.unmarked import lone_letter

_LETTERS = re.compile(r"[\s*:：\"'“$]*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{)?[（(]?\s*([A-F]{1,4}|[G-Z])(?![A-Za-z])")
_ONLY = re.compile(r"\s*\(?([A-H]{1,6})\)?[.。\s]*")
_WIDTH = 60


def choice(text: str, unmarked: str) -> str | None:
    """Option letters: marked ones, else the letter that the response begins with, or the last lone one."""
    found: list[tuple[int, str]] = []
    void = []
    for mark in announcements(text):
        match = _LETTERS.match(text, mark.end, mark.end + _WIDTH)
        if mark.void or mark.negated:
            void.append(Void(mark.start, mark.end + 4, mark.end + _WIDTH))
        elif match:
            found.append((mark.end, match[1]))
    box, line = boxed(text, void=void), hashes(text)
    for other in (box, line):
        match = _LETTERS.match(other.text) if other else None
        if other and match:
            found.append((other.end, match[1]))
    if found:
        return max(found)[1]
    if unmarked == "refuse" or void:
        return None
    if match := _ONLY.fullmatch(text):
        return match[1]
    return lone_letter(text)
