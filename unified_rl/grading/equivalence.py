"""Whether two answers are equal, and the name of an answer's class. For worker processes.

Each answer is read to its last character (`reader`); what is not understood is a text, and equal to the same text only. Two
readings are compared by structure (`compare`), their scalars by proof, by sampled points, or by the roundings that the policy
allows (`quantities`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from unified_rl.grading.compare import Comparer
from unified_rl.grading.keys import key
from unified_rl.grading.nodes import Node
from unified_rl.grading.normalise import tidy
from unified_rl.grading.numbers import read_number
from unified_rl.grading.policies import GradingPolicy
from unified_rl.grading.quantities import SAME
from unified_rl.grading.reader import read_answer, spelling

_WEAKEST = ("tolerance", "decimal", "sampled", "digits of the numbers", "exact", "same")


@dataclass(frozen=True)
class Judgement:
    """`ground`: what an equality rests on, the weakest of its parts; empty where the answers are not equal."""

    equal: bool
    ground: str
    gold: Node
    prediction: Node


def equivalent(gold: str, prediction: str, policy: GradingPolicy) -> bool:
    """Whether a prediction equals the gold answer under a policy."""
    return judge(gold, prediction, policy).equal


def judge(gold: str, prediction: str, policy: GradingPolicy) -> Judgement:
    """The verdict on a prediction, with both readings and what it rests on."""
    left, right = read_answer(gold), read_answer(prediction)
    spellings = spelling(gold), spelling(prediction)
    if not all(spellings):
        return Judgement(False, "", left, right)
    if spellings[0] == spellings[1]:
        return Judgement(True, "the same text", left, right)
    comparer = Comparer(policy)
    if comparer.equal(left, right):
        return Judgement(True, _weakest(comparer.grounds), left, right)
    if _decimal_comma(tidy(gold), tidy(prediction), policy):
        return Judgement(True, "a decimal comma", left, right)
    return Judgement(False, "", left, right)


def canonical(answer: str, policy: GradingPolicy) -> str:
    """The name of an answer's class: a function of the answer alone, so that classes never depend on what else was sampled."""
    return key(read_answer(answer), policy)[:2000]


def _weakest(grounds: list[str]) -> str:
    for word in _WEAKEST:
        if found := next((ground for ground in grounds if word in ground), None):
            return found
    return grounds[0] if grounds else SAME


def _decimal_comma(left: str, right: str, policy: GradingPolicy) -> bool:
    """3,75 against 3.75. Only where the other side is one number, and the comma cannot separate thousands."""
    if policy.decimal_comma == "refuse":
        return False
    for text, other in ((left, right), (right, left)):
        match = re.fullmatch(r"([+-]?)([0-9]{1,60}),([0-9]{2,60})", text)
        plain = read_number(other)
        if match and plain and "," not in other and (match[2] == "0" or len(match[3]) != 3 or len(match[2]) > 3):
            reading = read_number(f"{match[1]}{match[2]}.{match[3]}")
            if reading and reading.value == plain.value:
                return True
    return False
