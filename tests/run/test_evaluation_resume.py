"""Evaluations, really killed (SIGKILL) between and within chunks, end with the file of one left alone; seeds name the samples."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest
from forked import Command
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.config.problems import DataConfig, TaskConfig
from unified_rl.config.records import EvaluationConfig
from unified_rl.records.reading import read_evaluation
from unified_rl.stages import solutions
from unified_rl.stages.evaluate import evaluate
from unified_rl.statistics.load import load_run

SETTINGS = (
    "problems=24",
    "samples=6",
    "responses_per_chunk=12",
    "max_new_tokens=16",
)  # 2 slices x (2 greedy + 12 sampled) chunks
CHUNKS = 28


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    assert main(["train", *words("grpo", folder / "run", folder / "artifacts", "trainer.steps=1")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def undisturbed(run_dir):
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, "name=undisturbed"]) == 0
    return run_dir / "evaluations" / "undisturbed"


def stored(run_dir: Path, name: str) -> dict[str, int]:
    """Whole chunks of an evaluation under way, with the times at which they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (run_dir / "evaluations" / f".{name}.tmp").glob("[0-9]*.parquet")}


def kill_when(run_dir: Path, name: str, condition) -> None:
    process = Command("evaluate", f"run={run_dir}", *SETTINGS, f"name={name}")
    deadline = time.monotonic() + 150
    while not condition():
        assert process.returncode is None, process.printed()
        assert time.monotonic() < deadline
        time.sleep(0.0002)
    process.kill()


def test_a_slice_has_the_same_responses_alone_as_beside_others(run_dir, undisturbed, capsys):
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, "name=alone", "slices=[hard]"]) == 0
    alone, both = (read_evaluation(run_dir / "evaluations" / name)[0] for name in ("alone", "undisturbed"))
    pd.testing.assert_frame_equal(alone, both[both["slice"] == "hard"].reset_index(drop=True))
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, "name=none", "slices=[harder]"]) == 2
    said = capsys.readouterr().err
    assert "evaluation.slices names 'harder', which task coin does not have; choose from: main, hard" in said
    with pytest.raises(ConfigError, match="names a slice twice"):
        EvaluationConfig(slices=["main", "main"])


@pytest.mark.long
def test_killed_midway_and_resumed(run_dir, undisturbed):
    torn = run_dir / "evaluations" / ".killed.tmp"
    kill_when(run_dir, "killed", lambda: len(stored(run_dir, "killed")) >= 3)
    first = stored(run_dir, "killed")
    assert 3 <= len(first) < CHUNKS, "killed midway"
    evaluations = load_run(run_dir).evaluations.set_index("evaluation")["state"]
    assert evaluations["killed"] == "unfinished"
    kill_when(run_dir, "killed", lambda: len(stored(run_dir, "killed")) > len(first))
    second = stored(run_dir, "killed")
    assert len(first) < len(second) < CHUNKS
    assert first.items() <= second.items(), "what was stored is not sampled again"
    (torn / "whole").mkdir()  # and what a kill leaves while the chunks are put together, and while one is written
    for leftover in ("whole/samples.parquet", f".{len(second):06d}.parquet.tmp"):
        (torn / leftover).write_bytes((undisturbed / "samples.parquet").read_bytes()[:1000])
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, "name=killed"]) == 0
    final = run_dir / "evaluations" / "killed"
    for name in ("samples.parquet", "meta.json"):
        assert (final / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert not torn.exists()
    samples = parquet.read_table(final / "samples.parquet").to_pandas()
    assert len(samples) == 2 * 24 * (1 + 6)
    assert not samples.duplicated(["problem_id", "slice", "mode", "sample_index"]).any()


@pytest.mark.parametrize("change", ["seed=1", "samples=5", "max_new_tokens=12"])
def test_other_settings_begin_again(run_dir, undisturbed, change):
    name = change.replace("=", "_")
    aside = run_dir / "evaluations" / f".{name}.tmp"
    shutil.copytree(undisturbed, aside)  # stands for chunks of other settings
    (aside / "samples.parquet").rename(aside / "000000.parquet")
    (aside / "plan.json").write_text(json.dumps({"evaluation": {"seed": 0}}))
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, change, f"name={name}"]) == 0
    samples = parquet.read_table(run_dir / "evaluations" / name / "samples.parquet").to_pandas()
    assert len(samples) == 2 * 24 * (1 + (5 if change == "samples=5" else 6))
    before = parquet.read_table(undisturbed / "samples.parquet").to_pandas()
    if change == "seed=1":
        kept = ["problem_id", "slice", "mode", "sample_index"]
        assert samples[kept].equals(before[kept])
        assert not samples["text"].equals(before["text"])
        assert not set(samples["seed"]) & (set(before["seed"]) - {0})


