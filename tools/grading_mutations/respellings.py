"""Right answers: a gold answer with its spelling changed, and nothing else. A grader must call every one of them correct."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_WORDS = re.compile(r"\\(?:text|textbf|mbox|mathrm|textrm) ?\{[^{}]*\}")
_COMPUTER_NUMBER = re.compile(r"\d[eE][-+]?\d")
_UNICODE = {
    r"\pi": "π", r"\infty": "∞", r"\cup": "∪", r"\le": "≤", r"\leq": "≤", r"\ge": "≥", r"\geq": "≥", r"\neq": "≠", r"\ne": "≠",
    r"\cdot": "·", r"\times": "×", r"\pm": "±", r"\theta": "θ", r"\alpha": "α",
}  # fmt: skip
_SPELLINGS = {
    r"\le": r"\leq", r"\leq": r"\le", r"\ge": r"\geq", r"\geq": r"\ge", r"\ne": r"\neq", r"\neq": r"\ne", r"\to": r"\rightarrow",
    r"\cdot": r"\times", r"\times": r"\cdot", r"\frac": r"\dfrac", r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac",
    r"\mbox": r"\text", r"\emptyset": r"\varnothing",
}  # fmt: skip

Respelling = Callable[[str, Random], str | None]  # None, or the same text, where there is nothing to respell


def in_prose(text: str) -> bool:
    """Whether an answer is prose, or has formulas of its own in it: nothing then stands in one formula."""
    return not text.isascii() or re.search(r"(?<!\\)\$", text) is not None


def _outside_words(text: str, change: Callable[[str], str]) -> str:
    """`change` of everything but the words."""
    pieces, start = [], 0
    for match in _WORDS.finditer(text):
        pieces += [change(text[start : match.start()]), match[0]]
        start = match.end()
    return "".join([*pieces, change(text[start:])])


def spaces(text: str, chance: Random) -> str:
    """Around signs and at both ends; never between two digits or two letters."""
    if r"\phantom" in text or _COMPUTER_NUMBER.search(text):  # \phantom takes what follows
        return text
    space = chance.choice([" ", "  ", r"\,", r"\;"])
    sign = re.compile(r"(?<=[\w})])\s*([+=<>]|-(?=[\w\\(]))\s*")
    return f" {_outside_words(text, lambda part: sign.sub(lambda match: space + match[1] + space, part))} "


def no_spaces(text: str, chance: Random) -> str:
    """Without the spaces that nothing depends on."""
    return _outside_words(text, lambda part: re.sub(r"(?<![A-Za-z\d\\])\s+|(?<!\\)\s+(?![A-Za-z\d\\])", "", part))


def space_in_groups(text: str, chance: Random) -> str:
    return re.sub(r"(frac|sqrt)\{([^{}]*)\}", r"\1{ \2 }", text)


def commands(text: str, chance: Random) -> str:
    """Another command for the same sign."""
    if r"\mathbf" in text or "matrix" in text:  # \cdot and \times of vectors are different products
        return text
    names = [name for name in _SPELLINGS if re.search(re.escape(name) + r"(?![A-Za-z])", text)]
    if not names:
        return text
    name = chance.choice(names)
    return re.sub(re.escape(name) + r"(?![A-Za-z])", lambda _: _SPELLINGS[name], text)


def unicode_signs(text: str, chance: Random) -> str:
    names = [name for name in _UNICODE if re.search(re.escape(name) + r"(?![A-Za-z])", text)]
    if names and "matrix" not in text:
        name = chance.choice(names)
        return re.sub(re.escape(name) + r"(?![A-Za-z])", lambda _: _UNICODE[name], text)
    return text if _COMPUTER_NUMBER.search(text) else _outside_words(text, lambda part: part.replace("-", "−"))


def degree_sign(text: str, chance: Random) -> str:
    new = chance.choice(["°", r"^{\circ}", r"^\circ"])
    return re.sub(r"\^\{\\circ\}|\^\\circ(?![A-Za-z])", lambda _: new, text)


def short_groups(text: str, chance: Random) -> str:
    """\\frac12 for \\frac{1}{2}, \\sqrt3 for \\sqrt{3}, x^2 for x^{2}."""
    text = re.sub(r"\\([dt]?frac)\{(\d)\}\{(\d)\}", r"\\\1\2\3", text)
    text = re.sub(r"\\sqrt\{(\d)\}(?!\d)", r"\\sqrt\1", text)
    return re.sub(r"([\^_])\{(\w)\}(?!\d)", r"\1\2", text)


def long_groups(text: str, chance: Random) -> str:
    text = re.sub(r"\\([dtc]?frac) ?(\d)(\d)", r"\\\1{\2}{\3}", text)
    text = re.sub(r"\\sqrt ?(\d)", r"\\sqrt{\1}", text)
    return re.sub(r"([\^_])(\d)(?!\d)", r"\1{\2}", text)


def sizes(text: str, chance: Random) -> str:
    """\\left and \\right, or none."""
    if r"\left" in text:
        return text.replace(r"\left", "").replace(r"\right", "")
    if re.fullmatch(r"[(\[][^()\[\]]*[)\]]", text):
        return rf"\left{text[:-1]}\right{text[-1]}"
    return re.sub(r"\(([^()\[\]]*)\)", r"\\left(\1\\right)", text)


def outer_braces(text: str, chance: Random) -> str | None:
    return None if text.endswith(".") or in_prose(text) else f"{{{text}}}"


def dollars(text: str, chance: Random) -> str | None:
    if in_prose(text):
        return None
    opening, closing = chance.choice(
        [("$", "$"), ("$$", "$$"), (r"\(", r"\)"), (r"\[", r"\]"), ("$ ", " $"), (r"$\displaystyle ", "$")]
    )
    return f"{opening}{text}{closing}"


def box(text: str, chance: Random) -> str:
    opening, closing = chance.choice(
        [(r"\boxed{", "}"), (r"$\boxed{", "}$"), (r"\fbox{", "}"), (r"\boxed{ ", " }"), (r"$$\boxed{", "}$$")]
    )
    return f"{opening}{text}{closing}"


def full_stop(text: str, chance: Random) -> str:
    return f"{text}."


def bare_words(text: str, chance: Random) -> str | None:
    """An answer in words without its command, or with another."""
    match = re.fullmatch(r"\\(?:text|mbox) ?\{([^{}]+)\}", text)
    if match is None:
        return None
    return chance.choice([match[1], rf"\textbf{{{match[1]}}}", rf"\textrm{{{match[1]}}}", rf"\text{{ {match[1]} }}"])


def thousands(text: str, chance: Random) -> str:
    """Separators in or out of a whole number that stands alone."""
    if re.fullmatch(r"-?\d{1,3}(,\\!\d{3})+", text):
        return text.replace(r",\!", chance.choice(["", ",", "{,}"]))
    if re.fullmatch(r"-?\d{4,}", text):
        return re.sub(r"(?<=\d)(?=(\d{3})+$)", lambda _: "{,}", text).replace("{,}", chance.choice([",", "{,}", r",\!", r"\,"]))
    return text


def zeros(text: str, chance: Random) -> str | None:
    """Zeros at the end of a decimal, and before its point."""
    if re.fullmatch(r"-?\d+\.\d+", text):
        return text.replace("0.", ".") if text.startswith("0.") and chance.random() < 0.3 else text + "0" * chance.randint(1, 2)
    return f"{text}.0" if re.fullmatch(r"-?\d{1,9}", text) and text[0] != "0" else None


def slash(text: str, chance: Random) -> str | None:
    match = re.fullmatch(r"(-?)\\[dt]?frac\{(-?\d+)\}\{(\d+)\}", text)
    return match and f"{match[1]}{match[2]}/{match[3]}"


def sign_of_fraction(text: str, chance: Random) -> str:
    return re.sub(r"^-\\([dt]?frac)\{(\w+)\}\{(\w+)\}$", r"\\\1{-\2}{\3}", text)


def matrix(text: str, chance: Random) -> str:
    text = re.sub(r"\{pmatrix\}", chance.choice(["{bmatrix}", "{pmatrix}"]), text)
    return re.sub(r"\s*(&|\\\\)\s*", chance.choice([r" \1 ", r"\1"]), text) if "matrix" in text else text


def plus_infinity(text: str, chance: Random) -> str:
    return re.sub(r"(?<![-+])\\infty", lambda _: r"+\infty", text)


def mixed_number(text: str, chance: Random) -> str | None:
    """A whole number and a fraction, with a space, without braces, or with a slash."""
    match = re.fullmatch(r"(-?\d+) ?\\[dt]?frac\{(\d+)\}\{(\d+)\}", text)
    return match and chance.choice([rf"{match[1]} \frac{{{match[2]}}}{{{match[3]}}}", f"{match[1]} {match[2]}/{match[3]}"])


def currency(text: str, chance: Random) -> str | None:
    return text.removeprefix(r"\$") if re.fullmatch(r"\\\$\d+(\.\d+)?", text) else None


def units(text: str, chance: Random) -> str | None:
    """A unit beside a number, with another command or another space."""
    match = re.fullmatch(r"(.*\d)(?:\\,|\s)*\\(?:text|mbox) ?\{\s*([a-z ]+)\}((?:\^\{?\d\}?)?)", text)
    if match is None:
        return None
    space = chance.choice([" ", r"\,", r"\ ", "~"])
    return rf"{match[1]}{space}\text{{{match[2]}}}{match[3]}" if match[3] else rf"{match[1]}\mbox{{ {match[2]}}}"


RESPELLINGS: dict[str, Respelling] = {
    "spaces": spaces,
    "spaces left out": no_spaces,
    "spaces in groups": space_in_groups,
    "commands": commands,
    "unicode": unicode_signs,
    "degree sign": degree_sign,
    "short groups": short_groups,
    "long groups": long_groups,
    "sizes": sizes,
    "outer braces": outer_braces,
    "dollars": dollars,
    "box": box,
    "full stop": full_stop,
    "words": bare_words,
    "thousands": thousands,
    "zeros": zeros,
    "slash": slash,
    "sign of a fraction": sign_of_fraction,
    "matrix": matrix,
    "plus infinity": plus_infinity,
    "mixed number": mixed_number,
    "currency": currency,
    "units": units,
}
_WRAPPINGS = ("outer braces", "dollars", "box", "full stop")  # after which nothing is respelled


def several_at_once(text: str, chance: Random) -> str:
    for kind in chance.sample([kind for kind in RESPELLINGS if kind not in _WRAPPINGS], 4):
        text = RESPELLINGS[kind](text, chance) or text
    return RESPELLINGS[chance.choice(_WRAPPINGS[1:])](text, chance) or text


def right_answer(kind: str, gold: str, chance: Random) -> str | None:
    """`gold` respelled in one way, or in several at once; None where that changes nothing."""
    text = several_at_once(gold, chance) if kind == "several at once" else RESPELLINGS[kind](gold, chance)
    return None if text == gold else text
