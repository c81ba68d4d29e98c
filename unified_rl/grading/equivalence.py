"""Whether two answers are equal, and the name of an answer's class. For worker processes: calls sympy, may be slow or hang.

Structure first (lists, tuples, intervals, matrices, relations: rules of ours), values next (numbers at fixed points), and
math-verify for what neither covers (unions, set-builders, sums, inequalities in several variables).
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from fractions import Fraction

import mpmath
from math_verify import LatexExtractionConfig, verify
from math_verify import parse as verify_parse

from unified_rl.grading.normalise import tidy, unwrap_text
from unified_rl.grading.numbers import Number, read_number, rounds_to
from unified_rl.grading.policies import GradingPolicy
from unified_rl.grading.structure import RADIANS, Items, Matrix, Named, Node, Relation, Scalar, Union, Words, read, unit_name
from unified_rl.grading.values import POINTS, Unsupported, Value, value_of

logging.getLogger("math_verify").setLevel(logging.CRITICAL)
logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)

_LETTER = re.compile(r"[({\s]{0,3}([A-Z])[)}\s]{0,3}")
_LEADING_LETTER = re.compile(r"(?:\\text\{)?\s*\(?\s*([A-Z])\s*[.:)](?=\s|\}|$|[^A-Za-z0-9])")
_OTHER_LETTER = re.compile(r"(?<![A-Za-z\\])[A-H](?![A-Za-z])")
_LETTERS_ONLY = re.compile(r"\(?\{?[A-H](?:(?:\s|,|\(|\)|;|and)*[A-H]){1,7}\)?\}?")
_TIME = re.compile(r"([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)([ap]m)?")
FLOAT_DIGITS = 12


def equivalent(gold: str, prediction: str, policy: GradingPolicy) -> bool:
    """Whether a prediction equals the gold answer under a policy."""
    left, right = tidy(gold), tidy(prediction)
    if not left or not right:
        return False
    if _squeezed(left) == _squeezed(right):
        return True
    letters = [_option(side) for side in (left, right)]
    if letters[0] and (_LETTER.fullmatch(unwrap_text(left)) or _LETTER.fullmatch(unwrap_text(right))):
        return letters[0] == letters[1]
    if all(_LETTERS_ONLY.fullmatch(unwrap_text(side)) for side in (left, right)):
        return sorted(set(re.findall("[A-H]", left))) == sorted(set(re.findall("[A-H]", right)))
    gold_node, node = read(left), read(right)
    if _equal(gold_node, node, policy) or _decimal_comma(left, right, policy):
        return True
    return _needs_verify(gold_node, node) and _verified(left, right)


def canonical(answer: str, policy: GradingPolicy) -> str:
    """The name of an answer's class: a function of the answer alone, so that classes never depend on what else was sampled."""
    text = tidy(answer)
    if letter := _option(text):
        return letter
    if _LETTERS_ONLY.fullmatch(unwrap_text(text)):
        return "".join(sorted(set(re.findall("[A-H]", text))))
    return _key(read(text), policy)[:2000]


def _option(text: str) -> str | None:
    """The letter of a multiple-choice answer: "B", "(B)", "B. 42"; None for anything else, more letters among it."""
    if letter := _LETTER.fullmatch(unwrap_text(text)):
        return letter[1]
    letter = _LEADING_LETTER.match(text)
    return letter[1] if letter and not _OTHER_LETTER.search(text, letter.end()) else None


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


# --- structure


def _equal(gold: Node, node: Node, policy: GradingPolicy) -> bool:
    if isinstance(gold, Named) or isinstance(node, Named):
        return _equal_named(gold, node, policy)
    gold, node = _lone(gold), _lone(node)
    if (isinstance(gold, Items) and gold.kind == "list") != (isinstance(node, Items) and node.kind == "list"):
        gold, node = _without_repeats(gold, policy), _without_repeats(node, policy)
    gold, node = _as_list(gold, node), _as_list(node, gold)
    if isinstance(gold, Items) and isinstance(node, Items):
        return _equal_items(gold, node, policy)
    if isinstance(gold, Matrix) or isinstance(node, Matrix):
        return _equal_matrices(gold, node, policy)
    if isinstance(gold, Scalar) and isinstance(node, Scalar):
        return _equal_scalars(gold, node, policy)
    gold, node = _as_union(gold), _as_union(node)
    if isinstance(gold, Union) and isinstance(node, Union):
        return _same_sets(gold.parts, node.parts, policy)
    if isinstance(gold, Relation) and isinstance(node, Relation):
        return _equal_relations(gold, node)
    if isinstance(gold, Words | Scalar) and isinstance(node, Words | Scalar):
        return _equal_words(_raw(gold), _raw(node))
    return False


