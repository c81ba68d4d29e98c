"""Names of functions, Greek letters and decorations, as LaTeX, programs and people write them."""

from __future__ import annotations

FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "asin": "asin", "acos": "acos", "atan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "coth": "coth",
    "ln": "ln", "log": "log", "lg": "lg", "exp": "exp", "max": "max", "min": "min", "gcd": "gcd", "lcm": "lcm", "abs": "abs",
    "floor": "floor", "ceil": "ceil", "sgn": "sgn", "sign": "sgn", "sqrt": "sqrt", "cbrt": "cbrt", "det": "det", "Re": "Re",
    "Im": "Im",
    "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "tg": "tan", "ctg": "cot", "binomial": "binom", "factorial": "factorial",
    "Rational": "ratio", "Fraction": "ratio", "deg": "deg", "dim": "dim", "rank": "rank", "tr": "tr", "cis": "cis", "arg": "arg",
}  # fmt: skip
TRIGONOMETRIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
INVERSES = {
    "sin": "asin",
    "cos": "acos",
    "tan": "atan",
    "cot": "acot",
    "sec": "asec",
    "csc": "acsc",
    "sinh": "asinh",
    "cosh": "acosh",
    "tanh": "atanh",
}
SEVERAL = frozenset(("max", "min", "gcd", "lcm", "log", "binom", "ratio"))
_GREEK_NAMES = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma
Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega hbar ell aleph omicron
"""
GREEK = frozenset("\\" + name for name in _GREEK_NAMES.split())
DECORATIONS = frozenset(
    (r"\overline", r"\vec", r"\hat", r"\tilde", r"\dot", r"\ddot", r"\underline", r"\mathring", r"\leftvec")
)


def splits(text: str) -> bool:
    """Whether a run of letters ends or begins with the name of a function."""
    return len(pieces(text)) < len(text)


def pieces(text: str) -> list[str]:
    """Letters of a run, with the name of a function at its end or start in one piece: `xsin`, `sinx`."""
    for size in (6, 5, 4, 3, 2):
        if 0 < len(text) - size <= 2:
            if text[-size:] in FUNCTIONS or text[-size:] == "pi":
                return [*text[:-size], text[-size:]]
            if text[:size] in FUNCTIONS and len(text) - size == 1:
                return [text[:size], *text[size:]]
    return list(text)
