"""The readers and the comparison grow no faster than their input: CPU time at n and 2n, on inputs built from their own parts."""

from __future__ import annotations

import importlib
import pkgutil
import random
import time
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

import unified_rl.grading
from unified_rl.grading import GradingPolicy, keys, normalise, quantities, reader
from unified_rl.grading.equivalence import canonical, equivalent

POLICY = GradingPolicy()
SIZE = 700  # twice this is about the longest prediction that is graded
LONGEST = 1500  # characters of a prediction that is graded
FEW = 0.02  # CPU-seconds below which a ratio says nothing: a worker starts in more

_PARTS = r"""
( [ { \{ | ) 1, 1; \frac \frac1 \frac{ ^ _ - + 9 a ab x x+ 2x+ 1/ 1: = < x= x< 1< \le \pm \pm1 \text{ \text{a} \cup
(0,1)\cup \sqrt \sqrt{ \left( \sin \sin( x^ 2^ x_ x_{ x! ! ' x' $ % 1% ° \degree \overline{ \vec \dot{1} 0.1\dot{2} …
\ldots 1.1 1.. . 五 十 分之 又 负 千 1万 m/ \\ & \begin{pmatrix} \end{pmatrix} 1&2\\ \begin{cases} \mathrm{ \mathbf{i} \boxed{
\phantom{ \mathbb{ \mathbb{R} \not \equiv \pmod (mod \angle \sum \sum_{k=1}^{n} \binom {}_5C_2 1{,} 1{,}234 1,\! 1\,234
⁵ ₅ ½ |x| || f( f(x) P(A) e^ \pi \infty \in \setminus \mid \{x| a/b \cdot * ** <= -> :: A A, (A) ~ \, " Eq( Matrix([
[1,2], é 😀 \$ €
"""
PARTS = _PARTS.split()
PHRASES = ["1 ", "and ", "or ", "1 and ", "1 or ", "x<1 or ", "x>1 and ", "one ", "hundred ", "and a half ", "apples ", "cm^2 "]
PHRASES += ["per ", "5 cm ", "1 234 ", "1/2 ", "B. ", "not ", "$1$ ", "\x00", "\u200b", "1\n"]
DRAW = random.Random(13)
MIXED = ["".join(DRAW.choice(PARTS + PHRASES) for _ in range(3)) for _ in range(25)]


def seconds(text: str) -> float:
    best = float("inf")
    for _ in range(3):
        for cached in (reader.read_answer, reader.spelling, normalise.tidy, quantities.equal_trees, keys.tree_key):
            cached.cache_clear()
        start = time.process_time()
        equivalent("x+1", text, POLICY)
        canonical(text, POLICY)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS + PHRASES + MIXED)