def _lone(node: Node) -> Node:
    return node.items[0] if isinstance(node, Items) and len(node.items) == 1 and node.kind != "tuple" else node


def _as_union(node: Node) -> Node:
    """x < 1 or x > 2 as the union of its intervals."""
    if isinstance(node, Items) and node.kind == "list" and all(isinstance(item, Named) for item in node.items):
        values = tuple(item.value for item in node.items)
        same_name = len({item.name for item in node.items}) == 1
        if same_name and all(isinstance(value, Items) and value.brackets.endswith("i") for value in values):
            return Union(values)
    return node


def _as_list(node: Node, other: Node) -> Node:
    """60,120 as a list, where it is compared with one of as many members."""
    if not isinstance(node, Scalar) or not isinstance(other, Items) or other.kind not in ("list", "set"):
        return node
    parts = node.latex.split(",") if re.fullmatch(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+", node.latex) else []
    return Items("list", tuple(Scalar(part) for part in parts)) if len(parts) == len(other.items) else node


def _without_repeats(node: Node, policy: GradingPolicy) -> Node:
    """One answer written in several ways ("639/40 or 15 39/40") is one answer."""
    if not isinstance(node, Items) or node.kind != "list" or len(node.items) > 8:
        return node
    members = _distinct(node.items, policy)
    return members[0] if len(members) == 1 else node


def _raw(node: Words | Scalar) -> str:
    return node.text if isinstance(node, Words) else f"{node.latex} {node.unit}"


def _equal_words(left: str, right: str) -> bool:
    times = [_TIME.fullmatch(text) for text in (left, right)]
    if all(times):
        return _same_time(*times)
    left, right = _word_key(left), _word_key(right)
    return bool(left) and left == right


def _same_time(left: re.Match, right: re.Match) -> bool:
    """Both on the clock of 24 hours; where one does not say which half of the day, it may be either."""
    if left[1] == right[1] and None in (left[2], right[2]):
        return True
    return _on_24_hours(left) == _on_24_hours(right)


def _on_24_hours(time: re.Match) -> tuple[int, str]:
    hours, minutes = time[1].split(":", 1)
    return int(hours) if time[2] is None else int(hours) % 12 + 12 * (time[2] == "pm"), minutes


def _word_key(text: str) -> str:
    """Letters alone where there are no others; anything else by its spelling, since brackets then mean something."""
    text = unwrap_text(text)
    if re.search(r"[0-9\\^_=<>/*|]", text):
        return _squeezed(text).casefold()
    return re.sub(r"[^\w+-]+", "", text).casefold()


def _equal_named(gold: Node, node: Node, policy: GradingPolicy) -> bool:
    if isinstance(gold, Named) and isinstance(node, Named):
        node = _renamed(node, gold.name)
        if _same_name(gold.name, node.name):
            return _equal(gold.value, node.value, policy)
        return _same_equation(gold, node)  # a/b = 2, a = 2b
    if isinstance(gold, Relation) or isinstance(node, Relation):
        return _same_equation(gold, node)
    if policy.left_side == "require":
        return False
    gold, node = (side.value if isinstance(side, Named) else side for side in (gold, node))
    return _equal(gold, node, policy)


def _renamed(node: Named, name: str) -> Named:
    """f(t) = t^2 as f(x) = x^2, where the other side says f(x): the letter is bound."""
    to, letters = (re.fullmatch(r"([A-Za-z]\w*)\(([A-Za-z])\)", side) for side in (name, node.name))
    if not to or not letters or to[1] != letters[1] or to[2] == letters[2] or not isinstance(node.value, Scalar):
        return node
    old, new = (rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])" for letter in (letters[2], to[2]))
    if re.search(new, node.value.latex):
        return node
    return Named(name, replace(node.value, latex=re.sub(old, to[2], node.value.latex)))


