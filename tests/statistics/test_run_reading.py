"""Reading run directories: while they are written, after a kill, and when something is wrong."""

import json

import pytest
from synthetic_runs import write_evaluation, write_lines, write_run

from unified_rl.base.errors import DataError
from unified_rl.records import reading as run_reading

FACTS = {"method": "grpo", "label": "GRPO+OS", "seed": 0, "step": 8}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "a", "GRPO+OS", "grpo", 0, 1.0, problems=3, samples=2, steps=8)


def test_reads_what_was_written(run):
    assert run_reading.read_config(run)["label"] == "GRPO+OS"
    assert run_reading.read_status(run) == {"state": "finished", "step": 8, "steps": 8, "error": None}
    assert list(run_reading.read_metrics(run)["step"]) == list(range(1, 9))
    curve = run_reading.read_curve(run)
    assert list(curve["step"]) == [0, 8, 0, 8]
    assert len(curve["correct"].iloc[0]) == 3
    (folder,) = run_reading.list_evaluations(run)
    samples, meta = run_reading.read_evaluation(folder)
    assert len(samples) == 2 * 3 * (1 + 2)
    assert meta["decoding"]["temperature"] == 0.7


def test_what_is_not_there_yet_is_empty(tmp_path):
    assert run_reading.read_metrics(tmp_path).empty
    assert run_reading.read_curve(tmp_path).empty
    assert run_reading.read_config(tmp_path) is None
    assert run_reading.read_status(tmp_path) is None
    assert run_reading.list_evaluations(tmp_path) == []
    assert run_reading.list_runs(tmp_path) == []


def test_a_torn_last_line_is_left_out(run):
    """Cut after every byte of the last line: it is there whole, or not at all."""
    path = run / "metrics.jsonl"
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(start, len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert len(run_reading.read_metrics(run)) == 7 + (cut >= len(whole) - 1)


def test_damage_elsewhere_is_named(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0], lines[1][:9], *lines[2:]]) + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2 is not JSON"):
        run_reading.read_metrics(run)
    (run / "metrics.jsonl").write_text("[1, 2]\n")
    with pytest.raises(DataError, match="not a JSON object"):
        run_reading.read_metrics(run)


def test_curve_entries_are_checked(run):
    entry = {"step": 0, "split": "test", "slice": "main", "problem_ids": ["a", "b"], "correct": [1]}
    write_lines(run / "curve.jsonl", [entry])
    with pytest.raises(DataError, match="lacks sampled_tokens, trained_tokens"):
        run_reading.read_curve(run)
    write_lines(run / "curve.jsonl", [entry | {"sampled_tokens": 0, "trained_tokens": 0}])
    with pytest.raises(DataError, match="2 problem_ids but 1 values"):
        run_reading.read_curve(run)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n", "a: ${nothing}\n"])
def test_broken_configuration(run, text):
    (run / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"config\.yaml"):
        run_reading.read_config(run)


def test_broken_status(run):
    (run / "status.json").write_text('{"state": ')
    with pytest.raises(DataError, match=r"status\.json"):
        run_reading.read_status(run)


def test_broken_evaluations(run):
    (folder,) = run_reading.list_evaluations(run)
    parquet = folder / "samples.parquet"
    whole = parquet.read_bytes()
    parquet.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"samples\.parquet is not a readable Parquet file"):
        run_reading.read_evaluation(folder)
    parquet.unlink()
    with pytest.raises(DataError, match=r"samples\.parquet is missing"):
        run_reading.read_evaluation(folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"schema": 99}))
    with pytest.raises(DataError, match="schema 99 is not 1"):
        run_reading.read_evaluation_meta(folder)
    del meta["decoding"]
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="lacks decoding"):
        run_reading.read_evaluation_meta(folder)


def test_lists_runs_at_any_depth_but_nothing_inside_them(tmp_path):
    write_run(tmp_path / "grid" / "b", "B", "b", 0, 1.0, problems=2, samples=1, steps=8)
    write_run(tmp_path / "grid" / "deep" / "a", "A", "a", 0, 1.0, problems=2, samples=1, steps=8)
    write_evaluation(tmp_path / "initial", FACTS, 0.0, 2, 1)
    (tmp_path / "grid" / "b" / "checkpoints" / "step_8").mkdir(parents=True)
    (tmp_path / "grid" / "b" / "checkpoints" / "step_8" / "config.yaml").write_text("a: 1")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    names = [str(path.relative_to(tmp_path)) for path in run_reading.list_runs(tmp_path)]
    assert names == ["grid/b", "grid/deep/a", "initial"]
    with pytest.raises(DataError, match="is not a folder"):
        run_reading.list_runs(tmp_path / "nowhere")
