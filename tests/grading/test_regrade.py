"""Regrading a stored evaluation: verdicts and classes are made anew, samples are not."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tiny import words

from unified_rl.cli import main
from unified_rl.records.reading import read_evaluation, read_evaluation_meta, write_evaluation_meta
from unified_rl.stages.evaluate import COLUMNS
from unified_rl.stages.regrade import METADATA_KEY

TEXTS = {
    "p0": ("\\frac{1}{2}", ["The answer is 0.5", "\\boxed{\\frac12}", "#### 2", "no idea"]),
    "p1": ("x+1", ["\\boxed{1+x}", "\\boxed{x-1}", "\\boxed{-1+x}", "\\boxed{2}"]),
}


@pytest.fixture
def run_dir(tmp_path):
    """An evaluation whose stored verdicts are all wrong."""
    folder = tmp_path / "run" / "evaluations" / "test"
    folder.mkdir(parents=True)
    stale = {"answer": "?", "answer_class": "?", "gold_class": "??", "verdict": "incorrect"}
    fixed = {
        "slice": "main",
        "split": "test",
        "mode": "sample",
        "num_tokens": 3,
        "finish": "stop",
        "policy_version": 0,
    }
    rows = [
        {"problem_id": name, "sample_index": index, "seed": index, "text": text, "gold": gold, **fixed, **stale}
        for name, (gold, texts) in TEXTS.items()
        for index, text in enumerate(texts)
    ]
    parquet.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), folder / "samples.parquet")
    meta = {"schema": 1, "method": "grpo", "label": "GRPO", "seed": 0, "step": 1, "decoding": {}, "complete": True}
    (folder / "meta.json").write_text(json.dumps({**meta, "samples_per_problem": 4, "problems": {"main": 2}}))
    return tmp_path / "run"


def test_regrade_by_the_general_grader(run_dir, capsys):
    before, _ = read_evaluation(run_dir / "evaluations" / "test")
    assert main(["regrade", f"run={run_dir}", "name=test", "policy=math", "workers=1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["before"] == {"incorrect": 8}
    assert report["after"] == {"correct": 3, "incorrect": 4, "unparsable": 1}
    assert (report["verdicts_changed"], report["classes_changed"]) == (4, 8)
    after, meta = read_evaluation(run_dir / "evaluations" / "test")
    assert list(after["verdict"]) == ["correct", "correct", "incorrect", "unparsable", "correct", *["incorrect"] * 3]
    assert ((after["answer_class"] == after["gold_class"]) == (after["verdict"] == "correct")).all()
    assert after["answer_class"][5] == after["answer_class"][6] != after["answer_class"][7]
    kept = [column for column in before if column not in ("answer", "answer_class", "gold_class", "verdict")]
    assert before[kept].equals(after[kept])
    assert meta["regraded"] == [report]
    assert report["by"]["policy"]["boxes"] == "last"
    metadata = parquet.read_metadata(run_dir / "evaluations" / "test" / "samples.parquet").metadata
    assert json.loads(metadata[METADATA_KEY]) == report["by"]


def test_regrading_again_changes_nothing_and_says_so(run_dir, capsys):
    for _ in range(2):
        assert main(["regrade", f"run={run_dir}", "name=test", "policy=math", "workers=1"]) == 0
    assert "0 verdicts and 0 classes changed" in capsys.readouterr().out
    assert len(read_evaluation(run_dir / "evaluations" / "test")[1]["regraded"]) == 2


def test_regrade_refuses(run_dir, capsys):
    assert main(["regrade"]) == 2
    assert "regrade needs run=DIR" in capsys.readouterr().err
    assert main(["regrade", f"run={run_dir}", "name=other", "policy=math"]) == 2
    assert "is no evaluation" in capsys.readouterr().err
    assert main(["regrade", f"run={run_dir}", "name=../x", "policy=math"]) == 2
    assert "plain folder name" in capsys.readouterr().err


def test_regrade_by_the_run_s_own_task(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", *words("grpo", run, tmp_path / "artifacts", "sft.steps=3", "trainer.steps=0")]) == 0
    assert main(["evaluate", f"run={run}", "name=a", "samples=3"]) == 0
    folder = run / "evaluations" / "a"
    original, _ = read_evaluation(folder)
    table = parquet.read_table(folder / "samples.parquet")
    stale = pa.array(["timeout"] * table.num_rows, pa.string())
    parquet.write_table(table.set_column(table.schema.get_field_index("verdict"), "verdict", stale), folder / "samples.parquet")
    write_evaluation_meta(folder, read_evaluation_meta(folder))
    capsys.readouterr()
    assert main(["regrade", f"run={run}", "name=a", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["by"] == {"grader": "task coin"}
    assert (report["verdicts_changed"], report["classes_changed"]) == (table.num_rows, 0)
    again, _ = read_evaluation(folder)
    assert original.equals(again)