def _same_name(left: str, right: str) -> bool:
    if left == right or "/" in left + right:
        return left == right
    if left in right or right in left:
        return True
    functions = ["(" in name[1:] for name in (left, right)]
    return functions[0] != functions[1] and (len(left) == 1 or len(right) == 1)  # f(x) = ..., y = ...


def _same_equation(gold: Node, node: Node) -> bool:
    as_relation = [_as_equation(side) for side in (gold, node)]
    return None not in as_relation and _equal_relations(*as_relation)


def _as_equation(node: Node) -> Relation | None:
    if isinstance(node, Relation):
        return node
    if isinstance(node, Named) and isinstance(node.value, Scalar):
        return Relation((node.name, node.value.latex), ("=",))
    return None


def _equal_items(gold: Items, node: Items, policy: GradingPolicy) -> bool:
    kinds = {gold.kind, node.kind}
    if kinds == {"tuple"}:
        return _same_brackets(gold, node, policy) and _in_order(gold.items, node.items, policy)
    if kinds == {"tuple", "list"}:
        tuple_, list_ = (gold, node) if gold.kind == "tuple" else (node, gold)
        return (
            policy.tuple_and_list == "same_order"
            and tuple_.brackets in ("()", "[]")
            and _in_order(tuple_.items, list_.items, policy)
        )
    if kinds == {"tuple", "set"}:
        return policy.tuple_and_set == "same_order" and _in_order(gold.items, node.items, policy)
    if policy.list_order == "same" and kinds == {"list"}:
        return _in_order(gold.items, node.items, policy)
    return _same_sets(_flat(gold), _flat(node), policy)


def _flat(items: Items) -> tuple:
    """A list's members, with lists inside (from a plus-minus sign) opened."""
    members: list = []
    for item in items.items:
        inner = item.value if isinstance(item, Named) and isinstance(item.value, Items) else item
        if isinstance(inner, Items) and (inner.kind == "list" and all(isinstance(part, Scalar) for part in inner.items)):
            members += inner.items
        else:
            members.append(item)
    return tuple(members)


def _same_brackets(gold: Items, node: Items, policy: GradingPolicy) -> bool:
    left, right = gold.brackets, node.brackets
    if len(left) != len(right) and policy.interval_and_inequality == "distinct":
        return False
    if len(gold.items) > 2:
        return True
    return left[:2] == right[:2]


def _in_order(left: tuple, right: tuple, policy: GradingPolicy) -> bool:
    return len(left) == len(right) and all(_equal(a, b, policy) for a, b in zip(left, right, strict=True))


def _same_sets(left: tuple, right: tuple, policy: GradingPolicy) -> bool:
    """Each member of one equals a member of the other, and as many different ones."""
    if len(left) * len(right) > 10_000:
        return False
    left, right = _distinct(left, policy), _distinct(right, policy)
    if len(left) != len(right):
        return False
    free = list(right)
    for member in left:
        place = next((index for index, other in enumerate(free) if _equal(member, other, policy)), None)
        if place is None:
            return False
        del free[place]
    return True


def _distinct(members: tuple, policy: GradingPolicy) -> list:
    kept: list = []
    for member in members:
        if not any(_equal(member, other, policy) for other in kept):
            kept.append(member)
    return kept


def _equal_matrices(gold: Node, node: Node, policy: GradingPolicy) -> bool:
    left, right = _rows(gold), _rows(node)
    if left is None or right is None or len(left) != len(right):
        return False
    return all(_in_order(a, b, policy) for a, b in zip(left, right, strict=True))


def _rows(node: Node) -> tuple | None:
    """Rows of a matrix; a vector written as a tuple is a column."""
    if isinstance(node, Matrix):
        return node.rows
    if isinstance(node, Items) and node.kind == "tuple" and node.brackets in ("()", "[]"):
        if all(isinstance(item, Items) and item.kind == "tuple" and item.brackets == "[]" for item in node.items):
            return tuple(item.items for item in node.items)  # [[1, 2], [3, 4]]
        return tuple((item,) for item in node.items)
    return None


