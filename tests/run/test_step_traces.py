"""CoT-Pass@K of a run's own samples, by the exact step checker; the command `traces` on files and on runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Response, Score
from unified_rl.cli import main
from unified_rl.records.reading import read_samples
from unified_rl.stages.soundness import judge_of, sound
from unified_rl.stages.step_traces import step_traces
from unified_rl.statistics.pass_at_k import pass_at_k
from unified_rl.statistics.table_files import read_table
from unified_rl.tasks import build_task


def test_a_right_answer_by_a_wrong_step_is_not_sound():
    task = build_task("arithmetic")
    shown = [one for one in task.demonstrations(40) if one.clean and len(one.solution.splitlines()) > 2]
    assert len(shown) > 10
    for one in shown:
        assert sound(task, one.problem, one.solution)
        steps = task.check_steps(one.problem, one.solution)
        first = one.solution[: steps[0].end_char]
        digits = [place for place, char in enumerate(first) if char.isdigit()]
        wrong = first[: digits[-1]] + str((int(first[digits[-1]]) + 1) % 10) + first[digits[-1] + 1 :]
        text = wrong + one.solution[steps[0].end_char :]
        assert task.check_answer(one.problem, text).verdict == "correct"
        assert not sound(task, one.problem, text)
        right, cut = judged(task, one.problem, one.solution), judged(task, one.problem, one.solution, finish="length")
        assert (right, judged(task, one.problem, text), cut) == (True, False, False)
        lines = one.solution.splitlines(keepends=True)
        for skipped in (lines[-1], "".join([*lines[:-2], lines[-1]])):  # the answer alone, and all but the last step
            assert all(check.correct for check in task.check_steps(one.problem, skipped))
            assert not sound(task, one.problem, skipped), "a step that is left out is not right"
    assert not sound(task, shown[0].problem, "")


def judged(task, problem, text, finish="stop"):
    """What an evaluation stores of a response."""
    response = Response(np.array([1]), np.array([0.0], dtype=np.float32), finish, -1, None, 0, text)
    return judge_of(task, problem)(problem, response, Score(1.0, task.check_answer(problem, text).verdict, None, None))


def test_a_task_without_a_step_checker_says_nothing():
    task = build_task("arithmetic")

    def refuses(problem, text):
        raise ConfigError("no exact checker")

    task.check_steps = refuses
    assert judge_of(task, task.problems("test", 1)[0]) is None


def test_a_runs_own_samples(tmp_path, capsys):
    world = ["task=arithmetic", "task.template=arithmetic", "sft.demonstrations=200", "data.prompts=16", "trainer.steps=0"]
    run = tmp_path / "run"
    assert main(["train", *words("sft", run, tmp_path / "artifacts", *world)]) == 0
    assert main(["evaluate", f"run={run}", "problems=3", "samples=4"]) == 0
    found = step_traces(run, "test")
    assert {name: len(records) for name, records in found.items()} == {"main": 12, "hard": 12}
    stored = read_samples(run / "evaluations" / "test", {}).to_pylist()
    drawn = [row["sound"] for row in stored if row["mode"] == "sample"]
    assert drawn == [one["correct"] and one["steps"] for name in ("main", "hard") for one in found[name]]
    capsys.readouterr()
    assert main(["traces", f"run={run}", f"out={tmp_path / 'out'}"]) == 0
    assert capsys.readouterr().out.count("CoT-Pass@K") == 2
    table, _ = read_table(tmp_path / "out" / "traces.csv")
    wide = table.pivot_table(index=["slice", "k"], columns="metric", values="estimate")
    assert (wide["cot_pass"] <= wide["pass"]).all()
    assert main(["traces", str(tmp_path / "out" / "samples_main.jsonl"), "steps=steps"]) == 0
    assert main(["traces", f"run={run}", "name=never"]) == 2
    assert main(["traces"]) == 2


def test_a_file_of_known_truth(tmp_path, capsys):
    """Two of four samples right, one of them by right steps: CoT-Pass@2 is 1 - C(3, 2) / C(4, 2)."""
    path = tmp_path / "samples.jsonl"
    record = {"idx": 0, "pred": ["7", "7", "1", None], "ok": [True, True, False, False], "sound": [True, False, True, False]}
    path.write_text(json.dumps(record) + "\n" + json.dumps(record | {"idx": 1}) + "\n")
    line = ["traces", str(path), "problem=idx", "answer=pred", "correct=ok", "steps=sound", f"out={tmp_path}"]
    assert main(line) == 0
    table, _ = read_table(tmp_path / "traces.csv")
    found = table.set_index(["metric", "k"])["estimate"]
    assert found["cot_pass", 2] == pytest.approx(1 - 3 / 6) and found["pass", 2] == pytest.approx(float(pass_at_k(4, 2, 2)))
    assert "CoT-Pass@K" in capsys.readouterr().out
