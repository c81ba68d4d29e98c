"""One spelling for what LaTeX, Unicode, programs and people write in many. String to string, linear time."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_UNICODE = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "÷": "/", "∕": "/", "≤": r"\le ",
    "≦": r"\le ",
    "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ", "⩾": r"\ge ", "≠": r"\neq ", "≈": r"\approx ", "∞": r"\infty ", "∪": r"\cup ",
    "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "√": r"\sqrt ", "°": r"\degree ", "℃": r"\degree ", "º": r"\degree ", "²": "^2", "³": "^3", "½": r"\frac{1}{2}",
    "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "。": ".", "、": ",", "“": "",
    "”": "", "‘": "", "’": "'",
    "′": "'", "￥": "", "¥": "", "€": "", "£": "", "〈": r"\langle ", "〉": r"\rangle ", "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}", "∶": ":",
}  # fmt: skip
_TRANSLATION = str.maketrans(_UNICODE)
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

_ROW_SPACING = re.compile(r"\\\\\s?\[[0-9.]{1,6}\s?[a-z]{2}\]")
_BOXED = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*(?=\{)")
_PHANTOM = re.compile(r"\\[hv]?phantom(?![a-zA-Z])\s*(?:\{[^{}]{0,40}\}|.)")  # is there, and not seen
_DELIMITERS = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]")
_SPACES = re.compile(
    r"(?<!\\)\\[,;:> ]|\\q?quad(?![a-zA-Z])|~|\\hspace\{[^{}]{0,20}\}|\\(?:displaystyle|limits|nolimits)(?![a-zA-Z])|\s+"
)
_SIZES = re.compile(r"\\(?:m?left|m?right|[bB]ig{1,2}[lrm]?)(?![a-zA-Z])\.?")
_FRACTIONS = re.compile(r"\\[dtc]frac(?![a-z])")
_OPERATORS = {
    r"\lt": "<", r"\gt": ">", r"\leq": r"\le ", r"\leqslant": r"\le ", r"\leqq": r"\le ", r"\geq": r"\ge ", r"\geqslant": r"\ge ",
    r"\geqq": r"\ge ", r"\ne": r"\neq ", r"\not=": r"\neq ", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]",
    r"\lvert": "|", r"\rvert": "|", r"\vert": "|", r"\div": "/", r"\infin": r"\infty ", r"\degree": r"\degree ", r"\land": ",",
    r"\colon": ":", r"\simeq": r"\approx ", r"\sim": r"\approx ", r"\doteq": r"\approx ", r"\dots": "...", r"\ldots": "...",
    r"\cdots": "...", r"\percent": "%", r"\lg": r"\log_{10} ", r"\mid": "|", r"\exp": r"\exp ", r"\varnothing": r"\emptyset ",
}  # fmt: skip
_COMMAND = re.compile(r"\\(?:not=|[a-zA-Z]+)")
_FONT = re.compile(
    r"\\(?:mathrm|mathbf|mathit|mathsf|mathnormal|boldsymbol|bm|operatorname\*?|rm|textbf|textit|textrm|textnormal|texttt|mbox|hbox|textsf)"
    r"(?![a-zA-Z])\s*\{([^{}]*)\}"
)
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_SHORT_TEXT = re.compile(r"([_^]\{?)\\text\{([^{}]*)\}")
_PERCENT = re.compile(
    r"\\?%|\s*\\text\{\s*(?:percent(?:age)?|pct|%)\s*\}|\s*(?<![A-Za-z])(?:percent(?:age)?|pct)(?![A-Za-z])\.?"
)
_DEGREE = re.compile(
    r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))|\\degree|\\text\{\s*\\?degrees?\s*\}|(?<=[\d\s}])degrees?(?![A-Za-z])"
)
_BARE_FRACTION = re.compile(r"\\frac\s*(\{(?:[^{}]|\{[^{}]*\})*\}|[0-9A-Za-z]|\\pi(?![a-z]))\s*(\{|[0-9A-Za-z]|\\pi(?![a-z]))")
_BARE_SQRT = re.compile(r"\\sqrt\s*(\[[^\[\]]{1,20}\])?\s*([0-9A-Za-z]|\\pi(?![a-z]))")
_PROGRAM_CALL = re.compile(
    r"(?<![A-Za-z\\])(?:Rational|Fraction|Integer|Float)\(\s*([^(),]{1,60}?)\s*(?:,\s*([^(),]{1,60}?)\s*)?\)"
)
_OBJECT = re.compile(r"(Eq|FiniteSet|Matrix|Interval(?:\.(?:open|Lopen|Ropen))?)\((.*)\)", re.DOTALL)
_THOUSANDS = re.compile(
    r"(?<=[0-9]),\s*(?:\\!|\{\})\s*(?=[0-9]{3})|(?<=[0-9])\{,\}(?=[0-9]{3})|(?<=[0-9])\\[,! ]\s*(?=[0-9]{3}(?![0-9]))"
)
_MIXED = re.compile(r"(?<![0-9./}^_])([0-9]{1,9})\s*\\frac\{([0-9]{1,9})\}\{([0-9]{1,9})\}")
_MIXED_PLAIN = re.compile(r"(?<![0-9./^_+*(-])([0-9]{1,9})\s+([0-9]{1,9})\s?/\s?([0-9]{1,9})(?![0-9.])")
_REPEATING = re.compile(r"(?<![0-9])([0-9]{0,9})\.([0-9]{0,9})\\(?:overline|bar|dot)\s?\{([0-9]{1,9})\}")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z0-9.])([0-9]{1,30}(?:\.[0-9]{1,30})?)[eE]([+-]?[0-9]{1,3})(?![0-9A-Za-z.])")
_NOON = re.compile(r"(?<![A-Za-z])([ap])\.\s?m(?![A-Za-z])\.?", re.IGNORECASE)
_GROUPED = re.compile(r"(?<!\\)(?<!^)\{[1-9][0-9]{0,2}(?:,[0-9]{3})+\}")  # in a fraction, under a root
_DATUM = re.compile(r"(?<=[0-9])\.(?=$|[\s,;)}\]])")
_CJK_FRACTION = re.compile(r"([0-9零一二两三四五六七八九十百千]{1,12})分之([0-9零一二两三四五六七八九十百千]{1,12})")
_CJK_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_CJK_UNITS = {"十": 10, "百": 100, "千": 1000}
CJK = "\u3400-\u9fff"


@lru_cache(maxsize=4096)
def tidy(text: str) -> str:
    """The canonical spelling of an answer: same mathematics, one way to write each thing. Never fails."""
    text = _INVISIBLE.sub("", text)
    text = unicodedata.normalize("NFKC", text.translate(_TRANSLATION)).translate(_TRANSLATION)
    text = _unescape(text if text.isascii() else re.sub(r"\d", lambda match: str(int(match[0])), text))
    text = _THOUSANDS.sub(",", _ROW_SPACING.sub(r"\\\\ ", text)).replace(r"\!", "")
    text = _PHANTOM.sub("", _unbox(_DELIMITERS.sub("", text)))
    text = _SPACES.sub(" ", text)
    text = _SIZES.sub("", text)
    text = _FRACTIONS.sub(r"\\frac", text)
    text = _COMMAND.sub(lambda match: _OPERATORS.get(match[0], match[0]), text)
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ").replace("!=", r"\neq ").replace("==", "=").replace("**", "^")
    for _ in range(3):  # fonts nest
        text, changed = _FONT.subn(_unfont, text)
        if not changed:
            break
    text = _SHORT_TEXT.sub(r"\1\2", text)
    text = _PERCENT.sub("%", _NOON.sub(r"\1m", text))
    text = _DEGREE.sub(r"\\degree ", text)
    text = _program_objects(_program_words(text))
    text = _bare_arguments(text)
    text = _MIXED.sub(r"(\1+\\frac{\2}{\3})", text)
    text = _MIXED_PLAIN.sub(r"(\1+\\frac{\2}{\3})", text)
    text = _SCIENTIFIC.sub(r"\1\\times 10^{\2}", text)
    text = _REPEATING.sub(_repeating_fraction, text)
    text = _chinese_numbers(text)
    text = _SPACES.sub(" ", text).strip()
    text = re.sub(r"[.,;:?\s\\]+$", "", text) if not text.endswith("...") else text
    return _DATUM.sub("", _GROUPED.sub(lambda match: match[0].replace(",", ""), text))


def _unescape(text: str) -> str:
    """Doubly escaped commands (`\\\\frac`), as JSON written by hand has them."""
    if re.search(r"\\\\begin(?![a-z])", text):
        return text.replace("\\\\", "\\")
    if "\\begin" in text:
        return text
    return re.sub(r"\\\\(?=[a-zA-Z])", r"\\", text)


def _unbox(text: str) -> str:
    """Without boxes; one around everything goes with its braces, which would mean a set."""
    match = _BOXED.match(text.strip())
    if match:
        text = text.strip().rstrip(".")
        if _closing(text, match.end(), "{}") == len(text) - 1:
            text = text[match.end() + 1 : -1]
    return _BOXED.sub("", text)


def _unfont(match: re.Match) -> str:
    """Upright letters are names of constants or units: one letter stays a letter, more become text."""
    content = match[1]
    if len(content.strip()) == 1:
        return content if match[0].startswith(("\\math", "\\bold", "\\bm", "\\rm")) else rf"\text{{{content}}}"
    return rf"\text{{{content}}}"


def _program_words(text: str) -> str:
    """What programs print: sqrt(2), Rational(1, 2), pi, oo."""
    if "(" in text:
        text = _PROGRAM_CALL.sub(lambda match: rf"\frac{{{match[1]}}}{{{match[2]}}}" if match[2] else match[1], text)
        while match := re.search(r"\\?(?<![A-Za-z])sqrt\s*\(", text):
            end = _closing(text, match.end() - 1)
            if end is None:
                break
            text = f"{text[: match.start()]}\\sqrt{{{text[match.end() : end]}}}{text[end + 1 :]}"
    text = re.sub(r"(?<![A-Za-z\\{])pi(?![A-Za-z])", r"\\pi ", text)
    return re.sub(r"(?<![A-Za-z\\{])(?:oo|inf|infinity|Infinity)(?![A-Za-z])", r"\\infty ", text)


def _program_objects(text: str) -> str:
    """What sympy prints: Eq(a, b), FiniteSet(1, 2), Interval(0, 1), Matrix([[1, 2], [3, 4]]), as mathematics."""
    match = _OBJECT.fullmatch(text)
    if match is None:
        return text
    kind, inside = match[1], match[2].strip()
    if kind == "FiniteSet":
        return rf"\{{{inside}\}}"
    if kind == "Matrix":
        return inside
    parts = [part.strip() for part in inside.split(",")]
    if kind == "Eq" and len(parts) == 2:
        return " = ".join(parts)
    brackets = {"Interval": "[]", "Interval.open": "()", "Interval.Lopen": "(]", "Interval.Ropen": "[)"}.get(kind)
    return f"{brackets[0]}{parts[0]},{parts[1]}{brackets[1]}" if brackets and len(parts) == 2 else text


def _closing(text: str, start: int, brackets: str = "()") -> int | None:
    """Index of the bracket that closes the one at `start`, None if there is none."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == brackets[0]) - (text[index] == brackets[1])
        if depth == 0:
            return index
    return None


