"""Wrong answers: a gold answer with one meaningful token changed. A grader that calls one of them correct is fooled.

A candidate counts only if the reader of `meaning` proves that it means something else, or if the change means something else
whatever the answer is (a number cut in two by a space, "not" in front of it).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random

from tools.grading_mutations.expressions import UnreadableError, evaluate, names, points
from tools.grading_mutations.meaning import UNITS, differ, read

#: What no token is changed in: words, environments, lengths and commands.
_FIXED = re.compile(r"\\(?:text|textbf|mbox|mathrm|textrm) ?\{[^{}]*\}|\\begin\{\w+\}|\\end\{\w+\}|\\[A-Za-z]+|\\.")
_LETTERS = "abcmnpqrstuvwxyz"
_OPERATORS = {
    "+": ("-", r"\cdot "), "-": ("+", r"\cdot "), r"\cdot": ("+", "-"), r"\times": ("+", "-"), "/": ("+", "-", r"\cdot "),
    "^": ("+", "-", ""), "<": (r"\le ", ">", "="), ">": (r"\ge ", "<", "="), "=": ("<", r"\ne ", ">"), r"\le": ("<", r"\ge "),
    r"\ge": (">", r"\le "), r"\leq": ("<", r"\ge "), r"\geq": (">", r"\le "), r"\pm": ("+", "-"), r"\cup": (r"\cap ",),
    "!": ("",), r"\ne": ("=",), r"\neq": ("=",),
}  # fmt: skip
_FUNCTIONS = {
    r"\sin": (r"\cos", r"\tan"), r"\cos": (r"\sin", r"\sec"), r"\tan": (r"\sin", r"\cot"), r"\ln": (r"\exp", r"\sin"),
    r"\log": (r"\exp", r"\sin"), r"\sqrt": (r"\sqrt[3]", r"\sqrt[4]", ""), r"\pi": ("e", "", r"\theta "), "e": (r"\pi ", "x"),
    "i": ("", "x"), r"\frac": (r"\binom", ""), r"\binom": (r"\frac",), r"\infty": ("0", "1"), "|": ("",),
}  # fmt: skip
_OPERATOR = re.compile(r"\\(?:cdot|times|leq|le|geq|ge|pm|cup|neq|ne)(?![A-Za-z])|(?<!\\)[-+/^<>=!]")
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|ln|log|sqrt|pi|frac|binom|infty)(?![A-Za-z])|(?<![A-Za-z\\])[ei](?![A-Za-z])|\|")

_GAPS = (" ", r"\quad ", r"\ ", "\n", r"\text{ }")

Maker = Callable[[str, Random], Iterator[str]]


def _free(text: str) -> list[bool]:
    """For each character: it is no part of a command, a word or an environment."""
    free = [True] * len(text)
    for match in _FIXED.finditer(text):
        free[match.start() : match.end()] = [False] * len(match[0])
    return free


def _sites(pattern: str, text: str, chance: Random) -> list[re.Match[str]]:
    """The places of `pattern` outside commands and words, in random order."""
    free = _free(text)
    sites = [match for match in re.finditer(pattern, text) if all(free[match.start() : match.end()])]
    chance.shuffle(sites)
    return sites


def _replaced(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def digit(text: str, chance: Random) -> Iterator[str]:
    for match in _sites(r"\d", text, chance):
        leading = text[match.end() : match.end() + 1].isdigit() and not text[match.start() - 1 : match.start()].isdigit()
        yield _replaced(text, match, chance.choice([new for new in "0123456789"[leading:] if new != match[0]]))


def digit_lost_or_doubled(text: str, chance: Random) -> Iterator[str]:
    if "." not in text and "%" not in text:
        for match in _sites(r"(?<=[1-9])\d(?![\d.])", text, chance):
            yield _replaced(text, match, chance.choice(["", match[0] * 2]))


def decimal_point(text: str, chance: Random) -> Iterator[str]:
    if "%" not in text:
        for match in _sites(r"(?<=\d)\.(?=\d)|(?<=[1-9])(?=[1-9])(?![\d,]*\.)", text, chance):
            yield _replaced(text, match, "" if match[0] else ".")


def sign(text: str, chance: Random) -> Iterator[str]:
    for match in _sites(r"(?:(?<=^)|(?<=[(\[{,&=]))(?:\s*)(-?)(?=\s*(?:\d|\\frac|\\sqrt|\\pi|[a-z]))", text, chance):
        yield _replaced(text, match, "" if match[1] else "-")


def operator(text: str, chance: Random) -> Iterator[str]:
    matches = list(_OPERATOR.finditer(text))
    chance.shuffle(matches)
    for match in matches:
        yield _replaced(text, match, chance.choice(_OPERATORS[match[0]]))


def function(text: str, chance: Random) -> Iterator[str]:
    words = {
        place for match in re.finditer(r"\\(?:text|mbox|mathrm|begin|end)\{[^{}]*\}", text) for place in range(*match.span())
    }
    matches = [match for match in _FUNCTION.finditer(text) if match.start() not in words]
    chance.shuffle(matches)
    for match in matches:
        yield _replaced(text, match, chance.choice(_FUNCTIONS[match[0]]))


def name(text: str, chance: Random) -> Iterator[str]:
    if re.search(r"[A-Za-z]'?\(", text):  # the variable of a function may be called anything
        return
    for match in _sites(r"[A-DF-Za-df-hj-z]", text, chance):
        yield _replaced(text, match, chance.choice([letter for letter in _LETTERS if letter not in text]))


def index(text: str, chance: Random) -> Iterator[str]:
    for match in _sites(r"(?<=_)\d|(?<=_\{)\d", text, chance):
        yield _replaced(text, match, chance.choice([new for new in "23456789" if new != match[0]]))


def unit(text: str, chance: Random) -> Iterator[str]:
    meaning = read(text)
    if meaning is None or meaning.form != "value":
        return
    groups = [group.split("|") for group in UNITS]
    for match in re.finditer(r"\\(?:text|mbox) ?\{ ?([a-z/ ]+?)\}", text):
        others = [group[0] for group in groups if match[1].strip() not in group and not group[0][-1].isdigit()]
        yield _replaced(text, match, rf"\text{{ {chance.choice(others)}}}")
    for match in re.finditer(r"(?<=\})\^\{?([23])\}?$", text):
        yield _replaced(text, match, "^5" if match[1] == "3" else "^3")


def bracket(text: str, chance: Random) -> Iterator[str]:
    matches = [] if r"\infty" in text else list(re.finditer(r"[()\[\]]", text))  # [0, \infty] is a matter of taste
    for match in chance.sample(matches, len(matches)):
        yield _replaced(text, match, "([)]"["[(])".index(match[0])])


def order(text: str, chance: Random) -> Iterator[str]:
    if r"\infty" in text or r"\text" in text:  # half-lines the wrong way round are a matter of taste, words in a row a set
        return
    for pattern in (
        r"([(\[,]|left\()([^(),\[\]]+),([^(),\[\]]+)(?=[,)\]]|\\right)",
        r"(\}|&|\\\\)([^&\\]+)(?:&|\\\\)([^&\\]+)(?=&|\\)",
    ):
        matches = list(re.finditer(pattern, text))
        for match in chance.sample(matches, len(matches)):
            (_, first), (second_start, second_end) = match.span(2), match.span(3)
            between = text[first:second_start]
            yield text[: match.start(2)] + match[3] + between + match[2] + text[second_end:]


def member(text: str, chance: Random) -> Iterator[str]:
    """A list or a set with a member more or less."""
    meaning = read(text)
    if meaning is not None and meaning.form in ("list", "set", "tuple") and "," in text:
        yield re.sub(r",(?=[^,]*$)", f", {chance.randint(1000, 9999)},", text)
        if meaning.form != "list" or len(meaning.parts) > 2:
            yield re.sub(r",[^,(){}\[\]]*$", "", text)


def inverted_fraction(text: str, chance: Random) -> Iterator[str]:
    matches = list(re.finditer(r"(\\[dtc]?frac)\{([^{}]+)\}\{([^{}]+)\}", text))
    for match in chance.sample(matches, len(matches)):
        yield _replaced(text, match, f"{match[1]}{{{match[3]}}}{{{match[2]}}}")


def letter_of_word(text: str, chance: Random) -> Iterator[str]:
    """Of an answer in words (no unit beside a number)."""
    meaning = read(text)
    if meaning is None or meaning.form != "word" or any(character.isdigit() for character in text):
        return
    for match in re.finditer(r"(?<=\{)[^{}]+|^[A-Za-z ]+$", text):
        letters = [place for place in range(*match.span()) if text[place].isalpha()]
        place = chance.choice(letters)
        alone = not text[place - 1 : place].isalpha() and not text[place + 1 : place + 2].isalpha()
        pool = "ABCDE" if alone else "bcdfgklmnprt"
        new = chance.choice([letter for letter in pool if letter.lower() != text[place].lower()])
        yield text[:place] + new + text[place + 1 :]


PROVED: dict[str, Maker] = {
    "digit": digit,
    "digit lost or doubled": digit_lost_or_doubled,
    "decimal point": decimal_point,
    "sign": sign,
    "operator": operator,
    "function": function,
    "name": name,
    "index": index,
    "unit": unit,
    "bracket": bracket,
    "order": order,
    "member": member,
    "fraction inverted": inverted_fraction,
    "letter of a word": letter_of_word,
}


def number_of(text: str) -> float | None:
    """The value of an answer that is one number, without names and units; else None."""
    meaning = read(text)
    if meaning is None or meaning.form != "value" or meaning.mark or names(meaning.parts[0]):
        return None
    try:
        value = complex(evaluate(meaning.parts[0], points()[0]))
    except UnreadableError:
        return None
    return value.real if value.imag == 0 else None


def word_added(text: str, chance: Random) -> Iterator[str]:
    value = number_of(text)
    if value is None or value in (0, 1, 2) or text.strip().startswith("-"):
        return
    after = [
        " thousand",
        r"\text{ million}",
        " squared",
        " dozen",
        r" \text{ hundredths}",
        " more than x",
        " plus y",
        r"\text{ times } n",
    ]
    before = [
        "not ",
        r"\text{not }",
        "negative ",
        r"\text{minus }",
        "the square root of ",
        "less than ",
        "half of ",
        "at most ",
    ]
    yield chance.choice([f"{text}{word}" for word in after] + [f"{word}{text}" for word in before])


def token_added(text: str, chance: Random) -> Iterator[str]:
    value = number_of(text)
    if value is not None and value not in (0, 1, 2) and re.fullmatch(r"-?(\d+|\\frac\{\d+\}\{\d+\})", text):
        yield text + chance.choice(["+1", "x", r"\pi", r"\sqrt{2}", "i", r"\cdot 3", r"\cdot 10^{3}", "-1"])


def number_cut(text: str, chance: Random) -> Iterator[str]:
    """A space inside a whole number, where it does not part thousands."""
    if re.fullmatch(r"-?\d{2,9}", text):
        places = [place for place in range(1, len(text)) if text[place - 1].isdigit() and len(text) - place != 3]
        if places:
            place = chance.choice(places)
            first, second = text[:place], text[place:]
            yield chance.choice([f"{first}{gap}{second}" for gap in _GAPS] + [f"${first}$ ${second}$"])


def digit_raised_or_lowered(text: str, chance: Random) -> Iterator[str]:
    """The last digit of a whole number as a Unicode power or index: no power equals the number with its digits side by side."""
    if re.fullmatch(r"-?\d{2,9}", text):
        yield text[:-1] + chance.choice(("⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉"))[int(text[-1])]


def left_side(text: str, chance: Random) -> Iterator[str]:
    """Something else than the unknown itself equals the value. Where the gold has no name, only what no question asks for."""
    match = re.fullmatch(r"([a-z]) ?= ?(.+)", text)
    letter, value = (match[1], match[2]) if match else ("x", text)
    if number_of(value) not in (None, -1, 0, 1):
        sides = ["2L", "L^2", r"\log(L)", r"\sqrt{L}", r"\frac{1}{L}", "L+3"]
        sides += ["|L|", "f(L)", "L'", r"\lfloor L\rfloor", "L_1L_2"] if match else []
        yield chance.choice(sides).replace("L", letter) + f" = {value}"


CERTAIN: dict[str, Maker] = {
    "word added": word_added,
    "token added": token_added,
    "number cut in two": number_cut,
    "raised or lowered": digit_raised_or_lowered,
    "left side": left_side,
}


def wrong_answer(kind: str, gold: str, chance: Random) -> str | None:
    """A wrong answer: `gold` with a change of one kind (of `PROVED` or `CERTAIN`). None where it has none."""
    if kind in CERTAIN:
        return next(CERTAIN[kind](gold, chance), None)
    meaning = read(gold)
    if meaning is None:
        return None
    for candidate in PROVED[kind](gold, chance):
        other = read(candidate)
        if other is not None and differ(meaning, other):
            return candidate
    return None
