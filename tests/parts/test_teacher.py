"""A teacher: another model, whose log-probs of the policy's own samples are what the policy learns from."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny import words

from unified_rl import planning
from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config


def metrics(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A teacher that the rule reward made of the start policy, and a student that follows it without a reward."""
    folder = tmp_path_factory.mktemp("taught")
    given = words("online_rft", folder / "teacher", folder / "artifacts", "trainer.learning_rate=0.003", "trainer.steps=10")
    assert main(["train", *given]) == 0
    (teacher,) = (folder / "teacher" / "checkpoints").glob("step_*10/policy")
    given = words("opd", folder / "student", folder / "artifacts", f"teacher={teacher}", "trainer.learning_rate=0.003")
    assert main(["train", *given, "trainer.steps=10"]) == 0
    return folder, teacher


def test_the_student_comes_nearer_to_the_teacher(taught):
    """The coefficient is log pi_T - log pi on the policy's own samples, so minus its mean estimates KL(pi || pi_T)."""
    folder, _ = taught
    distance = [-entry["coef/distillation/mean"] for entry in metrics(folder / "student")]
    assert sum(distance[:3]) > 0
    assert sum(distance[-3:]) < 0.5 * sum(distance[:3])


def test_the_teacher_is_recorded_and_its_run_resumes_bit_for_bit(taught, tmp_path):
    folder, teacher = taught
    assert "teacher" in (folder / "student" / "provenance.json").read_text()
    given = words("opd", tmp_path / "part", folder / "artifacts", f"teacher={teacher}", "trainer.learning_rate=0.003")
    assert main(["train", *given, "trainer.steps=4"]) == 0
    assert main(["train", *given, "trainer.steps=10", "resume=true"]) == 0
    assert metrics(tmp_path / "part") == metrics(folder / "student")


def test_it_is_explained_and_planned():
    config = load_config(["method=opd", "teacher=models/large"])
    assert "models/large" in explain.render(explain.facts(config))
    parts = planning.plan(config)["memory"]["parts"]
    assert [part["part"] for part in parts if "teacher" in part["part"]] == ["teacher: weights"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["method=opd"], "needs a teacher, whose weights are not the policy's own; set teacher=DIR"),
        (["method=grpo", "teacher=models/large"], "has no use for a teacher"),
        (["method=opd", "teacher=models/large", "source=demonstrations"], "holds somebody else's; set"),
        (["method=opd", "teacher=models/large", "source=tree_search"], "nobody knows how likely"),
        (["method=opd", "teacher=models/large", "rollout.epochs=2"], "no importance weight"),
    ],
)
def test_what_means_nothing_is_refused(given, says):
    with pytest.raises(ConfigError, match=says):
        load_config(given)


def test_another_vocabulary_is_refused_before_anything_is_learnt(taught, tmp_path, capsys):
    folder, teacher = taught
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert main(["train", *words("opd", tmp_path / "run", folder / "artifacts", f"teacher={other}")]) == 2
    assert "another vocabulary than the policy" in capsys.readouterr().err
