"""Rewards, tasks, coefficients and data of one's own that are not what they should be: one line that says where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import COIN, words

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.cli import main
from unified_rl.tasks import build_task
from unified_rl.tasks.checked import checked

REWARD = """
import numpy as np
import torch
from unified_rl.base.types import Score
calls = 0
class Mine:
    def score(self, prompts, responses):
        global calls
        calls += 1
        return {value}
def one(reward=0.5, verdict='incorrect', rewards=None, ends=None, **more):
    return Score(reward, verdict, None, None, rewards, ends, **more)
def each(responses, make):
    return [[make(r) for r in group] for group in responses]
def make(task, tokenizer):
    return Mine()
"""

SCORES = {
    "None": ("None", "score() gave None"),
    "[None for p in prompts]": ("[None for p in prompts]", "score() gave None"),
    "too few": ("each(responses, lambda r: one())[:-1]", "1 items for 2 prompts"),
    "too many": ("[g * 2 for g in each(responses, lambda r: one())]", "2 items for 1 responses"),
    "flat": ("[one() for g in responses for r in g]", "return one Score for each"),
    "numbers": ("each(responses, lambda r: 1.0)", "return a unified_rl.base.types.Score"),
    "none": ("each(responses, lambda r: one(None))", "reward is None"),
    "text": ("each(responses, lambda r: one('1.0'))", "reward is '1.0' (str)"),
    "bool": ("each(responses, lambda r: one(True))", "reward is True"),
    "nan": ("each(responses, lambda r: one(float('nan')))", "reward is nan"),
    "infinity": ("each(responses, lambda r: one(np.float32('-inf')))", "reward is -inf"),
    "tensor": ("each(responses, lambda r: one(torch.tensor(1.0)))", "of a tensor, its .item()"),
    "array": ("each(responses, lambda r: one(np.zeros(2)))", "reward is array([0., 0.])"),
    "verdict": ("each(responses, lambda r: one(1.0, 'right'))", "verdict is 'right'"),
    "answer": ("each(responses, lambda r: Score(1.0, 'correct', 3, None))", "answer is 3 (int)"),
    "accepted": ("each(responses, lambda r: one(accepted=0.7))", "accepted is 0.7"),
    "only ends": ("each(responses, lambda r: one(ends=np.array([0])))", "None for both"),
    "lists": ("each(responses, lambda r: one(rewards=[1.0], ends=[0]))", "two NumPy arrays"),
    "shapes": ("each(responses, lambda r: one(rewards=np.ones(2), ends=np.array([0])))", "one number and one end"),
    "order": ("each(responses, lambda r: one(rewards=np.ones(2), ends=np.array([1, 0])))", "must ascend"),
    "outside": ("each(responses, lambda r: one(rewards=np.ones(1), ends=np.array([len(r)])))", "must ascend within"),
    "step nan": (
        "each(responses, lambda r: one(rewards=np.array([np.nan]), ends=np.array([0])))",
        "step_rewards[0] is not finite",
    ),
    "floats": ("each(responses, lambda r: one(rewards=np.ones(1), ends=np.zeros(1)))", "give int64"),
    "raises": ("1 / 0", "ZeroDivisionError"),
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def refusal(capsys, *line: str) -> str:
    assert main(list(line)) == 2
    said = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize("name", SCORES)
def test_rewards_are_tried_before_anything_is_trained(tmp_path, artifacts, capsys, name):
    value, said = SCORES[name]
    path = tmp_path / "reward.py"
    path.write_text(REWARD.replace("{value}", value))
    line = words("grpo", tmp_path / "run", artifacts, f"reward.source={path}:make")
    message = refusal(capsys, "train", *line)
    assert said in message and f"reward.source={path}:make" in message
    assert not (tmp_path / "run").exists() and not (artifacts / "sft").exists()


def test_a_reward_that_goes_wrong_later_names_the_prompt(tmp_path, capsys):
    path = tmp_path / "reward.py"
    value = "each(responses, lambda r: one(float('nan') if calls > 3 else 0.5 + len(r.text) % 2))"
    path.write_text(REWARD.replace("{value}", value))
    line = words("grpo", tmp_path / "run", tmp_path / "a", f"reward.source={path}:make", "logging.checkpoint_every=1")
    message = refusal(capsys, "train", *line)
    assert "reward is nan" in message and "prompt 'coin/" in message


# ---- tasks


def with_method(tmp_path: Path, body: str) -> str:
    path = tmp_path / "task.py"
    path.write_text(COIN.read_text() + f"\n\nclass Mine(Coin):\n{body}\n")
    return f"{path}:Mine"


TASKS = {
    "no check": ("    def check_answer(self, problem, text):\n        return None", "check_answer() of problem"),
    "a word": ("    def check_answer(self, problem, text):\n        return 'correct'", "return an AnswerCheck"),
    "a verdict": ("    def check_answer(self, p, t):\n        return AnswerCheck('wrong', None, None)", "the verdict 'wrong'"),
    "an answer": ("    def check_answer(self, p, t):\n        return AnswerCheck('correct', 3, '3')", "no text"),
    "too few": (
        "    def check_answers(self, pairs):\n        return [self.check_answer(*p) for p in pairs][1:]",
        "check_answers() gave",
    ),
    "nothing": ("    def check_answers(self, pairs):\n        return None", "check_answers() gave None"),
    "shifted": (
        "    def check_answers(self, pairs):\n        found = [self.check_answer(*p) for p in pairs]\n"
        "        return [*found[1:], AnswerCheck('unparsable', None, None)]",
        "and check_answer() says",
    ),
    "an integer gold": (
        "    def problems(self, *a, **k):\n        return [Problem(p.id, p.question, 7) for p in super().problems(*a, **k)]",
        "gold of 'coin/0' is 7 (int)",
    ),
    "one id": (
        "    def problems(self, *a, **k):\n        return [Problem('same', p.question, p.gold) for p in super().problems(*a, **k)]",
        "id 'same' ",
    ),
    "half a character": (
        "    def problems(self, *a, **k):\n        return [Problem(p.id, '\\ud800', p.gold) for p in super().problems(*a, **k)]",
        "lone surrogate",
    ),
    "eos": (
        "    def demonstrations(self, count=None):\n"
        "        return [Demonstration(d.problem, 'H<eos>T') for d in super().demonstrations(count)]",
        "holds the text of a special token",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_of_ones_own(tmp_path, capsys, name):
    body, said = TASKS[name]
    line = words("grpo", tmp_path / "run", tmp_path / "a", f"task={with_method(tmp_path, body)}", "sft.steps=2")
    assert said in refusal(capsys, "train", *line)


def test_a_good_batch_grader_passes():
    from coin_task import Coin

    class Batched(Coin):
        def check_answers(self, pairs):
            return (self.check_answer(*pair) for pair in pairs)

    task = checked(Batched())
    problem = task.problems("train", 1)[0]
    pairs = [(problem, "H"), (problem, ""), (problem, "T")]
    assert [check.verdict for check in task.check_answers(pairs)] == ["correct", "unparsable", "incorrect"]
    assert task.check_answers([]) == [] and task.corpus()


# ---- coefficients


COEFFICIENT = """
from dataclasses import dataclass, replace
from unified_rl.coefficients import Coefficient, Inputs, Terms, term
@dataclass
class Mine(Coefficient):
    name: str = "mine"
    needs = frozenset({"groups"})
    def terms(self, logp_BT, inputs):
        return {"advantage": term(a=inputs.rewards_B[:, None].expand_as(logp_BT))}
