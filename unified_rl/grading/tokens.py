r"""The tokens of an answer: every character is in one of them, or the answer is not read as mathematics.

Sizes, fonts and spacing (`\left`, `\mathrm`, `\,`) only say how something is set, and leave marks on the tokens beside them:
`spaced` (space before it) and `upright` (a word or unit rather than a product of letters). Linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from unified_rl.grading.normalise import CJK

MAX_TOKENS = 2500
MAX_GROUP = 6  # pieces between two groups of digits


class Unread(Exception):
    """Something in the answer is not understood; the answer is then a text."""


class Token(NamedTuple):
    r"""`kind`: "number" (digits with a point), "letters" (a run), "cjk", "command" (`\name`) or "sign"."""

    kind: str
    text: str
    spaced: bool = False
    upright: bool = False


_TOKEN = re.compile(rf"\s+|\\q?quad|\\[a-zA-Z]+|\\.|[0-9]+|[A-Za-z]+|[{CJK}〇]+|.", re.DOTALL)
_WITHOUT_MEANING = r"""
\left \right \mleft \mright \big \Big \bigg \Bigg \bigl \bigr \Bigl \Bigr \biggl \biggr \bigm \displaystyle \textstyle
\limits \nolimits \rm \bf \it \! \/ \strut \hline
"""
_NOTHING = frozenset(_WITHOUT_MEANING.split())
_SPACES = frozenset(
    [
        r"\(",
        r"\)",
        r"\[",
        r"\]",
        r"\,",
        r"\;",
        r"\:",
        r"\>",
        r"\quad",
        r"\qquad",
        r"\enspace",
        r"\thinspace",
        r"\space",
        "\\ ",
        "~",
        "\\\n",
    ]
)
_FONT_NAMES = r"""
\text \textbf \textit \textrm \textnormal \texttt \textsf \mbox \hbox \mathrm \mathbf \mathit \mathsf \mathnormal
\boldsymbol \bm \operatorname \boxed \fbox \mathop \emph \textup \ensuremath
"""
_FONTS = frozenset(_FONT_NAMES.split())
_UPRIGHT = _FONTS - {r"\mathit", r"\mathbf", r"\mathnormal", r"\boldsymbol", r"\bm", r"\boxed", r"\fbox", r"\ensuremath"}
_SYNONYMS = {
    r"\lt": "<", r"\gt": ">", r"\leq": r"\le", r"\leqslant": r"\le", r"\leqq": r"\le", r"\geq": r"\ge", r"\geqslant": r"\ge",
    r"\geqq": r"\ge", r"\ne": r"\neq", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\lvert": "|",
    r"\rvert": "|", r"\vert": "|", r"\mid": "|", r"\div": "/", r"\slash": "/", r"\infin": r"\infty", r"\colon": ":",
    r"\dfrac": r"\frac",
    r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\dbinom": r"\binom", r"\tbinom": r"\binom", r"\varnothing": r"\emptyset",
    r"\ast": "*", r"\dots": r"\ldots", r"\cdots": r"\ldots", r"\dotsc": r"\ldots", r"\degree": r"\circ", r"\%": "%",
    r"\percent": "%",
    r"\doteq": r"\approx", r"\simeq": r"\approx", r"\varepsilon": r"\epsilon", r"\varphi": r"\phi", r"\vartheta": r"\theta",
    r"\implies": r"\Rightarrow", r"\iff": r"\Leftrightarrow", r"\rightarrow": r"\to", r"\gets": r"\leftarrow",
    r"\overrightarrow": r"\vec", r"\overleftarrow": r"\leftvec", r"\bar": r"\overline", r"\widehat": r"\hat",
    r"\widetilde": r"\tilde",
    r"\land": r"\wedge", r"\lor": r"\vee", r"\lnot": r"\neg", r"\mod": r"\bmod", r"\&": "&", r"\#": "#", r"\_": "_", r"\prime": "'",
    r"\cdotp": r"\cdot",
    r"\bigcup": r"\cup", r"\bigcap": r"\cap", r"\backslash": r"\setminus", r"\smallsetminus": r"\setminus", r"\euro": "€",
    r"\pounds": "£",
    r"\yen": "¥", r"\mathdollar": r"\$", r"\textdollar": r"\$", r"\newline": r"\\", r"\cr": r"\\", r"\tfracs": r"\frac",
}  # fmt: skip
_COLOURS = frozenset((r"\textcolor", r"\color", r"\colorbox"))  # with the colour's name; what is coloured stays
_REPEATS = frozenset((r"\overline", r"\bar", r"\dot", "("))
_PHANTOM = frozenset((r"\phantom", r"\hphantom", r"\vphantom", r"\hspace"))
_DOUBLE = {("<", "="): r"\le", (">", "="): r"\ge", ("!", "="): r"\neq", ("=", "="): "=", ("*", "*"): "^", ("-", ">"): r"\to"}


def tokenize(text: str) -> list[Token]:
    """Tokens of a tidied answer. Raises Unread: too many, or braces of a font that do not close."""
    scanner = _Scanner(text)
    while scanner.place < len(scanner.raw):
        scanner.step()
    if scanner.fonts:
        raise Unread
    if len(scanner.tokens) > MAX_TOKENS:
        raise Unread
    return scanner.tokens


class _Scanner:
    def __init__(self, text: str) -> None:
        self.raw = _TOKEN.findall(text)
        self.place = 0
        self.spaced = False
        self.tokens: list[Token] = []
        self.fonts: list[tuple[int, bool]] = []  # (depth of braces, upright before) of each open font
        self.depth = 0
        self.upright = False

    def step(self) -> None:
        piece = self.raw[self.place]
        self.place += 1
        if piece.isspace() or piece in _SPACES:
            self.spaced = True
        elif piece in _NOTHING:
            self._skip_dot(piece)
        elif piece in _FONTS:
            self._font(piece)
        elif piece in _PHANTOM or piece in _COLOURS:
            self._phantom()
        elif piece in ("{", "}"):
            self._brace(piece)
        elif piece in (r"\begin", r"\end", r"\mathbb", r"\mathcal", r"\mathfrak", r"\tag", r"\label"):
            self._named(piece)
        else:
            self._plain(piece)

    def _emit(self, kind: str, text: str) -> None:
        self.tokens.append(Token(kind, text, self.spaced, self.upright))
        self.spaced = False

    def _plain(self, piece: str) -> None:
        first = piece[0]
        if (first.isdigit() and first.isascii()) or (first == "." and self._follows_digit()):
            self._number(piece)
        elif first.isascii() and first.isalpha():
            self._emit("letters", piece)
        elif first == "\\":
            sign = _SYNONYMS.get(piece, piece)
            if sign == r"\not" and self.place < len(self.raw):
                sign = {"=": r"\neq", r"\in": r"\notin"}.get(self.raw[self.place], "")
                if not sign:
                    raise Unread
                self.place += 1
            self._emit("command" if sign[0] == "\\" else "sign", sign)
        elif first >= "\u3007":
            self._emit("cjk" if first == "〇" or "\u3400" <= first <= "\u9fff" else "sign", piece)
        else:
            self._sign(piece)

    def _follows_digit(self) -> bool:
        following = self.raw[self.place] if self.place < len(self.raw) else ""
        return following[:1].isdigit() and not (self.tokens and self.tokens[-1].kind == "number" and not self.spaced)

    def _number(self, piece: str) -> None:
        """Digits, and a point with the digits after it. Groups of three set apart by LaTeX (`1{,}234`) are one number."""
        if piece == ".":
            piece += self.raw[self.place]
            self.place += 1
            return self._emit("number", piece)
        while (skip := self._group()) is not None:
            piece += self.raw[self.place + skip]
            self.place += skip + 1
        following = self.raw[self.place : self.place + 2]
        if following[:1] == ["."]:
            if len(following) == 2 and following[1][:1].isdigit():
                piece += "." + following[1]
                self.place += 2
            elif len(following) == 2 and following[1] in _REPEATS:
                piece += "."  # 0.\overline{3}
                self.place += 1
            elif len(following) == 1 or following[1] != ".":
                self.place += 1  # 5.
        return self._emit("number", piece)

    def _group(self) -> int | None:
        r"""How many pieces part this number from three more digits of it: `{,}`, `,\!`, `\,`; None where none do."""
        size = 0
        ahead = self.raw[self.place : self.place + MAX_GROUP + 1]
        while size < len(ahead) and (ahead[size] in (",", "{", "}", r"\!", r"\,") or ahead[size].isspace()):
            size += 1
        marks = [piece for piece in ahead[:size] if not piece.isspace()]
        plain = "".join(marks) in ("{,}", ",{}", r"\,", r"\!", r",\!", r"\!,", r"\!,\!", r",\!\!")
        digits = ahead[size] if size < len(ahead) else ""
        return size if plain and len(digits) == 3 and digits.isdigit() and digits.isascii() else None

    def _sign(self, piece: str) -> None:
        following = self.raw[self.place] if self.place < len(self.raw) else ""
        if piece == "." and self.raw[self.place : self.place + 2] == [".", "."]:
            self.place += 2
            return self._emit("command", r"\ldots")
        if (piece, following) in _DOUBLE:
            self.place += 1
            piece = _DOUBLE[piece, following]
        return self._emit("command" if piece[0] == "\\" else "sign", piece)

    def _skip_dot(self, piece: str) -> None:
        if piece in (r"\left", r"\right") and self.place < len(self.raw) and self.raw[self.place] == ".":
            self.place += 1

    def _font(self, piece: str) -> None:
        """The braces of a font go; where they are an index or exponent, or after a command, they group and stay."""
        self._spaces()
        if piece == r"\operatorname" and self.raw[self.place : self.place + 1] == ["*"]:
            self.place += 1
        if self.raw[self.place : self.place + 1] != ["{"]:
            if piece in (r"\boxed", r"\fbox") or self.place >= len(self.raw):
                raise Unread
            return  # \mathrm x
        self.place += 1
        keeps = bool(self.tokens) and self.tokens[-1].text in ("^", "_", r"\frac", r"\sqrt", r"\overline", r"\vec", r"\hat")
        self.fonts.append((self.depth if not keeps else -self.depth - 1, self.upright))
        self.depth += 1
        self.upright = self.upright or piece in _UPRIGHT
        if piece in (r"\mathbf", r"\bm", r"\boldsymbol") and self.raw[self.place : self.place + 2] in (
            ["i", "}"],
            ["j", "}"],
            ["k", "}"],
        ):
            self._emit("command", r"\hat")  # the unit vectors
        if keeps:
            self._emit("sign", "{")

    def _spaces(self) -> None:
        while self.place < len(self.raw) and self.raw[self.place].isspace():
            self.place += 1

    def _brace(self, piece: str) -> None:
        if piece == "{":
            self.depth += 1
            return self._emit("sign", "{")
        self.depth -= 1
        if self.fonts and self.depth in (self.fonts[-1][0], -self.fonts[-1][0] - 1):
            kept, self.upright = self.fonts.pop()
            if kept < 0:
                self._emit("sign", "}")
            return None
        return self._emit("sign", "}")

    def _phantom(self) -> None:
        """Without the command and its braces: it is there and not seen, or names a colour."""
        self._spaces()
        if self.raw[self.place : self.place + 1] != ["{"]:
            self.place += 1
            return
        end = self.place
        while end < len(self.raw) and self.raw[end] != "}":
            end += 1
        self.place = end + 1

    def _named(self, piece: str) -> None:
        r"""`\begin{name}`, `\mathbb{R}`: with its argument, one token."""
        self._spaces()
        if self.raw[self.place : self.place + 1] != ["{"]:
            name, self.place = "".join(self.raw[self.place : self.place + 1]), self.place + 1
        else:
            end = self.place + 1
            while end < len(self.raw) and self.raw[end] != "}":
                end += 1
            name, self.place = "".join(self.raw[self.place + 1 : end]), end + 1
        self._emit("command", f"{piece}{{{name.strip()}}}")
