r"""Matrices and systems in LaTeX environments, with a factor before them, and their sums."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations

from unified_rl.grading import relations
from unified_rl.grading.brackets import closing, split
from unified_rl.grading.nodes import Items, Matrix, Node, Scalar, are
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import Tree

Reader = Callable[[list[Token]], Node]

MAX_ROWS = 400
_KINDS = {"vmatrix": "determinant", "Vmatrix": "norm"}
_MATRICES = ("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "array", "smallmatrix")
_SYSTEMS = ("cases", "aligned", "align", "align*", "gathered")


def read_environment(tokens: list[Token], read: Reader) -> Node | None:
    """A matrix or system; None where no environment is in the tokens. Raises Unread."""
    if not any(token.text.startswith(r"\begin{") for token in tokens):
        return None
    terms = _terms(tokens)
    if len(terms) == 1:
        return _term(terms[0], read)
    matrices = [_term(term, read) for term in terms]
    summands = [_plain_rows(one) for one in matrices]
    shapes = {tuple(len(row) for row in rows) for rows in summands}
    if len(shapes) != 1:
        raise Unread
    return Matrix(
        tuple(
            tuple(Scalar(("add", *(cell.tree for cell in cells))) for cells in zip(*row, strict=True))
            for row in zip(*summands, strict=True)
        )
    )


def _terms(tokens: list[Token]) -> list[list[Token]]:
    """Between plus and minus signs outside brackets; a minus stays with its term."""
    terms: list[list[Token]] = [[]]
    place = 0
    for part in split(tokens, ("+", "-")):
        sign = tokens[place - 1] if place else None
        if part:
            begins = any(token.text.startswith(r"\begin{") for token in terms[-1])
            terms = [*terms, []] if begins else terms
            terms[-1] += ([sign] if sign and sign.text == "-" else []) + part
        place += len(part) + 1
    return terms


def _term(tokens: list[Token], read: Reader) -> Node:
    start = next((place for place, token in enumerate(tokens) if token.text.startswith(r"\begin{")), None)
    if start is None:
        raise Unread
    environment = _environment(tokens[start:], read)
    return _multiple(tokens[:start], environment) if start else environment


def _environment(tokens: list[Token], read: Reader) -> Node:
    match = re.fullmatch(r"\\begin\{(\w+\*?)\}", tokens[0].text)
    if match is None or tokens[-1].text != rf"\end{{{match[1]}}}" or closing(tokens, 0) != len(tokens) - 1:
        raise Unread
    inner = tokens[1:-1]
    if any(token.text.startswith(r"\begin{") for token in inner):
        raise Unread
    if match[1] == "array" and inner and inner[0].text == "{":
        inner = inner[(closing(inner, 0) or 0) + 1 :]
    rows = [row for row in split(_row_ends(inner), (r"\\",)) if row]
    if len(rows) > MAX_ROWS:
        raise Unread
    if match[1] in _SYSTEMS:
        return Items("list", tuple(read([token for token in row if token.text != "&"]) for row in rows))
    if match[1] not in _MATRICES:
        raise Unread
    cells = tuple(tuple(read(cell) for cell in split(row, ("&",))) for row in rows)
    matrix = Matrix(cells, _KINDS.get(match[1], "matrix"))
    return _determinant(matrix) if matrix.kind == "determinant" else matrix


def _determinant(matrix: Matrix) -> Node:
    """The value of two or three rows; larger ones stay as they are."""
    size = len(matrix.rows)
    rows = [row for row in matrix.rows if are(row, Scalar)]
    if size not in (2, 3) or len(rows) < size or any(len(row) != size for row in rows):
        return matrix
    terms = []
    for columns in permutations(range(size)):
        swaps = sum(a > b for place, a in enumerate(columns) for b in columns[place + 1 :])
        sign: Tree = ("num", Fraction((-1) ** swaps), None)
        terms.append(("mul", sign, *(rows[row][column].tree for row, column in enumerate(columns))))
    return Scalar(("add", *terms))


def _plain_rows(node: Node) -> list[Sequence[Scalar]]:
    """Rows of a matrix of numbers without units. Raises Unread for anything else."""
    if not isinstance(node, Matrix) or node.kind != "matrix":
        raise Unread
    rows = [row for row in node.rows if are(row, Scalar)]
    if len(rows) < len(node.rows) or any(cell.unit.dimensions for row in rows for cell in row):
        raise Unread
    return rows


def _multiple(factor: list[Token], matrix: Node) -> Node:
    """A number times a matrix, cell by cell."""
    if factor[-1].text in (r"\cdot", r"\times", "*"):
        factor = factor[:-1]
    minus_one: Tree = ("num", Fraction(-1), None)
    number = minus_one if [token.text for token in factor] == ["-"] else relations.expression(factor)
    return Matrix(tuple(tuple(Scalar(("mul", number, cell.tree)) for cell in row) for row in _plain_rows(matrix)))


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
