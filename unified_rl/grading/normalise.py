r"""One spelling for the characters of an answer: Unicode signs as LaTeX, full-width forms as ASCII. Nothing is lost; linear time.

A superscript or subscript is not the digit it is made of: `10⁸` becomes `10^{8}`, `x₁` becomes `x_{1}`, `3½` becomes
`3\frac{1}{2}`. A character that has no spelling here stays as it is, and the reader then takes the answer for a text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

CJK = "\u3400-\u9fff"

_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "‒": "-", "﹣": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ",
    "∙": r"\cdot ", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "≤": r"\le ", "≦": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ",
    "⩾": r"\ge ", "≠": r"\neq ", "≈": r"\approx ", "≃": r"\simeq ", "∼": r"\sim ", "≅": r"\cong ", "≡": r"\equiv ",
    "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∈": r"\in ", "∉": r"\notin ", "⊂": r"\subset ",
    "⊃": r"\supset ", "⊆": r"\subseteq ", "⊇": r"\supseteq ", "±": r"\pm ", "∓": r"\mp ", "√": r"\sqrt ", "∛": r"\sqrt[3]",
    "∜": r"\sqrt[4]", "°": r"\degree ", "º": r"\degree ", "˚": r"\degree ", "℃": r"\degree \text{C}", "℉": r"\degree \text{F}",
    "。": ".", "、": ",", "“": '"', "”": '"', "‘": "'", "’": "'", "′": "'", "″": "''", "〈": r"\langle ", "〉": r"\rangle ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "∅": r"\emptyset ", "∶": ":", "…": r"\ldots ", "⋯": r"\cdots ", "∠": r"\angle ",
    "△": r"\triangle ", "∆": r"\Delta ", "→": r"\to ", "←": r"\leftarrow ", "↔": r"\leftrightarrow ", "⇒": r"\Rightarrow ",
    "⇐": r"\Leftarrow ", "⇔": r"\Leftrightarrow ", "⊥": r"\perp ", "∥": r"\parallel ", "∧": r"\wedge ", "∨": r"\vee ",
    "¬": r"\neg ", "∀": r"\forall ", "∃": r"\exists ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ",
    "∇": r"\nabla ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "ℏ": r"\hbar ", "ℓ": r"\ell ",
    "‰": r"\permille ", "∣": "|", "￥": "¥", "µ": "μ", "Ω": "Ω", "½": r"\frac{1}{2}",
}  # fmt: skip
_GREEK_LETTERS = """
α alpha β beta γ gamma δ delta ε epsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho σ
sigma τ tau υ upsilon φ phi χ chi ψ psi ω omega Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Φ Phi Ψ Psi Ω Omega
ϕ phi ϵ epsilon ϑ theta
"""
_GREEK = _GREEK_LETTERS.split()
_SIGNS |= {letter: f"\\{name} " for letter, name in zip(_GREEK[::2], _GREEK[1::2], strict=True)}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸ", "0123456789+-()nixy", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₒₓₙₘₖᵢⱼₚₜ", "0123456789+-()aeoxnmkijpt", strict=True))
for _code in (*range(0x2070, 0x20A0), *range(0x1D2C, 0x1D7F)):
    _kind, _, _plain = unicodedata.decomposition(chr(_code)).partition(" ")
    if _kind in ("<super>", "<sub>") and " " not in _plain and chr(int(_plain, 16)).isascii():
        (_SUPERSCRIPTS if _kind == "<super>" else _SUBSCRIPTS).setdefault(chr(_code), chr(int(_plain, 16)))
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_RUN = re.compile(f"([{''.join(_SUPERSCRIPTS)}]+)|([{''.join(_SUBSCRIPTS)}]+)|([^\\x00-\\x7f])")
_ESCAPED = re.compile(r"\\\\(?=[a-zA-Z{}%$])")
_NOON = re.compile(r"(?<![A-Za-z])([apAP])\.\s?[mM](?![A-Za-z])\.?")
_DOLLAR = re.compile(r"\\\$|\$")
_TRAILING = re.compile(r"(?:\\[ ,;:!]|[\s,;:。])$")


@lru_cache(maxsize=4096)
def tidy(text: str) -> str:
    """The answer in one spelling of its characters. Never fails."""
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = _RUN.sub(_respell, text)
    text = _NOON.sub(r"\1m", _dollars(_unescape(text)))
    return _trimmed(text)


def _respell(match: re.Match) -> str:
    if match[1]:
        return "^{" + "".join(_SUPERSCRIPTS[letter] for letter in match[1]) + "}"
    if match[2]:
        return "_{" + "".join(_SUBSCRIPTS[letter] for letter in match[2]) + "}"
    return _letter(match[3])


@lru_cache(maxsize=4096)
def _letter(letter: str) -> str:
    """One character: a known sign, a vulgar fraction, a full-width or mathematical form, or itself."""
    if letter in _SIGNS:
        return _SIGNS[letter]
    decomposed = unicodedata.decomposition(letter)
    if decomposed.startswith("<fraction>"):
        top, _, bottom = unicodedata.normalize("NFKC", letter).partition("\u2044")
        return rf"\frac{{{top}}}{{{bottom}}}" if top.isdigit() and bottom.isdigit() else letter
    if decomposed.startswith(("<wide>", "<narrow>", "<font>")):
        plain = unicodedata.normalize("NFKC", letter)
        return _SIGNS.get(plain, plain)
    if unicodedata.category(letter) == "Nd":
        return str(int(letter))
    return " " if letter.isspace() else letter


def _unescape(text: str) -> str:
    r"""Doubly escaped commands (`\\frac`), as JSON written by hand has them. In a matrix `\\` ends a row."""
    if "\\\\" not in text:
        return text
    if "\\\\begin" in text:
        return text.replace("\\\\", "\\")
    return text if "\\begin" in text else _ESCAPED.sub(r"\\", text)


def _dollars(text: str) -> str:
    r"""Mathematics between dollar signs goes without them; a sign of money stays as `\$`."""
    if "$" not in text:
        return text
    plain = [match.start() for match in _DOLLAR.finditer(text) if match[0] == "$"]
    places = set(plain)
    if len(plain) % 2:
        money = next((place for place in plain if text[place + 1 : place + 2].isdigit()), None)
        places.discard(money)
    pieces = []
    for place, letter in enumerate(text):
        if letter != "$":
            pieces.append(letter)
        elif place in places:
            pieces.append(" ")
        else:
            pieces.append("$" if text[place - 1 : place] == "\\" else "\\$")
    return "".join(pieces)


def _trimmed(text: str) -> str:
    """Without outer spaces and the punctuation that ends a sentence."""
    text = text.strip()
    while text:
        if (match := _TRAILING.search(text, max(0, len(text) - 2))) and not text.endswith("\\\\"):
            text = text[: match.start()]
        elif text.endswith(".") and not text.endswith(".."):
            text = text[:-1]
        else:
            break
    return text.strip()
