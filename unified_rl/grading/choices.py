"""Option letters only: "B", "(C)", "ACD", for benchmarks of multiple choice."""

from __future__ import annotations

from unified_rl.grading.boxes import boxed
from unified_rl.grading.marks import Void, announcements, hashes
from unified_rl.grading.unmarked import lone_letter, replacing_letter

_WIDTH = 60  # characters behind a mark in which the letters stand
_DECORATION = " \t\n*:：\"'“$（("
_FONTS = (r"\text{", r"\textbf{", r"\mathrm{", r"\mathbf{")


def choice(text: str, unmarked: str) -> str | None:
    """Option letters: marked ones, else the letter that the response begins with, or the last lone one."""
    found: list[tuple[int, str]] = []
    void = []
    for mark in announcements(text):
        letters = _letters(text[mark.end : mark.end + _WIDTH])
        if mark.void or mark.negated:
            void.append(Void(mark.start, mark.end + 4, mark.end + _WIDTH))
        elif letters and not _is_one_of_several(text[mark.end : mark.end + _WIDTH], letters):
            found.append((mark.end, letters))
    box, line = boxed(text, void=void), hashes(text)
    for other in (box, line):
        if other and (letters := _letters(other.text[:_WIDTH])):
            found.append((other.end, letters))
    if found:
        end, letters = max(found)
        return replacing_letter(text, end) or letters
    if unmarked == "refuse" or void:
        return None
    alone = text.strip().rstrip(".。").rstrip().removeprefix("(").removesuffix(")")
    return alone if _are_options(alone, 6) else lone_letter(text)


def _letters(text: str) -> str:
    """The option letters that a short text begins with, decoration apart: up to four of A to F, or a single one."""
    text = text.lstrip(_DECORATION)
    for font in _FONTS:
        text = text.removeprefix(font)
    text = text.lstrip(_DECORATION)
    count = next((place for place, letter in enumerate(text) if not (letter.isascii() and letter.isalpha())), len(text))
    letters = text[:count]
    return letters if _are_options(letters, 4) or (len(letters) == 1 and letters.isupper()) else ""


def _is_one_of_several(text: str, letters: str) -> bool:
    """Whether another letter follows as an alternative: "B or C"."""
    words = text[text.find(letters) + len(letters) :].split()[:2]
    return (
        len(words) == 2
        and words[0] in ("or", "and", "或", "和")
        and words[1].strip("().,*")[:2].rstrip(".,") in tuple("ABCDEFGH")
    )


def _are_options(text: str, most: int) -> bool:
    return 0 < len(text) <= most and all("A" <= letter <= "H" for letter in text)
