"""Rewards from checking, on the tiny world and its real tokenizer."""

from __future__ import annotations

import numpy as np
import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, Response
from unified_rl.rewards import ExactProcessReward, NoReward, OutcomeReward, OverlongPenalty, StepLocator
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.templates import encode
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer


@pytest.fixture(scope="module")
def world():
    task = Arithmetic()
    tokenizer = word_tokenizer(task.corpus())
    problem = task.problems("train", 1)[0]
    return task, tokenizer, encode(problem, tokenizer, "arithmetic")


def respond(tokenizer, text, finish="stop"):
    ids = [*tokenizer.encode(text, add_special_tokens=False), *([tokenizer.eos_token_id] if finish == "stop" else [])]
    return Response(
        np.array(ids), np.zeros(len(ids), np.float32), finish, 0, Decoding(), 0, tokenizer.decode(ids, skip_special_tokens=True)
    )


def score(reward, prompt, response):
    return reward.score([prompt], [[response]])[0][0]


def test_outcome_reward(world):
    task, tokenizer, prompt = world
    reward = OutcomeReward(task, correct=1.0, incorrect=-1.0)
    right = task.solution(prompt.problem)
    assert score(reward, prompt, respond(tokenizer, right)).reward == 1.0
    wrong = score(reward, prompt, respond(tokenizer, right.rsplit("#### ", 1)[0] + "#### 123456"))
    assert (wrong.reward, wrong.verdict, wrong.answer) == (-1.0, "incorrect", "123456")
    assert score(reward, prompt, respond(tokenizer, "Tom")).verdict == "unparsable"


def test_truncated_response_is_never_correct(world):
    task, tokenizer, prompt = world
    response = respond(tokenizer, task.solution(prompt.problem), finish="length")
    assert score(OutcomeReward(task), prompt, response).verdict == "incorrect"
    steps = score(ExactProcessReward(task, tokenizer), prompt, response).step_rewards
    assert steps[-1] == 0
    assert (steps[:-1] == 1).all()


def test_process_reward_of_a_right_solution(world):
    task, tokenizer, prompt = world
    text = task.solution(prompt.problem)
    response = respond(tokenizer, text)
    found = score(ExactProcessReward(task, tokenizer), prompt, response)
    assert (found.step_rewards == 1).all()
    assert len(found.step_rewards) == len(text.strip().splitlines())
    assert found.step_ends[-1] == len(response) - 1, "the last step ends at the response's last token, the EOS"
    assert (np.diff(found.step_ends) > 0).all()
    for end, line in zip(found.step_ends[:-1], text.splitlines(), strict=False):
        assert tokenizer.decode(response.token_ids[: end + 1].tolist()).rstrip("\n").endswith(line)


def test_process_reward_of_a_solution_that_goes_wrong(world):
    task, tokenizer, prompt = world
    lines = task.solution(prompt.problem).splitlines()
    lines[0] = lines[0].split("=")[0] + "=0"
    found = score(
        ExactProcessReward(task, tokenizer, correct=1.0, incorrect=-1.0), prompt, respond(tokenizer, "\n".join(lines))
    )
    assert found.step_rewards[0] == -1.0
    assert found.step_rewards[-1] == 1.0, "the answer line is judged by itself"


def test_response_without_steps_is_one_step(world):
    task, tokenizer, prompt = world
    empty = Response(np.array([tokenizer.eos_token_id]), np.zeros(1, np.float32), "stop", 0, Decoding(), 0, "")
    found = score(ExactProcessReward(task, tokenizer), prompt, empty)
    assert found.step_rewards.tolist() == [0.0]
    assert found.step_ends.tolist() == [0]


def test_step_locator_with_tokens_that_hold_parts_of_characters():
    tokenizer = train_tokenizer(["plain text"], vocab_size=300)
    text = "α+β\n再算\n7"
    ids = tokenizer.encode(text, add_special_tokens=False)
    response = Response(np.array(ids), np.zeros(len(ids), np.float32), "stop", 0, Decoding(), 0, text)
    tokens, kept = StepLocator(tokenizer).end_tokens(response, [4, 7, 8])
    assert kept == [0, 1, 2]
    for token, end in zip(tokens, (4, 7, 8), strict=True):
        assert tokenizer.decode(ids[: token + 1]) == text[:end]


def test_steps_that_end_in_the_same_token_are_merged():
    class Whole:
        def decode(self, ids, skip_special_tokens=True):
            return "a\nb\n" * len(ids)

    response = Response(np.array([5, 5]), np.zeros(2, np.float32), "stop", 0, Decoding(), 0, "a\nb\na\nb\n")
    tokens, kept = StepLocator(Whole()).end_tokens(response, [2, 4, 6, 8])
    assert tokens.tolist() == [0, 1]
    assert kept == [1, 3]


def test_overlong_penalty(world):
    task, tokenizer, prompt = world
    reward = OverlongPenalty(NoReward(task), max_tokens=20, margin=8)
    # Eq. 13 of DAPO: 0 up to 12 tokens, then linear, -1 at 20
    assert [reward.penalty(length) for length in (5, 12, 16, 20)] == [0.0, 0.0, -0.5, -1.0]
    long = respond(tokenizer, "1" * 15)
    assert score(reward, prompt, long).reward == reward.penalty(16)
    with pytest.raises(ConfigError, match=r"reward\.overlong"):
        OverlongPenalty(NoReward(task), max_tokens=4, margin=8)


def test_no_reward_still_grades(world):
    task, tokenizer, prompt = world
    found = score(NoReward(task), prompt, respond(tokenizer, task.solution(prompt.problem)))
    assert (found.reward, found.verdict) == (0.0, "correct")
