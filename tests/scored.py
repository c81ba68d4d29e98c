"""Prompts of the arithmetic world, responses that nobody sampled, and a reward that gives everything the same score."""

from __future__ import annotations

import numpy as np

from unified_rl.base.types import Response, Score
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.templates import encode
from unified_rl.tasks.tokenizers import word_tokenizer

TASK = Arithmetic()
WORDS = word_tokenizer(TASK.corpus())
PROMPTS = [encode(problem, WORDS, "arithmetic") for problem in TASK.problems("train", 400)]


def respond(text, finish="stop"):
    ids = [*WORDS.encode(text, add_special_tokens=False), WORDS.eos_token_id]
    return Response(np.array(ids), np.zeros(len(ids), np.float32), finish, 0, None, 0, text)


class Given:
    """The same score for everything."""

    def __init__(self, reward, verdict="incorrect", steps=None, ends=None, accepted=None):
        steps, ends = (None if value is None else np.array(value) for value in (steps, ends))
        self.found = Score(reward, verdict, "1", "1", steps, ends, accepted)

    def score(self, prompts, responses):
        return [[self.found for _ in group] for group in responses]


def only(reward):
    return reward.score(PROMPTS[:1], [[respond("1")]])[0][0]