def test_the_same_seed_gives_the_same_samples_however_they_are_chunked(run_dir, undisturbed):
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, "responses_per_chunk=4096", "name=whole"]) == 0
    folders = (undisturbed, run_dir / "evaluations" / "whole")
    one, other = (parquet.read_table(folder / "samples.parquet").to_pandas() for folder in folders)
    pd.testing.assert_frame_equal(one, other)
    metas = [json.loads((folder / "meta.json").read_text()) for folder in folders]
    assert metas[0] == metas[1]
    assert metas[0]["problems"] == {"main": 24, "hard": 24}


def test_the_first_problems_may_have_more_samples(run_dir, undisturbed):
    more = ["samples=2", "coverage_problems=5", "coverage_samples=6", "name=uneven"]
    assert main(["evaluate", f"run={run_dir}", *SETTINGS, *more]) == 0
    samples, meta = read_evaluation(run_dir / "evaluations" / "uneven")
    assert len(samples) == 2 * (24 + 5 * 6 + 19 * 2) and (meta["coverage_problems"], meta["coverage_samples"]) == (5, 6)
    key = ["slice", "problem_id", "mode", "sample_index"]
    whole = read_evaluation(undisturbed)[0]
    both = samples.merge(whole, on=key, suffixes=("", "_whole"))
    assert len(both) == len(samples) and (both["text"] == both["text_whole"]).all(), "the samples are the same, fewer of them"
    counts = samples.query("mode == 'sample' and slice == 'main'").groupby("problem_id", sort=False).size()
    assert counts.tolist() == [6] * 5 + [2] * 19


def test_another_benchmark_than_the_one_trained_on(run_dir, tmp_path):
    """A checkpoint on problems of its own, in another format; what was asked is on record."""
    (tmp_path / "test.jsonl").write_text('{"q": "toss 7", "a": "H"}\n{"q": "toss 8", "a": "T"}\n')
    task = TaskConfig("table", "{question}:", stop=["\n"], options={"question": "q", "gold": "a", "grading_workers": 1})
    options = EvaluationConfig(problems=0, samples=3, max_new_tokens=16)
    folder = evaluate(run_dir, options, "quiz", task=task, data=DataConfig(str(tmp_path)))
    samples, meta = read_evaluation(folder)
    assert meta["task"] == "table"
    assert meta["task_settings"]["options"]["question"] == "q"
    assert meta["data"] == str(tmp_path)
    assert len(samples) == 2 * 4
    assert not samples["text"].str.contains("\n").any()
    assert set(samples.query("answer == gold")["verdict"]) <= {"correct"}


@pytest.mark.parametrize("solution", ["program_of_thought", "tool_integrated"])
def test_programs_in_a_real_sandbox(run_dir, tmp_path, solution, capfd):
    """This policy's programs are letters, which are no answers; that they are run is what is seen here."""
    from unified_rl.isolation.sandbox import Sandbox, SandboxError

    try:
        Sandbox(workers=1).close()
    except SandboxError as error:
        pytest.skip(f"this machine cannot contain programs: {error}")
    solutions.program_runner.cache_clear()  # what it protects is said when it is made
    (tmp_path / "test.jsonl").write_text('{"q": "toss 7", "a": "H"}\n')
    task = TaskConfig("table", "{question}:", solution, options={"question": "q", "gold": "a", "grading_workers": 1})
    options = EvaluationConfig(problems=1, samples=4, max_new_tokens=16)
    folder = evaluate(run_dir, options, solution, task=task, data=DataConfig(str(tmp_path)))
    samples, _ = read_evaluation(folder)
    if solution == "program_of_thought":
        assert set(samples["verdict"]) <= {"unparsable", "incorrect"}, "the letter H is a program that fails"
        assert "sandbox:" in capfd.readouterr().err
        solutions.program_runner(False).close()
    else:
        assert "correct" in set(samples["verdict"])
