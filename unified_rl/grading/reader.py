"""What an answer is: from tokens to a node. A part that is not understood to its last token becomes a text, and stays
comparable as one.

Bottom-up in meaning, top-down in reading: lists, then relations, then sets, then brackets, then one scalar. Every step takes a
slice of tokens and splits it outside brackets, so the work is linear in each of at most MAX_DEPTH levels.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from unified_rl.grading import names, relations
from unified_rl.grading.brackets import CLOSE, OPEN, balanced, closing, split
from unified_rl.grading.expression import are_thousands
from unified_rl.grading.nodes import EMPTY, Congruence, Items, Matrix, Named, Node, Options, Ratio, RealSet, Scalar, Text, Time
from unified_rl.grading.normalise import tidy
from unified_rl.grading.realsets import ALL, complement, intersection, interval, point, union
from unified_rl.grading.scalars import read_scalar
from unified_rl.grading.tokens import Token, Unread, tokenize
from unified_rl.grading.words import number_in_words

MAX_DEPTH = 10
MAX_ITEMS = 400
_OR = frozenset(("or", "或", "或者", "或是"))
_AND = frozenset(("and", "和", "与", "及", "以及", "&"))
_RELATIONS = frozenset(("=", "<", ">", r"\le", r"\ge", r"\neq", r"\in", r"\approx", r"\sim", r"\equiv"))


@lru_cache(maxsize=4096)
def read_answer(answer: str) -> Node:
    """The meaning of an answer as it was written. Never fails: what is not understood is a Text."""
    text = tidy(answer)
    try:
        tokens = tokenize(text)
    except Unread:
        return Text(" ".join(text.split()).casefold())
    if (options := _options(tokens)) is not None:
        return options
    if _is_program_object(tokens):
        tokens = _program_object(tokens)
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
        return _read(tokens, depth)
    except (Unread, RecursionError):
        return text_of(tokens)


def _read(tokens: list[Token], depth: int) -> Node:
    tokens = _joined_thousands(_parted_or(tokens))
    for reader in (
        _environment,
        _number_in_words,
        _time,
        _list,
        _relation,
        _congruence,
        _set_operation,
        _brackets,
        _signs,
        _ratio,
        _named_set,
    ):
        if (node := reader(tokens, depth)) is not None:
            return node
    return read_scalar(tokens)


def text_of(tokens: list[Token]) -> Text:
    """Words and signs in order, without the case of words, spaces around signs, and braces around a single token."""
    pieces: list[str] = []
    for place, token in enumerate(tokens):
        if _single_group(tokens, place) or _single_group(tokens, place - 2):
            continue
        text = token.text.casefold() if len(token.text) > 1 else token.text
        pieces.append(f" {text}" if pieces and _is_word(text) and _is_word(pieces[-1]) else text)
    return Text("".join(pieces).strip(" .,;:") or "".join(pieces))


def _single_group(tokens: list[Token], place: int) -> bool:
    """Whether braces around one token open here."""
    return (
        0 <= place < len(tokens) - 2
        and tokens[place].text == "{"
        and tokens[place + 2].text == "}"
        and tokens[place + 1].text != "{"
    )


def _is_word(text: str) -> bool:
    return text.strip()[:1].isalnum()


def _stripped(tokens: list[Token]) -> list[Token]:
    """Without commas at the ends and grouping braces around everything; {1, 2} keeps them, as a set."""
    while True:
        while tokens and tokens[0].text in (",", ";", '"'):
            tokens = tokens[1:]
        while tokens and tokens[-1].text in (",", ";", '"', "\\", "."):
            tokens = tokens[:-1]
        if len(tokens) < 3 or tokens[0].text != "{" or closing(tokens, 0) != len(tokens) - 1:
            return tokens
        inner = tokens[1:-1]
        if len(split(inner, (",",))) > 1 and not are_thousands([token.text for token in inner]):
            return tokens
        tokens = inner


# --- options


def _options(tokens: list[Token]) -> Options | None:
    """B, (B), B. 42, "A, C", ACD: letters of a multiple-choice question; None for anything else."""
    texts = [token.text for token in tokens if token.text not in ("(", ")", "{", "}", "[", "]")]
    if len(texts) == 1 and re.fullmatch(r"[A-Z]|[A-H]{2,8}", texts[0]):
        letters = texts[0]
        return Options(letters) if len(letters) == 1 or list(letters) == sorted(set(letters)) else None
    letters = [text for text in texts if text not in (",", "and", ";", "、", "和")]
    if len(letters) > 1 and all(re.fullmatch("[A-H]", letter) for letter in letters) and len(texts) < 2 * len(letters):
        glued = len(texts) == len(letters) and not any(token.text == "(" or token.spaced for token in tokens[1:])
        return None if glued or len(set(letters)) < len(letters) else Options("".join(sorted(letters)))
    return _leading_option(tokens)


_VERDICT_WORDS = """
is are was were be not no nor neither or and but wrong incorrect false true correct right invalid fails fail isn
cannot can never except unless if because since though only also both either eliminated excluded impossible unlikely
rejected
"""
_VERDICTS = frozenset(_VERDICT_WORDS.split())


def _leading_option(tokens: list[Token]) -> Options | None:
    """B. 42, (C) the mean: a letter, a mark, and the option's own text, which names no other letter and passes no verdict."""
    opened = tokens[:1] != [] and tokens[0].text == "("
    letter, mark = tokens[opened : opened + 1], tokens[opened + 1 : opened + 2]
    if (
        not letter
        or not mark
        or not re.fullmatch("[A-H]", letter[0].text)
        or mark[0].text not in ((")",) if opened else (".", ")", ":"))
    ):
        return None
    rest = tokens[opened + 2 :]
    if not rest or any(re.fullmatch("[A-H]", token.text) or token.text.lower() in _VERDICTS for token in rest):
        return None
    if mark[0].text in (":", ".") and not opened and len(rest) > 1 and rest[0].kind == "number" and _is_ratio(rest):
        return None
    plain = isinstance(read(rest), Scalar)
    return Options(letter[0].text) if plain or (rest[0].kind == "letters" and len(rest) < 40) else None


