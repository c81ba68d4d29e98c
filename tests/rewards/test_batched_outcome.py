"""The outcome reward asks a task that can grade many answers at once, once, and gives what it gives one by one."""

from __future__ import annotations

import numpy as np
import pytest

from unified_rl.base.types import AnswerCheck, Problem, Prompt, Response
from unified_rl.rewards import OutcomeReward


class OneByOne:
    def check_answer(self, problem, text):
        if not text:
            return AnswerCheck("unparsable", None, None)
        return AnswerCheck("correct" if text == problem.gold else "incorrect", text, text)


class Batched(OneByOne):
    def __init__(self):
        self.asked = []

    def check_answers(self, pairs):
        self.asked.append([(problem.id, text) for problem, text in pairs])
        return [self.check_answer(problem, text) for problem, text in pairs]


def response(text, finish="stop"):
    return Response(np.array([1]), np.array([0.0], np.float32), finish, 0, None, 0, text)


@pytest.mark.parametrize("values", [{}, {"correct": 2.0, "incorrect": -1.0}])
def test_batched_and_one_by_one_agree(values):
    prompts = [Prompt(Problem(name, "q", gold), (1,)) for name, gold in (("a", "4"), ("b", "5"), ("c", "6"))]
    responses = [[response("4"), response("4", "length"), response("")], [], [response("4"), response("6")]]
    task = Batched()
    scores = OutcomeReward(task, **values).score(prompts, responses)
    assert scores == OutcomeReward(OneByOne(), **values).score(prompts, responses)
    assert task.asked == [[("a", "4"), ("a", ""), ("c", "4"), ("c", "6")]], "once, without the truncated one"
    right, wrong = values.get("correct", 1.0), values.get("incorrect", 0.0)
    assert [[score.reward for score in group] for group in scores] == [[right, wrong, wrong], [], [wrong, right]]
    assert scores[0][1].verdict == "incorrect"
    assert scores[0][1].answer is None
