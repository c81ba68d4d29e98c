"""Settings that nobody means, and refused starts: one line each, nothing begun, nothing left behind."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from tiny import environment, words

from unified_rl.cli import main

STRANGE = [
    "threads=5000",
    "threads=1000000",
    "trainer.learning_rate=inf",
    "trainer.learning_rate=nan",
    "trainer.weight_decay=inf",
    "reward.correct=nan",
    "reward.incorrect=-inf",
    "coefficient.kl_coef=inf",
    "generator.temperature=inf",
    "rollout.prompts_per_step=1e12",
    "rollout.prompts_per_step=1000000000000",
    "rollout.responses_per_prompt=10000000000",
    "data.prompts=1000000000000",
    "trainer.steps=1000000000000000",
    "generator.max_new_tokens=1000000000000",
    "seed=99999999999999999999",
    "losses.entropy_bonus=nan",
]


@pytest.mark.parametrize("word", STRANGE)
def test_one_line_and_nothing_left(tmp_path, capsys, word):
    assert main(["train", *words("grpo", tmp_path / "run", tmp_path / "artifacts", word)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and word.partition("=")[0] in line and len(line) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_no_disk_holds(tmp_path, capsys, length):
    assert main(["train", *words("grpo", tmp_path / ("x" * length), tmp_path / "artifacts")]) == 2
    assert "File name too long" in capsys.readouterr().err.splitlines()[-1]
    for command in ("show", "evaluate", "tables"):
        word = f"run={'x' * length}" if command == "evaluate" else "x" * length
        assert main([command, word]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")


@pytest.mark.parametrize("word", ["samples=99999999999", "temperature=nan", "threads=5000", "top_p=inf"])
def test_evaluations_too(tmp_path, capsys, word, request):
    run = tmp_path / "run"
    assert main(["train", *words("grpo", run, tmp_path / "artifacts", "sft.steps=2", "trainer.steps=0")]) == 0
    capsys.readouterr()
    assert main(["evaluate", f"run={run}", word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word.partition("=")[0] in line
    assert not list((run / "evaluations").glob("[!.]*"))


def test_a_refused_start_leaves_nothing_and_the_mended_command_begins(tmp_path, capsys):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    line = words("grpo", tmp_path / "new" / "run", tmp_path / "artifacts", "init=base")
    assert main(["train", *line, f"model.path={tmp_path / 'model'}"]) == 2
    assert "model" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()  # a folder that was there, though empty, stays
    mine = words("grpo", tmp_path / "mine", tmp_path / "artifacts", "init=base")
    assert main(["train", *mine, f"model.path={tmp_path / 'model'}"]) == 2
    assert list((tmp_path / "mine").iterdir()) == []
    capsys.readouterr()
    assert main(["train", *mine, "trainer.steps=1"]) == 0


# ---- how commands end, and what they tell one to type


def started(*line: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "unified_rl.cli", *line]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs begin with it ignored
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True, preexec_fn=heard)


def ended(process: subprocess.Popen[str], how: signal.Signals, when) -> tuple[int, str]:
    """The exit status and last line of a command that was sent a signal as soon as `when()` held."""
    while not when():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(how)
    _, said = process.communicate(timeout=100)
    assert "Traceback" not in said
    return process.returncode, said.splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_a_run_and_an_evaluation_say_how_to_go_on(tmp_path, how, capsys):
    run = tmp_path / "a run; really"
    line = words("grpo", run, tmp_path / "artifacts", "trainer.steps=400", "logging.checkpoint_every=1", "sft.steps=2")
    status, said = ended(started("train", *line), how, lambda: list(run.glob("checkpoints/step_*")))
    assert status == 130 and said.startswith("interrupted; to go on: ")
    facts = json.loads((run / "status.json").read_text())
    assert facts["state"] == "interrupted" and 1 <= facts["step"] < 400
    command = shlex.split(said.partition("to go on: ")[2])
    assert command[:2] == ["unified-rl", "train"] and command[-1] == "resume=true"
    assert main([*command[1:], f"trainer.steps={facts['step'] + 1}"]) == 0
    said = capsys.readouterr().out
    following = shlex.split(said.partition("next: ")[2])
    assert following == ["unified-rl", "evaluate", f"run={run}"]

    more = ("samples=64", "problems=8", "responses_per_chunk=32")
    process = started(*following[1:], *more)
    status, said = ended(process, how, lambda: list(run.glob("evaluations/.test.tmp/*.parquet")))
    assert status == 130
    command = shlex.split(said.partition("to go on: ")[2])
    assert command == [*following, *more]
    before = sorted(run.glob("evaluations/.test.tmp/*.parquet"))
    assert before and main(command[1:]) == 0
    following = shlex.split(capsys.readouterr().out.partition("next: ")[2])
    assert following == ["unified-rl", "tables", str(run), "out=TABLES"]
    assert main([*following[1:-1], f"out={tmp_path / 'tables'}"]) == 0


def test_other_printed_commands_are_quoted(tmp_path, capsys):
    folder = tmp_path / "tables of $HOME; ls"
    assert main(["figures", f"tables={folder}", f"out={tmp_path}", "learning_curves"]) == 2
    assert shlex.quote(f"out={folder}") in capsys.readouterr().err