# --- scalars


def _equal_scalars(gold: Scalar, node: Scalar, policy: GradingPolicy) -> bool:
    gold, node = _with_letter(gold, node), _with_letter(node, gold)
    if not _units_agree(gold, node, policy) or not _bases_agree(gold, node, policy):
        return False
    left, right = _value(gold.latex), _value(node.latex)
    if policy.degrees == "drop" and _without_degrees(gold) == _without_degrees(node):
        return True  # \tan 15 for \tan 15^\circ
    if left is None or right is None:
        same = _squeezed(gold.latex) == _squeezed(node.latex) or _equal_words(_raw(gold), _raw(node))
        return same and gold.percent == node.percent
    if gold.percent == node.percent:
        return _equal_values(left, right, gold.latex, node.latex, policy)
    share, other = (left, right) if gold.percent else (right, left)
    texts = (gold.latex, node.latex) if gold.percent else (node.latex, gold.latex)
    if policy.percent != "hundredth" and _equal_values(share, other, *texts, policy):
        return True
    hundredth = _value(rf"\frac{{{texts[0]}}}{{100}}")
    return policy.percent != "number" and hundredth is not None and _equal_values(hundredth, other, "", texts[1], policy)


def _without_degrees(node: Scalar) -> str:
    return _squeezed(node.latex.replace(RADIANS, "")) + "%" * node.percent


def _with_letter(node: Scalar, other: Scalar) -> Scalar:
    """0.64 N as a product of a number and a letter, where it is compared with one (0.64N): a space decides nothing."""
    letter = re.fullmatch(r"([A-Za-z])(?:\^\{?[0-9]\}?)?", node.unit)
    if not letter or other.unit or not re.search(rf"(?<![A-Za-z\\]){letter[1]}(?![A-Za-z])", other.latex):
        return node
    return replace(node, latex=rf"({node.latex}) {node.unit}", unit="")


def _units_agree(gold: Scalar, node: Scalar, policy: GradingPolicy) -> bool:
    if policy.degrees == "require" and gold.degree != node.degree:
        return False
    left, right = unit_name(gold.unit), unit_name(node.unit)
    if policy.units == "require":
        return left == right if left or right else _squeezed(gold.unit) == _squeezed(node.unit)
    return left is None or right is None or left == right


def _bases_agree(gold: Scalar, node: Scalar, policy: GradingPolicy) -> bool:
    if gold.base == node.base:
        return True
    return policy.bases == "drop" and "" in (gold.base, node.base)


def _value(latex: str) -> Value | None:
    try:
        return value_of(latex)
    except Unsupported:
        return None


def _equal_values(left: Value, right: Value, left_text: str, right_text: str, policy: GradingPolicy) -> bool:
    if left.exact is not None and left.exact == right.exact:
        return True
    if left.constant != right.constant:
        return False  # value_of has seen through constants in disguise
    if _swallows(left, left_text) or _swallows(right, right_text):
        return False
    literals = [read_number(text.replace(" ", "")) for text in (left_text, right_text)]
    if left.exact is not None and right.exact is not None and left.digits is None and right.digits is None:
        return _within(left, right, policy.relative_tolerance) if policy.relative_tolerance else False
    if _within(left, right, _tolerance(left, right, literals, policy)):
        return True
    return _rounded(left, right, literals, policy)


def _swallows(value: Value, text: str) -> bool:
    """Whether a sum is so large that its small terms are lost in the digits at hand: 2^{20000} - 2."""
    huge = value.constant and value.exact is None and abs(value.numbers[0]) > 1e25
    return huge and bool(re.search(r"(?<=[^{(^\s])\s*[-+]", text))


def _tolerance(left: Value, right: Value, literals: list[Number | None], policy: GradingPolicy) -> float:
    """Relative difference at which two values are the same number."""
    tolerance = max(policy.relative_tolerance, 1e-9 if left.digits or right.digits else 1e-20)
    digits = [value.digits for value in (left, right) if value.digits]
    in_formula = any(value.digits and literal is None for value, literal in zip((left, right), literals, strict=True))
    if in_formula and len(digits) == 1 and digits[0] >= policy.significant_digits:
        return max(tolerance, 5 * 10.0 ** -digits[0])  # x + 1.414
    return tolerance


