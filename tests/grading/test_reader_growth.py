"""The readers and the comparison grow no faster than their input: CPU time at n and 2n, on inputs built from their own parts."""

from __future__ import annotations

import random
import time

import pytest

from unified_rl.grading import GradingPolicy, keys, normalise, quantities, reader
from unified_rl.grading.equivalence import canonical, equivalent

POLICY = GradingPolicy()
SIZE = 700  # twice this is about the longest prediction that is graded
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


LISTS = {
    "numbers": lambda n: ", ".join(map(str, range(n))),
    "fractions": lambda n: ", ".join(f"\\frac{{{k}}}{{7}}" for k in range(n)),
    "named": lambda n: ", ".join(f"x_{{{k}}}={k}" for k in range(n)),
    "signs": lambda n: ", ".join(f"\\pm {k}" for k in range(1, n)),
    "alternatives": lambda n: " or ".join(f"x={k}" for k in range(n)),
    "points": lambda n: ",".join(f"({k},{k + 1})" for k in range(n)),
    "sum": lambda n: "+".join(f"x^{{{k}}}" for k in range(n)),
    "product": lambda n: "".join(f"(x+{k})" for k in range(n)),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_and_polynomials(kind):
    """Members are matched within a budget of comparisons, and products of sums within one of terms."""
    make = LISTS[kind]
    sizes = 40, 80
    for size in sizes:
        text = make(size)
        shuffled = ", ".join(reversed(text.split(", ")))
        start = time.process_time()
        equivalent(text, shuffled, POLICY)
        equivalent(text, "1", POLICY)
        canonical(text, POLICY)
        assert time.process_time() - start < 5.0  # the limit of an item: never near it
