"""What CONTRIBUTING promises: a coefficient, an objective, a method row, a reward and a task from files outside the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny import words

from unified_rl.cli import main

CONTRIBUTING = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def snippet(word: str) -> str:
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.S) if word in code]
    return found


def trains(run_dir: Path, artifacts: Path, *more: str, method: str = "grpo") -> dict:
    assert main(["train", *words(method, run_dir, artifacts, "trainer.steps=2", *more)]) == 0
    return json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])


def test_the_coefficient_of_contributing(tmp_path, artifacts):
    path = tmp_path / "my_coefficient.py"
    path.write_text(snippet("PositiveOnly"))
    assert len(path.read_text().splitlines()) < 30
    metrics = trains(tmp_path / "run", artifacts, f"coefficient={path}:PositiveOnly", "coefficient.scale=2", "label=Mine")
    assert metrics["coef/advantage/mean"] == metrics["coef/advantage/abs_mean"] >= 0
    assert main(["explain", f"coefficient={path}:PositiveOnly"]) == 0


def test_a_run_is_not_resumed_with_other_code(tmp_path, artifacts, capsys):
    path = tmp_path / "my_coefficient.py"
    path.write_text(snippet("PositiveOnly"))
    line = words("grpo", tmp_path / "run", artifacts, f"coefficient={path}:PositiveOnly")
    assert main(["train", *line, "trainer.steps=1"]) == 0
    path.write_text(snippet("PositiveOnly") + "\n# another\n")
    assert main(["train", *line, "trainer.steps=2", "resume=true"]) == 2
    assert "code of coefficient changed since it began" in capsys.readouterr().err
    path.write_text(snippet("PositiveOnly"))
    assert main(["train", *line, "trainer.steps=2", "resume=true"]) == 0


def test_the_objective_of_contributing(tmp_path, artifacts):
    (tmp_path / "loss.py").write_text(snippet("MyLoss"))
    metrics = trains(tmp_path / "run", artifacts, f"coefficient={tmp_path / 'loss.py'}:MyLoss")
    assert "coef/objective/abs_mean" in metrics


def test_unknown_option_of_a_users_coefficient(tmp_path, artifacts, capsys):
    (tmp_path / "mine.py").write_text(snippet("PositiveOnly"))
    assert (
        main(
            [
                "train",
                *words(
                    "grpo", tmp_path / "r", artifacts, f"coefficient={tmp_path / 'mine.py'}:PositiveOnly", "coefficient.scal=1"
                ),
            ]
        )
        == 2
    )
    assert "did you mean coefficient.scale" in capsys.readouterr().err


def test_a_method_row_from_a_file(tmp_path, artifacts):
    (tmp_path / "row.py").write_text(
        "from unified_rl.methods import Method\n"
        "OFFLINE_GRPO = Method('offline_samples', 'rule', 'outcome', 'grpo', 'Offline GRPO')\n"
    )
    trains(tmp_path / "run", artifacts, method=f"{tmp_path / 'row.py'}:OFFLINE_GRPO")
    assert "Offline GRPO" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_reward_from_a_file(tmp_path, artifacts):
    (tmp_path / "reward.py").write_text(
        "from unified_rl.base.types import Score\n"
        "class Short:\n"
        "    def score(self, prompts, responses):\n"
        "        return [[Score(-len(r) / 10, 'incorrect', None, None) for r in group] for group in responses]\n"
        "def make(task, tokenizer):\n"
        "    return Short()\n"
    )
    metrics = trains(tmp_path / "run", artifacts, f"reward.source={tmp_path / 'reward.py'}:make")
    assert metrics["reward/mean"] == pytest.approx(-metrics["response/length"] / 10)


def test_a_task_from_a_file(tmp_path, artifacts):
    (tmp_path / "task.py").write_text(
        "from unified_rl.base.types import AnswerCheck, Demonstration, Problem\n"
        "class Echo:\n"
        "    name, slices = 'echo', ('main',)\n"
        "    def problems(self, split, count=None, slice=None):\n"
        "        start = {'train': 0, 'validation': 5000, 'test': 9000}[split]\n"
        "        return [Problem(f'{split}/{i}', str(start + i), str(start + i)) for i in range(count or 100)]\n"
        "    def demonstrations(self, count=None):\n"
        "        return [Demonstration(p, p.gold) for p in self.problems('train', count)]\n"
        "    def check_answer(self, problem, text):\n"
        "        right = text.strip() == problem.gold\n"
        "        return AnswerCheck('correct' if right else 'incorrect', text.strip(), text.strip())\n"
        "    def check_steps(self, problem, text):\n"
        "        return []\n"
    )
    task = (f"task={tmp_path / 'task.py'}:Echo", "task.template=echo {question} =", "model.vocabulary=300")
    metrics = trains(tmp_path / "run", artifacts, *task)
    assert metrics["groups/count"] == 4
    assert main(["evaluate", f"run={tmp_path / 'run'}"]) == 0
