"""An independent matcher: no hashes, no arrays, characters one by one, and text search. Slow, and easy to believe."""

from __future__ import annotations

import unicodedata

#: Said again here, so that a slip in the library's table is noticed.
ONE_MEANING = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "leq": "le",
    "geq": "ge",
    "neq": "ne",
    "cdotp": "cdot",
    "ldots": "dots",
}
NO_MEANING = set(
    [
        "left",
        "right",
        "big",
        "bigg",
        "bigl",
        "bigr",
        "displaystyle",
        "textstyle",
        "limits",
        "nolimits",
        "quad",
        "qquad",
        "hspace",
        "text",
        "mathrm",
        "textbf",
        "mathbf",
        "textit",
        "mbox",
        "begin",
        "end",
        "label",
        "tag",
        "hfill",
        "newline",
        "nonumber",
    ]
)


def is_cjk(char: str) -> bool:
    name = unicodedata.name(char, "")
    return name.startswith(("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HANGUL SYLLABLE"))


def split(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = []
    word, command = "", False

    def close() -> None:
        nonlocal word, command
        if word and not (command and word in NO_MEANING):
            found.append(ONE_MEANING.get(word, word) if command else word)
        word, command = "", False

    for place, char in enumerate(text):
        latin = "a" <= char <= "z"
        if command and not latin:
            close()
        if char == "\\" and "a" <= text[place + 1 : place + 2] <= "z":
            close()
            command = True
        elif is_cjk(char):
            close()
            found.append(char)
        elif char.isalnum():
            word += char
        else:
            close()
    close()
    return found


def contaminated(page: str, benchmarks: list[str], n: int = 10, shortest: int = 3) -> str | None:
    """A run of grams that a page should not hold; None where there is none."""
    held = f" {' '.join(split(page))} "
    for text in benchmarks:
        grams = split(text)
        if shortest <= len(grams) < n and f" {' '.join(grams)} " in held:
            return " ".join(grams)
        for start in range(len(grams) - n + 1):
            run = " ".join(grams[start : start + n])
            if f" {run} " in held:
                return run
    return None