"""
CHANGES = {
    "misspelt": ('{"groups"}', '{"group"}', "did you mean 'groups'"),
    "a word": ('frozenset({"groups"})', '"groups"', "must be a frozenset"),
    "no dataclass": (
        "@dataclass\nclass Mine(Coefficient):\n",
        "class Mine(Coefficient):\n    scale: float = 1.0\n",
        "write @dataclass",
    ),
    "no terms method": ("def terms", "def term_s", "has no terms"),
    "unit": ("    needs =", "    unit = 'tokens'\n    needs =", "unit is 'tokens'"),
    "nothing": ("return {", "return {} and {", "gave no terms"),
    "a tensor": ("return {", "return logp_BT\n        return {", "gave Tensor"),
    "bare": ("term(a=", "(", "as a Tensor"),
    "sequences": ("inputs.rewards_B[:, None].expand_as(logp_BT)", "inputs.rewards_B", "give a tensor that broadcasts"),
    "larger": (".expand_as(logp_BT)", "[None].repeat(2, 1, 1)", "give a tensor that broadcasts"),
    "number": ("a=inputs.rewards_B[:, None].expand_as(logp_BT)", "a=1.0", "is float"),
    "prepare": ("    def terms", "    def prepare(self, inputs):\n        pass\n    def terms", "prepare() gave a NoneType"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_coefficients_of_ones_own(tmp_path, artifacts, capsys, name):
    before, after, said = CHANGES[name]
    assert before in COEFFICIENT
    path = tmp_path / "mine.py"
    path.write_text(COEFFICIENT.replace(before, after))
    line = words("grpo", tmp_path / "run", artifacts, f"coefficient={path}:Mine", "sft.steps=2")
    message = refusal(capsys, "train", *line)
    assert said in message and "mine" in message.lower()


def test_a_loss_that_is_not_finite_says_what_is_not(tmp_path, artifacts, capsys):
    path = tmp_path / "mine.py"
    path.write_text(COEFFICIENT.replace("term(a=", "term(a=float('nan') * "))
    line = words("grpo", tmp_path / "run", artifacts, f"coefficient={path}:Mine", "sft.steps=2")
    message = refusal(capsys, "train", *line)
    assert "'advantage' of the coefficient is not finite" in message and "no checkpoint yet" in message
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"


# ---- data


def table(path: Path, **more) -> object:
    return build_task("table", path=path, question="q", gold="a", **more)


def test_marks_of_byte_order_and_integer_answers_are_read(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"q": "two?", "a": 2}\n{"q": "three?", "a": 3.0}\n')
    assert [problem.gold for problem in table(path, validation_fraction=0.0).problems("train")] == ["2", "3"]
    path.write_bytes(b'\xef\xbb\xbf{"question": "two?", "answer": 2, "solution": "1 + 1"}\n')
    assert build_task("gsm8k", path=path, validation_fraction=0.0).problems("train")[0].gold == "2"


def test_all_problems_of_a_file_in_one_message(tmp_path):
    path = tmp_path / "test.jsonl"
    bad = ['{"q": "x"}', '{"q": "\\ud800", "a": "1"}', "{", "[1]", '{"q": 7, "a": "1"}', '{"q": "x", "a": "none of these"}']
    path.write_text("\n".join(['{"q": "good", "a": "1"}', *bad, '{"q": "good", "a": "2"}']) + "\n")
    with pytest.raises(DataError) as error:
        table(path, gold_form="number").problems("test")
    for number in range(2, 8):
        assert f"line {number}:" in str(error.value)
    assert "\n" not in str(error.value) and "line 1:" not in str(error.value)
    path.write_text("{\n" * 500)
    with pytest.raises(DataError, match="and 490 more"):
        table(path).problems("test")
    path.write_text(
        "".join(f'{{"question": "q", "answer": "1", "solution": "s", "id": {number // 2}}}\n' for number in range(6))
    )
    with pytest.raises(DataError, match="'0', '1', '2'"):
        build_task("gsm8k", path=path).problems("test")
    with pytest.raises(DataError, match="table/0"):
        build_task("table", path=path, question="question", gold="answer", id="id").problems("test")


LONG = """
    def problems(self, split, count=None, slice=None):
        found = super().problems(split, count, slice)
        return [Problem(p.id, p.question * (300 if p.id.endswith("3") else 1), p.gold) for p in found]