def _rounded(left: Value, right: Value, literals: list[Number | None], policy: GradingPolicy) -> bool:
    """Whether one is a decimal that the other, exact or a float in full precision, rounds to."""
    for literal, other, other_literal in ((literals[0], right, literals[1]), (literals[1], left, literals[0])):
        if literal is None or not literal.digits or literal.digits < policy.significant_digits or not other.constant:
            continue
        if other.digits is not None and not (other_literal and other.digits >= FLOAT_DIGITS > literal.digits):
            continue
        if other.exact is not None and other.exact.denominator == 1 and other.digits is None:
            continue  # an integer has no decimals to round
        number = other.numbers[0]
        if mpmath.isfinite(number) and abs(number.imag) < 1e-20 and abs(number.real) < 1e30:
            exact = other.exact if other.exact is not None else _fraction(number.real)
            if rounds_to(exact, literal):
                return True
    return False


def _fraction(x):
    with mpmath.workdps(40):
        return Fraction(mpmath.nstr(x, 30, strip_zeros=False, min_fixed=-60, max_fixed=60))


def _within(left: Value, right: Value, tolerance: float) -> bool:
    """Equal at every point to a relative tolerance. At the negative point a missing value is no verdict."""
    for place, (a, b) in enumerate(zip(left.numbers, right.numbers, strict=True)):
        if mpmath.isnan(a) or mpmath.isnan(b):
            if (mpmath.isnan(a) and mpmath.isnan(b)) or place == POINTS - 1:
                continue
            return False
        if mpmath.isinf(a) or mpmath.isinf(b):
            if a != b:
                return False
            continue
        if abs(a - b) > tolerance * max(abs(a), abs(b)):
            return False
    return True


# --- relations


def _equal_relations(gold: Relation, node: Relation) -> bool:
    if gold.ops != node.ops:
        return False
    if len(gold.ops) > 1:
        pairs = zip(gold.sides, node.sides, strict=True)
        return all(_squeezed(a) == _squeezed(b) or _same_scalar(a, b) for a, b in pairs)
    left, right = (_difference(relation) for relation in (gold, node))
    if left is None or right is None:
        return all(_squeezed(a) == _squeezed(b) for a, b in zip(gold.sides, node.sides, strict=True))
    ratio = _constant_ratio(left, right)
    return ratio is not None and (gold.ops[0] in ("=", r"\neq") or ratio > 0)


def _same_scalar(a: str, b: str) -> bool:
    left, right = _value(a), _value(b)
    return left is not None and right is not None and left.constant == right.constant and _within(left, right, 1e-20)


def _difference(relation: Relation) -> Value | None:
    return _value(f"({relation.sides[0]})-({relation.sides[1]})")


def _constant_ratio(left: Value, right: Value):
    """left / right where it is the same real number at every point, else None."""
    if left.constant or right.constant:
        return None
    tolerance = 1e-9 if left.digits or right.digits else 1e-20
    if left.digits != right.digits and min(left.digits or 9, right.digits or 9) >= 4:
        tolerance = 1e-3  # a - b = 1.732
    ratios = [
        a / b for a, b in zip(left.numbers, right.numbers, strict=True) if b != 0 and mpmath.isfinite(a) and mpmath.isfinite(b)
    ]
    if len(ratios) < POINTS - 1 or ratios[0] == 0 or abs(ratios[0].imag) > 1e-15:
        return None
    if any(abs(ratio - ratios[0]) > tolerance * abs(ratios[0]) for ratio in ratios):
        return None
    return ratios[0].real


# --- readings of last resort


def _decimal_comma(left: str, right: str, policy: GradingPolicy) -> bool:
    """3,75 against 3.75. Only where the other side is one number, and the comma cannot separate thousands."""
    if policy.decimal_comma == "refuse":
        return False
    for text, other in ((left, right), (right, left)):
        match = re.fullmatch(r"([+-]?)([0-9]+),([0-9]{2,})(?:\s*%)?", text)
        plain = read_number(other.rstrip("% "))
        if match and plain and "," not in other and (match[2] == "0" or len(match[3]) != 3 or len(match[2]) > 3):
            reading = read_number(f"{match[1]}{match[2]}.{match[3]}")
            if reading and reading.value == plain.value:
                return True
    return False


