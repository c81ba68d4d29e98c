"""Rewards that are plain functions of texts: one response at a time, in batches, of named parts; and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from coin_task import Coin

from unified_rl.base import plugins
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Prompt, Response
from unified_rl.rewards.checked import CheckedReward
from unified_rl.rewards.functions import FunctionReward, check_callable, is_function


def scores(function, *texts):
    problems = Coin().problems("train", len(texts))
    prompts = [Prompt(problem, (1,)) for problem in problems]
    responses = [
        [Response(np.arange(3), np.zeros(3, np.float32), "stop", 0, None, 0, text) for text in group] for group in texts
    ]
    check_callable(function, "reward.source=f")
    reward = CheckedReward(FunctionReward(Coin(), function, "reward.source=f"), "reward.source=f")
    return reward.score(prompts, responses)


def test_one_response_at_a_time_takes_what_it_names():
    def longer(response, answer, bonus=1):
        return len(response) + bonus + (answer == "H")

    found = scores(longer, ["H", "T\nT"], ["T"])
    assert [[one.reward for one in group] for group in found] == [[3, 5], [3]]
    assert [[one.verdict for one in group] for group in found] == [["correct", "incorrect"], ["incorrect"]]
    assert found[0][0].accepted is None


def test_a_batch_is_asked_once_and_in_order():
    asked = []

    def batched(prompts, responses, answers):
        asked.append((prompts, responses, answers))
        return np.arange(len(responses), dtype=float)

    assert [[one.reward for one in group] for group in scores(batched, ["H", "T"], ["H"])] == [[0, 1], [2]]
    assert asked == [(["toss 0", "toss 0", "toss 1"], ["H", "T", "H"], ["H"] * 3)]


def test_true_and_false_are_a_judgement_and_named_parts_are_summed():
    judged = scores(lambda response: response == "T", ["H", "T"])[0]
    assert [(one.reward, one.accepted, one.judged_correct) for one in judged] == [(0.0, False, False), (1.0, True, True)]
    named = scores(lambda response: {"form": 0.25, "right": True}, ["H"])[0][0]
    assert (named.reward, [(part.name, part.reward) for part in named.parts]) == (1.25, [("form", 0.25), ("right", 1.0)])


def test_what_a_function_does_wrong_is_one_line():
    def fails(response):
        raise KeyError("answer")

    for function, words in {
        fails: r"reward.source=f: it fails on the response 'H' to 'coin/0' \(KeyError: 'answer'\); mend it",
        (lambda responses: [1.0]): r"it gave 1 values for 2 responses; return a list",
        (lambda responses: 1.0): r"it gave 0 values for 2 responses",
        (lambda response: "good"): r"reward is 'good' \(str\); give a finite number",
        (lambda response: {"form": None}): r"part 'form' is None \(NoneType\); give a finite number",
        (lambda response: float("nan")): r"reward is nan",
    }.items():
        with pytest.raises(DataError, match=words):
            scores(function, ["H", "T"])


def test_what_is_neither_function_nor_factory_is_refused():
    assert is_function(lambda prompt, response: 0)
    assert not is_function(lambda task, tokenizer: None)
    check_callable(lambda task, tokenizer: None, "reward.source=f")
    for function, words in {
        (lambda q, r, a: 0): r"takes \(q, r, a\); a reward function takes of prompt, response, answer what it needs",
        (lambda response, length: 0): r"takes \(response, length\), of which 'length' is not known",
    }.items():
        with pytest.raises(ConfigError, match=words):
            check_callable(function, "reward.source=f")
    with pytest.raises(ConfigError, match="names a int, which cannot be called"):
        check_callable(3, "reward.source=f")


def mine(response):
    return 1.0


def test_a_function_of_this_process_goes_by_a_name():
    name = plugins.named(mine)
    assert name == f"{__file__}:mine"
    assert plugins.import_by_path(name, "reward.source") is mine is sys.modules[__name__].mine
    local = plugins.named(lambda response: 2.0)
    assert local.startswith("in_memory_")
    assert plugins.import_by_path(local, "reward.source")("") == 2.0
    with pytest.raises(ConfigError, match="in_memory_0:mine was given in Python by another process; give it again"):
        plugins.import_by_path("in_memory_0:mine", "reward.source")