def _is_ratio(tokens: list[Token]) -> bool:
    return any(token.text == ":" for token in tokens)


# --- program objects


def _is_program_object(tokens: list[Token]) -> bool:
    return len(tokens) > 3 and tokens[0].text in ("Eq", "FiniteSet", "Matrix", "Interval") and tokens[-1].text == ")"


def _program_object(tokens: list[Token]) -> list[Token]:
    """What sympy prints: Eq(a, b), FiniteSet(1, 2), Interval(0, 1), Matrix([[1, 2], [3, 4]]), as mathematics."""
    kind = tokens[0].text
    start = next(place for place, token in enumerate(tokens) if token.text == "(")
    variant = "".join(token.text for token in tokens[1:start])
    if closing(tokens, start) != len(tokens) - 1:
        return tokens
    inner = tokens[start + 1 : -1]
    parts = split(inner, (",",))
    if kind == "FiniteSet":
        return [Token("command", r"\{"), *inner, Token("command", r"\}")]
    if kind == "Matrix" and not variant:
        return inner
    if kind == "Eq" and len(parts) == 2 and not variant:
        return [*parts[0], Token("sign", "="), *parts[1]]
    brackets = {"": "[]", ".open": "()", ".Lopen": "(]", ".Ropen": "[)"}.get(variant)
    if kind == "Interval" and brackets and len(parts) == 2:
        return [Token("sign", brackets[0]), *inner, Token("sign", brackets[1])]
    return tokens


# --- environments, times