def test_repeated_parts(part):
    once, twice = (part * max(1, size // len(part)) for size in (SIZE, 2 * SIZE))
    measured = [(seconds(once), seconds(twice))]
    while not grows_linearly(*measured[-1]) and len(measured) < 3:  # another process may have been in the caches
        measured.append((seconds(once), seconds(twice)))
    assert grows_linearly(*measured[-1]), measured


def grows_linearly(once: float, twice: float) -> bool:
    return twice < FEW or twice < 3 * once


# --- many members, terms and factors


def members(make: Callable[[int], str], between: str = ", ", head: str = "", tail: str = "") -> Callable[[int], str]:
    return lambda n: head + between.join(make(k) for k in range(2, n + 2)) + tail


LISTS = {
    "numbers": members(str),
    "fractions": members(lambda k: f"\\frac{{{k}}}{{7}}"),
    "roots": members(lambda k: f"\\sqrt{{{k}}}"),
    "nested roots": members(lambda k: f"\\sqrt{{{k}+\\sqrt{{{k + 1}}}}}"),
    "close numbers": members(lambda k: f"1.000{k}\\pi"),
    "close roots": members(lambda k: f"\\sqrt{{10000{k:03d}}}"),
    "logarithms": members(lambda k: f"\\ln {k}"),
    "decimals": members(lambda k: f"0.3{k:03d}"),
    "expressions": members(lambda k: f"x+{k}"),
    "absolute values": members(lambda k: f"|x-{k}|"),
    "floors": members(lambda k: f"\\lfloor x/{k}\\rfloor"),
    "binomials": members(lambda k: f"\\binom{{n}}{{{k}}}"),
    "repeated expressions": members(lambda k: f"\\sqrt{{{4 * k}}}-\\sqrt{{{k}}}"),
    "named": members(lambda k: f"x_{{{k}}}={k}"),
    "named roots": members(lambda k: f"x_{{{k}}}=\\sqrt{{{k}}}"),
    "named the same": members(lambda k: f"x_{{{k}}}=5"),
    "signs": members(lambda k: f"\\pm {k}"),
    "signs of roots": members(lambda k: f"\\pm\\sqrt{{{k}}}"),
    "quadratic": members(lambda k: f"\\frac{{-{k}\\pm\\sqrt{{{k}}}}}{{2}}"),
    "complex": members(lambda k: f"{k}+{k + 1}i"),
    "alternatives": members(lambda k: f"x={k}", " or "),
    "equations": members(lambda k: f"x^2+y^2={k}"),
    "congruences": members(lambda k: f"{k}\\pmod{{97}}"),
    "units": members(lambda k: f"{k} m" if k % 2 else f"{k} cm"),
    "percent": members(lambda k: f"{k}\\%"),
    "degrees": members(lambda k: f"{k}^\\circ"),
    "points": members(lambda k: f"({k},{k + 1})"),
    "points on a line": members(lambda k: f"(x,{k})"),
    "points of roots": members(lambda k: f"(\\sqrt{{{k}}},{k})"),
    "sets": members(lambda k: f"\\{{{k}\\}}", head="\\{", tail="\\}"),
    "a set of roots": members(lambda k: f"\\sqrt{{{k}}}", head="\\{", tail="\\}"),
    "matrices": members(lambda k: f"\\begin{{pmatrix}}{k}&1\\end{{pmatrix}}"),
    "times": members(lambda k: f"{k % 12}:{k % 60:02d}"),
    "ratios": members(lambda k: f"{k + 60}:{k + 61}:{k + 62}"),  # no times of day among them
}
WHOLES = {
    "sum of powers": members(lambda k: f"x^{{{k}}}", "+"),
    "sum of roots": members(lambda k: f"\\sqrt{{{k}}}", "+"),
    "sum of quotients": members(lambda k: f"\\frac{{1}}{{x+{k}}}", "+"),
    "sum of sines": members(lambda k: f"\\sin {k}x", "+"),
    "sum of absolute values": members(lambda k: f"|x-{k}|", "+"),
    "sum of sums": members(lambda k: f"\\sum_{{k=1}}^{{{k}}} k", "+"),
    "product of sums": members(lambda k: f"(x+{k})", ""),
    "product of sums of roots": members(lambda k: f"(1+\\sqrt{{{k}}})", ""),
    "power of a sum": lambda n: f"(x+y+z)^{{{'9' * n}}}",
    "powers of a sum": members(lambda k: f"(x+y+z)^{{{k}}}", "+"),
    "continued fraction": lambda n: "\\frac{1}{1+" * n + "x" + "}" * n,
    "brackets in brackets": lambda n: "(1+x" * n + ")" * n,
    "roots in roots": lambda n: "\\sqrt{x+" * n + "2" + "}" * n,
    "quotient of quotients": members(lambda k: f"(x+{k})", "/"),
    "tower": lambda n: "x^{" * n + "2" + "}" * n,
    "matrix": members(lambda k: f"x+{k}", "\\\\", "\\begin{pmatrix}", "\\end{pmatrix}"),
    "union": members(lambda k: f"({2 * k},{2 * k + 1})", "\\cup "),
    "union of roots": members(lambda k: f"(\\sqrt{{{2 * k}}},\\sqrt{{{2 * k + 1}}})", "\\cup "),
    "overlapping union": members(lambda k: f"({k},{k + 10})", "\\cup "),
    "intersection": members(lambda k: f"({k},1000)", "\\cap "),
    "without points": members(str, head="\\mathbb{R}\\setminus \\{", tail="\\}"),
    "all but": members(lambda k: f"x\\neq {k}", " and "),
    "inequalities": members(lambda k: f"{2 * k}<x<{2 * k + 1}", " or "),
    "quadratic inequalities": members(lambda k: f"x^2<{k}", " or "),
    "chained": members(lambda k: f"a_{{{k}}}", "<"),
    "chained equations": members(lambda k: f"x+{k}-{k}", "="),
    "Chinese ten thousands": lambda n: "一万" * n,
    "Chinese squares": lambda n: "4" + "的平方" * n,
    "words": lambda n: "one million two thousand " * n,
    "magnitudes": lambda n: "3 " + "million " * n,
    "squares": lambda n: "x" + " squared" * n,
    "rates": lambda n: "5 m" + " per s" * n,
}
MODULES = [
    importlib.import_module(f"unified_rl.grading.{one.name}") for one in pkgutil.iter_modules(unified_rl.grading.__path__)
]
CACHES = {id(found): found for module in MODULES for found in vars(module).values() if hasattr(found, "cache_clear")}


def cpu(work: Callable[[], object]) -> float:
    """The least of three, with cold caches."""
    best = float("inf")
    for _ in range(3):
        for cached in CACHES.values():
            cached.cache_clear()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def longest(make: Callable[[int], str]) -> int:
    """How many members fit into the longest answer that is graded."""
    return next(n for n in count(1) if len(make(n + 1)) > LONGEST)


def with_another_digit(text: str) -> str:
    place = max(place for place, letter in enumerate(text) if letter.isdigit())
    return f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}"


def deeds(text: str, members: list[str]) -> dict[str, Callable[[], object]]:
    """What is done with an answer: beside itself in another order, beside one that differs at its end, and its class."""
    order = ", ".join(random.Random(len(members)).sample(members, len(members)))
    found = {"order": partial(equivalent, text, order, POLICY)} if members else {}
    other = with_another_digit(text) if any(letter.isdigit() for letter in text) else text + "1"
    return {
        **found,
        "another": partial(equivalent, text, other, POLICY),
        "class": partial(canonical, text, POLICY),
    }


def check_growth(make: Callable[[int], str], separator: str | None) -> None:
    n = longest(make)
    half, whole = (deeds(text, text.split(separator) if separator else []) for text in (make(n // 2), make(n)))
    for name in whole:
        if cpu(whole[name]) < FEW:
            continue
        measured = [(cpu(half[name]), cpu(whole[name]))]
        while not grows_linearly(*measured[-1]) and len(measured) < 3:  # another process may have been in the caches
            measured.append((cpu(half[name]), cpu(whole[name])))
        assert grows_linearly(*measured[-1]), (name, n, measured)


@pytest.mark.parametrize("kind", ["roots", "points", "signs of roots"])
def test_lists(kind):
    check_growth(LISTS[kind], ", ")


@pytest.mark.long
@pytest.mark.parametrize("kind", LISTS)
def test_every_kind_of_list(kind):
    check_growth(LISTS[kind], ", ")


@pytest.mark.parametrize("kind", ["sum of quotients", "union of roots"])
def test_wholes(kind):
    check_growth(WHOLES[kind], None)


@pytest.mark.long
@pytest.mark.parametrize("kind", WHOLES)
def test_every_kind_of_whole(kind):
    check_growth(WHOLES[kind], None)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_random_mixtures_of_members(seed):
    """A list whose members are drawn from several kinds: what cannot be told apart by one number stands beside what can."""
    draw = random.Random(seed)
    plain = [kind for kind in LISTS if kind not in ("alternatives", "sets", "a set of roots")]
    kinds = [LISTS[kind] for kind in draw.sample(plain, 3)]
    pool = [one for make in kinds for one in make(150).split(", ")]
    draw.shuffle(pool)
    check_growth(lambda n: ", ".join(pool[:n]), ", ")


def test_members_are_matched_in_any_order():
    """Up to the length cap, whatever they are; and one that differs is seen."""
    for kind in ("numbers", "roots", "close roots", "expressions", "points", "matrices", "equations", "percent", "units"):
        text = LISTS[kind](40)
        shuffled = ", ".join(random.Random(7).sample(text.split(", "), 40))
        assert equivalent(text, shuffled, POLICY), kind
        assert not equivalent(text, with_another_digit(text), POLICY), kind


def test_trees_stay_shallow():
    """What makes a tree one deeper without brackets is bounded as brackets are: a text, and no crash."""
    for text in ("4" + "的平方" * 400, "x" + " squared" * 180, "x" + "^2" * 700, "n" + "!" * 1400, "3 " + "million " * 180):
        assert not equivalent(text, "5", POLICY)
        assert canonical(text, POLICY)
