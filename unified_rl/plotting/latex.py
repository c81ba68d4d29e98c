"""Plain words and plain formulas as LaTeX; tables have the rules of the package booktabs, and need no other."""

from __future__ import annotations

import re

_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"${character}$" for character in "<>|"},
}
_GREEK = ("theta", "rho", "beta", "sigma", "pi", "gamma", "lambda", "tau", "epsilon")
#: What of a plain formula is mathematics, longest first; the rest is words.
_MATHS = re.compile(
    r"\+-(?=[a-z|(])|~|\|o\||(?<![\w])o[+-]_t|(?<![\w])o[+-]|"
    rf"(?<![\w])(?:{'|'.join(_GREEK)}|[A-Za-z])_[A-Za-z]+|(?<![\w])(?:{'|'.join(_GREEK)})(?![\w])"
)
_SYMBOLS = {"+-": r"\pm", "~": r"\sim", "|o|": "|o|"}


def text(words: str) -> str:
    """Any text, with every character that means something to LaTeX escaped."""
    return "".join(_SPECIAL.get(character, character) for character in words)


def formula(plain: str) -> str:
    """A formula as the method table prints it ("beta (pi_ref/pi - 1)"), its symbols in maths mode and its words as text."""
    parts, place = [], 0
    for found in _MATHS.finditer(plain):
        parts += [text(plain[place : found.start()]), f"${_symbol(found.group())}$"]
        place = found.end()
    return "".join([*parts, text(plain[place:])]).replace("$$", "")  # neighbours share one maths mode


def tabular(columns: str, header: list[str], rows: list[list[str]]) -> str:
    """A tabular of cells that are LaTeX already. columns: its column specification."""
    lines = [_row(cells) for cells in (header, *rows)]
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"]
    )


def _row(cells: list[str]) -> str:
    line = " & ".join(cells) + r" \\"
    return "{}" + line if line.startswith(("[", "*")) else line  # after a line break, these would be its options


def _symbol(plain: str) -> str:
    if plain in _SYMBOLS:
        return _SYMBOLS[plain]
    if plain[:2] in ("o+", "o-"):  # the chosen and the rejected response, or a token of one
        return f"o^{{{plain[1]}}}" + ("_t" if plain.endswith("_t") else "")
    base, _, index = plain.partition("_")
    base = f"\\{base}" if base in _GREEK else base
    if not index:
        return base
    return f"{base}_{index}" if len(index) == 1 else f"{base}_{{{_index(index)}}}"


def _index(word: str) -> str:
    return f"\\{word}" if word in _GREEK else rf"\mathrm{{{word}}}"