def _environment(tokens: list[Token], depth: int) -> Node | None:
    start = next((place for place, token in enumerate(tokens) if token.text.startswith(r"\begin")), None)
    if start is None:
        return None
    if start:
        return _multiple(tokens[:start], _environment(tokens[start:], depth))
    match = re.fullmatch(r"\\begin\{(\w+\*?)\}", tokens[0].text)
    if match is None:
        raise Unread
    if tokens[-1].text != rf"\end{{{match[1]}}}" or sum(token.text.startswith(r"\begin") for token in tokens) != 1:
        raise Unread
    inner = tokens[1:-1]
    if match[1] == "array" and inner and inner[0].text == "{":
        inner = inner[closing(inner, 0) + 1 :]
    rows = [row for row in split(_row_ends(inner), (r"\\",)) if row]
    kind = {"vmatrix": "determinant", "Vmatrix": "norm"}.get(match[1], "matrix")
    if match[1] in ("cases", "aligned", "align", "align*", "gathered"):
        return _items("list", [[token for token in row if token.text != "&"] for row in rows], depth)
    if match[1] not in ("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "array", "smallmatrix"):
        raise Unread
    return Matrix(tuple(tuple(read(cell, depth + 1) for cell in split(row, ("&",))) for row in rows), kind)


def _multiple(factor: list[Token], matrix: Node | None) -> Node:
    """A number times a matrix, cell by cell."""
    if factor[-1].text in (r"\cdot", r"\times", "*"):
        factor = factor[:-1]
    number = ("num", Fraction(-1), None) if [token.text for token in factor] == ["-"] else relations.expression(factor)
    if not isinstance(matrix, Matrix) or matrix.kind != "matrix":
        raise Unread
    cells = [cell for row in matrix.rows for cell in row]
    if not all(isinstance(cell, Scalar) and not cell.unit.dimensions for cell in cells):
        raise Unread
    return Matrix(tuple(tuple(Scalar(("mul", number, cell.tree)) for cell in row) for row in matrix.rows))


def _row_ends(tokens: list[Token]) -> list[Token]:
    r"""With `\\` at each end: without the spacing of `\\[2pt]`, and where a backslash was lost before a number (`\-7`, `\2`)."""
    ends: list[Token] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        texts = [part.text for part in tokens[place : place + 5]]
        if token.text == r"\\" and texts[1:2] == ["["] and texts[4:] == ["]"] and texts[3] in ("pt", "em", "ex", "mm", "cm"):
            ends.append(token)
            place += 4
        elif token.kind == "command" and len(token.text) == 2 and token.text[1] in "-+0123456789":
            digit = token.text[1].isdigit()
            ends += [Token("command", r"\\"), Token("number" if digit else "sign", token.text[1])]
        else:
            ends.append(token)
        place += 1
    return ends


def _number_in_words(tokens: list[Token], depth: int) -> Node | None:
    """one hundred and five, 2 and a half: the word "and" joins no list here."""
    del depth
    words = [token.text.lower() for token in tokens if token.text != "-"]
    if len(words) > 3 and words[0].isdigit() and words[1:] == ["and", "a", "half"]:
        return Scalar(("num", int(words[0]) + Fraction(1, 2), None))
    value = number_in_words(words) if all(word.isalpha() for word in words) and "and" in words else None
    return None if value is None else Scalar(("num", value, None))


def _time(tokens: list[Token], depth: int) -> Node | None:
    """7:30, 16:45:00, 4:45 PM."""
    del depth
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


# --- lists


def _list(tokens: list[Token], depth: int) -> Node | None:
    if len(parts := split(tokens, (";",))) > 1:
        return _items("list", parts, depth)
    alternatives = split(tokens, _OR)
    if len(alternatives) > 1:
        return _either(alternatives, depth)
    both = split(tokens, _AND | {r"\wedge"})
    if len(both) > 1 and any(token.text == r"\wedge" for token in tokens) and not all(_is_relation(part) for part in both):
        raise Unread
    if len(both) > 1 and all(_is_relation(part) for part in both):
        if (found := _conditions([read(part, depth + 1) for part in both], together=True)) is not None:
            return found
        if len({len(split(part, (",",))) for part in both}) == 1 and len(split(both[0], (",",))) > 1:
            return _items("list", both, depth)
    parts = [piece for part in both for piece in split(part, (",",))]
    if len(parts) > 1:
        if any(not part for part in parts):
            parts = [part for part in parts if part]
        return _items("list", parts, depth)
    return None


def _either(alternatives: list[list[Token]], depth: int) -> Node:
    """x < 1 or x > 3 is a union; other alternatives are a list."""
    if any(not part for part in alternatives):
        raise Unread
    if all(_is_relation(part) for part in alternatives):
        found = _conditions([read(part, depth + 1) for part in alternatives], together=False)
        if found is not None:
            return found
    counts = {len(split(part, (",",))) for part in alternatives}
    if len(counts) == 1 and counts != {1}:
        return _items("list", alternatives, depth)
    pieces = [piece for part in alternatives for both in split(part, _AND) for piece in split(both, (",",)) if piece]
    return _items("list", pieces, depth)


def _conditions(nodes: list[Node], together: bool) -> Node | None:
    """Conditions on one letter as the set of its values; None where they are none (or are all equations)."""
    if not all(isinstance(node, Named) for node in nodes) or len({node.name for node in nodes}) != 1:
        return None
    if not any(isinstance(node.value, RealSet) for node in nodes):
        return None
    total = ALL if together else EMPTY
    for node in nodes:
        value = node.value
        if isinstance(value, Scalar):
            value = union([point(value)])
        if not isinstance(value, RealSet):
            return None
        total = intersection(total, value) if together else union([*total.intervals, *value.intervals])
    return Named(nodes[0].name, total, nodes[0].left)


def _is_relation(tokens: list[Token]) -> bool:
    return any(token.text in _RELATIONS for token in tokens)


def _items(kind: str, parts: list[list[Token]], depth: int, brackets: str = "") -> Node:
    if len(parts) > MAX_ITEMS:
        raise Unread
    return Items(kind, tuple(read(part, depth + 1) for part in parts), brackets)


def _parted_or(tokens: list[Token]) -> list[Token]:
    """`2orx=3`: a word that touches what it parts."""
    parted = []
    for place, token in enumerate(tokens):
        word = next((word for word in ("and", "or") if token.text.startswith(word)), None)
        behind = tokens[place - 1] if place else None
        if (
            token.kind == "letters"
            and word
            and len(token.text) == len(word) + 1
            and behind
            and behind.text[-1] in "0123456789)}]"
        ):
            parted += [token._replace(text=word), Token("letters", token.text[len(word) :])]
        else:
            parted.append(token)
    return parted


def _joined_thousands(tokens: list[Token]) -> list[Token]:
    """1,234 outside brackets as one number: groups of three behind commas without spaces, where other commas have spaces."""
    if not any(token.text == "," for token in tokens):
        return tokens
    joined: list[Token] = []
    place = depth = 0
    while place < len(tokens):
        token = tokens[place]
        depth += (token.text in OPEN) - (token.text in CLOSE)
        end = place + 1
        if token.kind == "number" and not depth:
            while (
                end + 1 < len(tokens)
                and tokens[end].text == ","
                and tokens[end + 1].kind == "number"
                and not tokens[end + 1].spaced
            ):
                end += 2
        texts = [part.text for part in tokens[place:end]]
        if end > place + 1 and are_thousands(texts):
            joined.append(Token("number", "".join(texts), token.spaced))
        else:
            joined += tokens[place:end]
        place = end
    return joined


# --- relations


def _relation(tokens: list[Token], depth: int) -> Node | None:
    sides, ops = relations.parts(tokens)
    if not ops:
        return names.chinese_statement(tokens, lambda rest: read(rest, depth + 1))
    return relations.read_relation(sides, ops, lambda part: read(part, depth + 1))


def _congruence(tokens: list[Token], depth: int) -> Node | None:
    del depth
    found = relations.modulus(tokens)
    if found is None:
        return None
    residue, modulus = found
    return Congruence(None, relations.expression(residue), relations.expression(modulus))


# --- sets


def _set_operation(tokens: list[Token], depth: int) -> Node | None:
    r"""A \cup B \cap C \setminus D, from the left; \cap binds tighter than \cup."""
    if len(parts := split(tokens, (r"\cup", "U"))) > 1 and all(_looks_like_set(part) for part in parts):
        return _operation([_real_set(part, depth) for part in parts], "union")
    if len(parts := split(tokens, (r"\cap",))) > 1 and all(_looks_like_set(part) for part in parts):
        return _operation([_real_set(part, depth) for part in parts], "intersection")
    if len(parts := split(tokens, (r"\setminus", "-"))) == 2 and all(_looks_like_set(part) for part in parts):
        left, right = (_real_set(part, depth) for part in parts)
        return intersection(left, complement(right))
    if any(token.text in (r"\cup", r"\cap", r"\setminus") for token in tokens):
        raise Unread
    return None


def _looks_like_set(tokens: list[Token]) -> bool:
    if not tokens:
        return False
    first, last = tokens[0].text, tokens[-1].text
    bracketed = (
        first in ("(", "[", r"\{", "{") and last in (")", "]", r"\}", "}") and any(token.text == "," for token in tokens)
    )
    single = first in (r"\{", "{") and last in (r"\}", "}")
    return (
        bracketed
        or single
        or tokens[0].text.startswith(r"\mathbb")
        or first == r"\emptyset"
        or (first == "R" and len(tokens) == 1)
    )


def _operation(sets: list[RealSet], kind: str) -> RealSet:
    total = sets[0]
    for other in sets[1:]:
        total = union([*total.intervals, *other.intervals]) if kind == "union" else intersection(total, other)
    return total


def _real_set(tokens: list[Token], depth: int) -> RealSet:
    if [token.text for token in tokens] == ["R"]:
        return ALL
    found = as_real_set(read(tokens, depth + 1))
    if found is None:
        raise Unread
    return found


def as_real_set(node: Node) -> RealSet | None:
    """An interval, a finite set of numbers, or a set of reals; None for anything else."""
    if isinstance(node, RealSet):
        return node
    if isinstance(node, Items) and node.items and all(isinstance(item, Scalar) for item in node.items):
        try:
            if node.kind == "tuple" and len(node.items) == 2:
                low, high = node.items
                return interval(low, high, (node.brackets[0] == "[", node.brackets[1] == "]"))
            if node.kind == "set":
                return union([point(item) for item in node.items])
        except Unread:
            return None
    return None


# --- brackets


def _brackets(tokens: list[Token], depth: int) -> Node | None:
    first = tokens[0].text
    if first not in ("(", "[", "{", r"\{", r"\langle") or closing(tokens, 0) != len(tokens) - 1:
        return None
    last, inner = tokens[-1].text, tokens[1:-1]
    if first in ("{", r"\{"):
        return _set(inner, depth)
    if not inner:
        raise Unread
    parts = split(inner, (";",))  # where commas are decimal
    if len(parts) == 1:
        parts = split(inner, (",",))
    if len(parts) == 1:
        return read(inner, depth + 1) if (first, last) in (("(", ")"), ("[", "]")) and len(inner) < len(tokens) else None
    if any(not part for part in parts):
        raise Unread
    return _items("tuple", parts, depth, "()" if first == r"\langle" else first + last)


def _set(inner: list[Token], depth: int) -> Node:
    if not inner:
        return EMPTY
    for mark in ("|", ":"):
        condition = split(inner, (mark,))
        if len(condition) == 2 and condition[0] and condition[1]:
            return _set_of_solutions(condition[0], condition[1], depth)
    return _items("set", [part for part in split(inner, (",",)) if part], depth)


def _set_of_solutions(head: list[Token], condition: list[Token], depth: int) -> Node:
    r"""{x | x > 2} and {x \in \mathbb{R} | x > 2}: the values of the letter."""
    parts = split(head, (r"\in",))
    name = names.name_of(parts[0])
    if (
        len(parts) > 2
        or name is None
        or (len(parts) == 2 and [token.text for token in parts[1]] not in ([r"\mathbb{R}"], ["R"]))
    ):
        raise Unread
    node = read(condition, depth + 1)
    if isinstance(node, Named) and node.name == name.text:
        found = as_real_set(node.value)
        return (
            node.value
            if found is None and isinstance(node.value, Items)
            else found
            if found is not None
            else Items("set", (node.value,))
        )
    if isinstance(node, Items) and all(isinstance(item, Named) and item.name == name.text for item in node.items):
        return Items("set", tuple(item.value for item in node.items))
    raise Unread


def _named_set(tokens: list[Token], depth: int) -> Node | None:
    del depth
    if len(tokens) == 1:
        if tokens[0].text == r"\emptyset":
            return EMPTY
        if tokens[0].text == r"\mathbb{R}":
            return ALL
        if tokens[0].text.startswith(r"\mathbb"):
            return Scalar(("sym", tokens[0].text))
    return None


# --- plus-minus, ratios


def _signs(tokens: list[Token], depth: int) -> Node | None:
    r"""`a \pm b` is the two numbers; with \mp the other sign."""
    if not any(token.text in (r"\pm", r"\mp") for token in tokens):
        return None
    both = []
    for plus, minus in (("+", "-"), ("-", "+")):
        signs = {r"\pm": plus, r"\mp": minus}
        both.append([token._replace(kind="sign", text=signs[token.text]) if token.text in signs else token for token in tokens])
    del depth
    return Items("list", tuple(read_scalar(part) for part in both))


def _ratio(tokens: list[Token], depth: int) -> Node | None:
    parts = split(tokens, (":",))
    if len(parts) < 2:
        return None
    nodes = tuple(read(part, depth + 1) for part in parts)
    if not all(isinstance(node, Scalar) for node in nodes):
        raise Unread
    return Ratio(nodes)
