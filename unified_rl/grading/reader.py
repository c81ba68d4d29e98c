"""What an answer is: from tokens to a node. A part that is not understood to its last token becomes a text, and stays
comparable as one.

Bottom-up in meaning, top-down in reading: lists, then relations, then sets, then brackets, then one scalar. Every step takes a
slice of tokens and splits it outside brackets, so the work is linear in each of at most MAX_DEPTH levels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from unified_rl.grading import names, relations
from unified_rl.grading.brackets import balanced, closing, split
from unified_rl.grading.lists import joined_thousands, parted_or, read_list
from unified_rl.grading.matrices import read_environment
from unified_rl.grading.nodes import Congruence, Items, Node, Ratio, Scalar, Text, Time
from unified_rl.grading.normalise import tidy
from unified_rl.grading.options import read_options
from unified_rl.grading.programs import is_program_object, program_object
from unified_rl.grading.scalars import read_scalar
from unified_rl.grading.sets import brackets, named_set, set_operation
from unified_rl.grading.tokens import Token, Unread, tokenize
from unified_rl.grading.trees import are_thousands
from unified_rl.grading.words import SHORT_WORDS, number_in_words

Reader = Callable[[list[Token]], Node]

MAX_DEPTH = 10


@lru_cache(maxsize=4096)
def read_answer(answer: str) -> Node:
    """The meaning of an answer as it was written. Never fails: what is not understood is a Text."""
    text = tidy(answer)
    try:
        tokens = tokenize(text)
    except Unread:
        return Text(" ".join(text.split()).casefold())
    if (options := read_options(tokens)) is not None:
        return options
    if is_program_object(tokens):
        tokens = program_object(tokens)
    return read(tokens)


@lru_cache(maxsize=4096)
def spelling(answer: str) -> str:
    """An answer as a text: the same for answers that differ in spelling only."""
    text = tidy(answer)
    try:
        return text_of(tokenize(text)).key
    except Unread:
        return " ".join(text.split()).casefold()


def read(tokens: list[Token], depth: int = 0) -> Node:
    """The node of a slice of tokens; a Text where it is not understood."""
    tokens = _stripped(tokens)
    if not tokens or depth > MAX_DEPTH or not balanced(tokens):
        return text_of(tokens)
    try:
        return _read(tokens, lambda part: read(part, depth + 1))
    except (Unread, RecursionError):
        return text_of(tokens)


def _read(tokens: list[Token], inside: Reader) -> Node:
    tokens = joined_thousands(parted_or(tokens))
    for reader in _READERS:
        if (node := reader(tokens, inside)) is not None:
            return node
    return read_scalar(tokens)


def text_of(tokens: list[Token]) -> Text:
    """Words and signs in order, without the case of words, spaces around signs, and braces around a single token."""
    pieces: list[str] = []
    for place, token in enumerate(tokens):
        if _single_group(tokens, place) or _single_group(tokens, place - 2):
            continue
        text = token.text.casefold() if _is_prose(token) else token.text
        if place and tokens[place - 1].text == r"\frac" and token.kind == "number" and len(text) == 2:
            text = f"{text[0]} {text[1]}"  # \frac17
        pieces.append(f" {text}" if pieces and _is_word(text) and _is_word(pieces[-1]) else text)
    text = "".join(pieces)
    return Text(text.rstrip(" .,;:").lstrip(" ,;:") or text)


def _is_prose(token: Token) -> bool:
    """Whether case is only spelling: of words, not of units (MW, mW) and names (ABC, abc)."""
    text = token.text
    if text.lower() in SHORT_WORDS:
        return True
    return text.isalpha() and ((len(text) > 3 and (text.islower() or text.istitle())) or (len(text) > 4 and text.isupper()))


def _single_group(tokens: list[Token], place: int) -> bool:
    """Whether braces around one token open here; those around a run of letters mean something (x^{yz})."""
    if not 0 <= place < len(tokens) - 2 or tokens[place].text != "{" or tokens[place + 2].text != "}":
        return False
    token = tokens[place + 1]
    return token.text != "{" and (token.kind != "letters" or len(token.text) == 1 or token.upright)


def _is_word(text: str) -> bool:
    return text.strip()[:1].isalnum()


def _stripped(tokens: list[Token]) -> list[Token]:
    """Without commas at the ends and grouping braces around everything; {1, 2} keeps them, as a set."""
    while True:
        while tokens and tokens[0].text in (",", ";", '"'):
            tokens = tokens[1:]
        while tokens and tokens[-1].text in (",", ";", '"', "\\"):
            tokens = tokens[:-1]
        if len(tokens) > 1 and tokens[-1].text == "." and tokens[-2].text != ".":
            tokens = tokens[:-1]
        if len(tokens) < 3 or tokens[0].text != "{" or closing(tokens, 0) != len(tokens) - 1:
            return tokens
        inner = tokens[1:-1]
        if len(split(inner, (",",))) > 1 and not are_thousands(
            [token.text for token in inner if token.text not in (r"\$", "-")]
        ):
            return tokens
        tokens = inner


def _number_in_words(tokens: list[Token], read: Reader) -> Node | None:
    """one hundred and five, 2 and a half: the word "and" joins no list here."""
    del read
    words = [token.text.lower() for token in tokens if token.text != "-"]
    if len(words) > 3 and words[0].isdigit() and words[1] == "and":
        part = number_in_words(words[2:])
        return Scalar(("num", int(words[0]) + part, None)) if part is not None and part < 1 else None
    value = number_in_words(words) if all(word.isalpha() for word in words) and "and" in words else None
    return None if value is None else Scalar(("num", value, None))


def _time(tokens: list[Token], read: Reader) -> Node | None:
    """7:30, 16:45:00, 4:45 PM."""
    del read
    if len(tokens) < 3 or tokens[1].text != ":" or len(tokens) > 6:
        return None
    half = tokens[-1].text.lower() if tokens[-1].text.lower() in ("am", "pm") else ""
    numbers = tokens[:-1] if half else tokens
    if len(numbers) not in (3, 5) or any(token.text != ":" for token in numbers[1::2]):
        return None
    texts = [token.text for token in numbers[::2]]
    if not all(text.isdigit() and len(text) == 2 for text in texts[1:]) or not texts[0].isdigit() or len(texts[0]) > 2:
        return None
    return Time(int(texts[0]), int(texts[1]), int(texts[2]) if len(texts) > 2 else 0, half)


def _relation(tokens: list[Token], read: Reader) -> Node | None:
    sides, ops = relations.parts(tokens)
    return relations.read_relation(sides, ops, read) if ops else names.chinese_statement(tokens, read)


def _congruence(tokens: list[Token], read: Reader) -> Node | None:
    del read
    found = relations.modulus(tokens)
    if found is None:
        return None
    residue, modulus = found
    return Congruence(None, relations.expression(residue), relations.expression(modulus))


def _signs(tokens: list[Token], read: Reader) -> Node | None:
    r"""`a \pm b` is the two numbers; with \mp the other sign."""
    if not any(token.text in (r"\pm", r"\mp") for token in tokens):
        return None
    texts = [token.text for token in tokens]
    if texts.count(r"\pm") > 1 and r"\mp" not in texts:
        raise Unread  # coupled, or four values
    both = []
    for plus, minus in (("+", "-"), ("-", "+")):
        signs = {r"\pm": plus, r"\mp": minus}
        both.append([token._replace(kind="sign", text=signs[token.text]) if token.text in signs else token for token in tokens])
    del read
    return Items("list", tuple(read_scalar(part) for part in both))


def _ratio(tokens: list[Token], read: Reader) -> Node | None:
    parts = split(tokens, (":",))
    if len(parts) < 2:
        return None
    nodes = tuple(read(part) for part in parts)
    if not all(isinstance(node, Scalar) for node in nodes):
        raise Unread
    return Ratio(nodes)


#: In this order: what binds loosest is read first.
_READERS = (
    _number_in_words,
    _time,
    read_list,
    _relation,
    read_environment,
    _congruence,
    set_operation,
    brackets,
    _signs,
    _ratio,
    named_set,
)