def _needs_verify(gold: Node, node: Node) -> bool:
    """Whether a kind is there that our rules do not decide.

    An equation is never given to math-verify against a value: it takes "a + 3z = 0" for 0.
    """
    sides = [side.value if isinstance(side, Named) else side for side in (gold, node)]
    if any(isinstance(side, Relation) for side in sides) and any(isinstance(side, Scalar | Words) for side in sides):
        return False
    return any(_open_question(side) for side in (gold, node))


def _open_question(node: Node) -> bool:
    if isinstance(node, Named):
        return _open_question(node.value)
    if isinstance(node, Union | Relation):
        return True
    if isinstance(node, Items):
        return node.brackets.endswith("i") or any(_open_question(item) for item in node.items)
    if isinstance(node, Scalar):
        return _value(node.latex) is None and bool(re.search(r"\\(?:sum|prod|int|lim|begin|cap|setminus|mathbb)", node.latex))
    return isinstance(node, Words) and bool(re.search(r"\\(?:cup|cap|setminus|in|begin|mathbb)(?![a-z])", node.text))


_VERIFY = [LatexExtractionConfig(boxed_match_priority=-1)]


def _verified(left: str, right: str) -> bool:
    """math-verify's word, without its SIGALRM timers: the pool keeps the time."""
    if re.search(r"\^\s*\{?[0-9]{4,}|[0-9]{40}|(?:\^\{[^{}]*){3}", left + " " + right):
        return False
    sides = [verify_parse(f"${text}$", _VERIFY, fallback_mode="no_fallback", parsing_timeout=None) for text in (left, right)]
    if not all(sides):
        return False
    return bool(verify(*sides, float_rounding=12, timeout_seconds=None))


# --- class names


def _key(node: Node, policy: GradingPolicy) -> str:
    """A name that equal answers share: a function of structure and values only."""
    node = _lone(node)
    if isinstance(node, Named):
        return _key(node.value, policy) if policy.left_side == "drop" else f"{node.name}={_key(node.value, policy)}"
    if isinstance(node, Items):
        if node.kind == "tuple":
            return f"{node.brackets[0]}{';'.join(_key(item, policy) for item in node.items)}{node.brackets[1]}"
        names = [_key(item, policy) for item in _flat(node)]
        if policy.list_order == "any" or node.kind == "set":
            names = sorted(set(names))
        return names[0] if len(names) == 1 else f"{{{';'.join(names)}}}"
    if isinstance(node, Union):
        return " U ".join(sorted({_key(part, policy) for part in node.parts}))
    if isinstance(node, Matrix):
        return "|".join(";".join(_key(cell, policy) for cell in row) for row in node.rows)
    if isinstance(node, Relation):
        return _relation_key(node)
    if isinstance(node, Scalar):
        return _scalar_key(node, policy)
    return _word_key(node.text)


def _scalar_key(node: Scalar, policy: GradingPolicy) -> str:
    value = _value(node.latex)
    name = value.key() if value else _squeezed(node.latex)
    unit = (unit_name(node.unit) or _squeezed(node.unit)) if policy.units == "require" else ""
    percent = "%" if node.percent and policy.percent == "hundredth" else ""
    name += f"_{node.base}" if node.base and policy.bases == "require" else ""
    return name + percent + (f" {unit}" if unit else "") + ("deg" if node.degree and policy.degrees == "require" else "")


def _relation_key(node: Relation) -> str:
    difference = _difference(node) if len(node.ops) == 1 else None
    if difference is None or difference.constant or difference.numbers[0] == 0:
        return "".join(part for pair in zip(map(_squeezed, node.sides), (*node.ops, ""), strict=True) for part in pair)
    scale = difference.numbers[0] if node.ops[0] in ("=", r"\neq") else abs(difference.numbers[0])
    shape = Value(None, tuple(number / scale for number in difference.numbers), False, None)
    return f"{node.ops[0]}{shape.key()}"
