"""What holds for any two answers: no reader fails, equality goes both ways, and an explanation says what the verdict says."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest

from unified_rl.grading import GradingPolicy
from unified_rl.grading.equivalence import canonical, judge
from unified_rl.grading.explain import explain
from unified_rl.grading.reader import spelling

_PIECES = r"""
( ) [ ] { } \{ \} | , ; : = < > \le \ne \in + - * / ^ _ ! ' % ° 0 1 2 3 10 0.5 .5 1,000 x y n a ab AB e i \pi
\infty \frac \frac12 \sqrt \sqrt[3]{x} \sin \ln \log_2 \max \min \gcd \lfloor \rfloor \sum_{k=1}^{n}
\binom{n}{2} \pm \cup \cap \setminus \mathbb{R} \emptyset \text{and} \text{or} and or not cm km $ \$ 五 负 分之 万
是 个 \begin{pmatrix} \end{pmatrix} & \\ \cdot \times \bmod \pmod{7} \equiv \approx \circ ^\circ \overline{3}
\dot{3} \ldots f(x) P(A) |x| mod dozen million half base degrees percent \vec{a} \hat{i} \Delta 1/0 0^0
10^{100} 2^{1000} 1e5 \text{ units} apples /hr \mathrm{N} FiniteSet( Eq( Matrix([[ ]]) A B C. (0,1) [2,3) x>1
x=2 \frac{1}{3} 1011_2 2\frac13
"""
PIECES = _PIECES.split()
POLICIES = [
    GradingPolicy(),
    GradingPolicy(units="require", degrees="require", bases="require", left_side="require", relative_tolerance=0.01),
    GradingPolicy(list_order="same", tuple_and_set="same_order", percent="hundredth", interval_and_inequality="distinct"),
]


def answers(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return [draw.choice(("", " ")).join(draw.choices(PIECES, k=draw.randint(1, 9))) for _ in range(count)]


@pytest.mark.parametrize("policy", POLICIES, ids=["default", "strict", "other"])
def test_any_two_answers(policy):
    made = answers(1, 400)
    for left, right in zip(made, made[1:] + made[:1], strict=True):
        assert judge(left, right, policy).equal == judge(right, left, policy).equal, (left, right)
        assert judge(left, left, policy).equal == bool(spelling(left)), left
        assert canonical(left, policy) == canonical(left, policy)


def test_explanations_of_any_two_answers():
    made = answers(2, 300)
    for left, right in pairwise(made):
        for pair in ((left, right), (left, left)):
            assert set(json.loads(json.dumps(explain(*pair, POLICIES[0])))) == {"gold", "prediction", "rests_on"}
