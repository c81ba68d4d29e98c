"""Why a verdict is what it is: how each answer was read, what value it became, and what the verdict rests on. For workers."""

from __future__ import annotations

from typing import Any

from unified_rl.grading.equivalence import judge
from unified_rl.grading.nodes import (
    Congruence,
    Interval,
    Items,
    Matrix,
    Named,
    Node,
    Options,
    Ratio,
    RealSet,
    Relation,
    Scalar,
    Text,
    Time,
)
from unified_rl.grading.policies import GradingPolicy
from unified_rl.grading.sampling import differing_point
from unified_rl.grading.trees import Tree, symbols
from unified_rl.grading.values import evaluate, shown

_READERS = {
    Text: "text",
    Options: "option letters",
    RealSet: "set of real numbers",
    Matrix: "matrix",
    Relation: "relation",
    Ratio: "ratio",
    Time: "time of day",
    Congruence: "congruence",
}
MAX_SHOWN = 300


def explain(gold: str, prediction: str, policy: GradingPolicy) -> dict[str, Any]:
    """{"gold", "prediction": {"reader", "value"}, "rests_on"}: JSON of short strings."""
    found = judge(gold, prediction, policy)
    rests_on = found.ground if found.equal else _difference(found.gold, found.prediction)
    return {
        "gold": {"reader": reader(found.gold), "value": value(found.gold)[:MAX_SHOWN]},
        "prediction": {"reader": reader(found.prediction), "value": value(found.prediction)[:MAX_SHOWN]},
        "rests_on": rests_on,
    }


def reader(node: Node) -> str:
    """In a word or two, what an answer was read as."""
    if isinstance(node, Named):
        return f"named {reader(node.value)}"
    if isinstance(node, Items):
        return {"list": "list", "set": "set", "tuple": "tuple or interval"}[node.kind]
    if isinstance(node, Scalar):
        kind = "expression" if symbols(node.tree) else "number"
        return f"quantity ({kind} with a unit)" if node.unit.dimensions else kind
    return _READERS[type(node)]


def value(node: Node) -> str:
    """The value that an answer became, as plain text."""
    if isinstance(node, Scalar):
        return _scalar(node)
    if isinstance(node, Named):
        return f"{node.name} {'in' if isinstance(node.value, RealSet) else '='} {value(node.value)}"
    if isinstance(node, Items):
        brackets = node.brackets or ("{}" if node.kind == "set" else "")
        return f"{brackets[:1]}{', '.join(map(value, node.items))}{brackets[1:]}"
    if isinstance(node, RealSet):
        return " or ".join(map(_interval, node.intervals)) or "the empty set"
    if isinstance(node, Matrix):
        return f"{node.kind} [{'; '.join(', '.join(map(value, row)) for row in node.rows)}]"
    if isinstance(node, Relation):
        return "".join(f"{tree(side)} {op} " for side, op in zip(node.sides, (*node.ops, ""), strict=True)).strip()
    if isinstance(node, Ratio):
        return " : ".join(map(value, node.parts))
    if isinstance(node, Time):
        return f"{node.hours}:{node.minutes:02}:{node.seconds:02} {node.half}".strip()
    if isinstance(node, Congruence):
        return f"{tree(node.residue)} modulo {tree(node.modulus)}"
    return node.letters if isinstance(node, Options) else node.key


def _scalar(node: Scalar) -> str:
    text = f"{node.digits} in base {node.base}" if node.base else tree(node.tree)
    text += " percent" if node.percent else " degrees" if node.degree else ""
    return f"{text}, times {node.unit.key().replace('^1', '')}" if node.unit.dimensions else text


def _interval(one: Interval) -> str:
    opening, closing = "(["[one.closed[0]], ")]"[one.closed[1]]
    return f"{opening}{value(one.low)}, {value(one.high)}{closing}"


def tree(node: Tree) -> str:
    """An expression in one line, with every bracket it needs and some that it does not."""
    kind = node[0]
    if kind in ("num", "sym", "const"):
        return str(node[1])
    if kind == "add":
        return f"({' + '.join(map(tree, node[1:]))})"
    if kind == "mul":
        return "*".join(map(tree, node[1:]))
    if kind == "pow":
        return f"{tree(node[1])}^({tree(node[2])})"
    if kind == "big":
        _, operation, variable, lower, upper, body = node
        return f"{operation}({tree(body)}, {variable} = {tree(lower)} to {tree(upper)})"
    return f"{node[1].lstrip('@')}({', '.join(map(tree, node[2:]))})"


def _difference(gold: Node, prediction: Node) -> str:
    """Why two answers are not equal, as far as one place shows it."""
    left, right = (node.value if isinstance(node, Named) else node for node in (gold, prediction))
    if isinstance(left, Text) or isinstance(right, Text):
        return "not the same text; at least one side is not read as mathematics"
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        point = differing_point(left.tree, right.tree)
        if point is None:
            return "no proof that they are equal, or different units or signs around the value"
        at = f" at {', '.join(f'{name} = {number}' for name, number in point.items())}" if point else ""
        return f"the values {shown(evaluate(left.tree, point))} and {shown(evaluate(right.tree, point))}{at}"
    return "no rule of the policy makes them equal"