def _repeating_fraction(match: re.Match) -> str:
    r"""`0.1\overline{6}` as a fraction."""
    whole, fixed, repeated = match[1] or "0", match[2], match[3]
    bottom = 10 ** len(fixed) * (10 ** len(repeated) - 1)
    top = int(fixed + repeated or 0) - int(fixed or 0)
    return rf"(\frac{{{int(whole) * bottom + top}}}{{{bottom}}})"


def _bare_arguments(text: str) -> str:
    r"""`\frac12`, `\frac1{72}`, `\sqrt3` with braces."""

    def braces(match: re.Match) -> str:
        top, bottom = match[1], match[2]
        top = top if top.startswith("{") else f"{{{top}}}"
        return rf"\frac{top}{bottom}" if bottom == "{" else rf"\frac{top}{{{bottom}}}"

    text = _BARE_FRACTION.sub(braces, text.replace(r"\sqrt{}", r"\sqrt "))
    return _BARE_SQRT.sub(lambda match: rf"\sqrt{match[1] or ''}{{{match[2]}}}", text)


def _chinese_numbers(text: str) -> str:
    """五分之三 -> \\frac{3}{5}; 三十五 -> 35, where it is the whole answer or nearly."""
    if not re.search(f"[{CJK}]", text):
        return text
    text = _CJK_FRACTION.sub(lambda match: rf"\frac{{{_cjk_value(match[2])}}}{{{_cjk_value(match[1])}}}", text)
    match = re.match(r"(负?)([零〇一二两三四五六七八九十百千]{1,12})(?=[^零〇一二两三四五六七八九十百千]|$)", text)
    if match and (value := _cjk_value(match[2])) is not None and len(text) <= len(match[0]) + 4:
        text = f"{'-' if match[1] else ''}{value}{text[match.end() :]}"
    return text


def _cjk_value(word: str) -> int | None:
    if word.isascii():
        return int(word)
    total, digit = 0, 0
    for letter in word:
        if letter.isdigit() and letter.isascii():
            digit = 10 * digit + int(letter)
        elif letter in _CJK_DIGITS:
            digit = _CJK_DIGITS[letter]
        else:
            total, digit = total + (digit or 1) * _CJK_UNITS[letter], 0
    return total + digit


def unwrap_text(text: str) -> str:
    r"""The content of every `\text{...}`."""
    return _TEXT.sub(r"\1", text)