"""


def test_prompts_that_do_not_fit_are_named_or_dropped(tmp_path, capsys):
    line = words("grpo", tmp_path / "run", tmp_path / "a", f"task={with_method(tmp_path, LONG)}", "sft.steps=2", "init=base")
    message = refusal(capsys, "train", *line)
    assert "'coin/3'" in message and "'coin/13'" in message and "data.too_long=drop" in message and "context" in message
    assert not (tmp_path / "run").exists()
    assert main(["train", *line, "data.too_long=drop", "trainer.steps=1"]) == 0
    assert "left out (data.too_long=drop)" in capsys.readouterr().err


def test_one_word_of_a_million_characters(tmp_path, capsys):
    body = LONG.replace("p.question * (300", "'t' * (1_000_000")
    line = words("grpo", tmp_path / "run", tmp_path / "a", f"task={with_method(tmp_path, body)}", "sft.steps=2", "init=base")
    message = refusal(capsys, "train", *line)
    assert "'coin/3'" in message and len(message) < 1000


def test_a_class_that_is_no_coefficient_is_still_said_so(tmp_path):
    from unified_rl.presets.loading import load_config

    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    pass\n")
    with pytest.raises(ConfigError, match="must name a dataclass that inherits"):
        load_config([f"coefficient={path}:Mine"])
