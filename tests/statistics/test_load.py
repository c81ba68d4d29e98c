"""Runs as tables, the sample browser, the diff of two runs, and the file of counts: nothing missing goes unseen."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
from synthetic_runs import write_experiment, write_lines, write_run, write_status

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.statistics import counts, export, load, tables
from unified_rl.statistics.browse import browse
from unified_rl.statistics.diff import diff
from unified_rl.statistics.load import COLUMNS, RUN_COLUMNS, load_experiment, load_run, read_tables

SIZE = {"problems": 5, "samples": 4, "steps": 16}


def training_sample(step, number, text="<b>7</b>\x1b[2J"):
    tokens = [text, "</s>"]
    return {
        "step": step,
        "prompt_id": f"main-{number}",
        "prompt": f"What is {number} + 1?",
        "tokens": tokens,
        "reward": 1.0,
        "verdict": "correct",
        "finish": "stop",
        "coefficient": {"total": [0.5, -0.25], "advantage": [0.5, -0.25]},
    }


@pytest.fixture
def experiment(tmp_path):
    root = write_experiment(tmp_path / "exp", labels=("RFT", "GRPO+OS"), seeds=(0, 1), **SIZE)
    grpo = root / "grpo-0"
    write_lines(grpo / "timings.jsonl", [{"step": step, "source": 0.5, "update": 1.5} for step in range(1, 17)])
    write_lines(grpo / "samples.jsonl", [training_sample(step, number) for step in (1, 16) for number in range(3)])
    return root


def test_tables_of_a_finished_run(experiment):
    run = load_run(experiment / "grpo-0")
    assert run.schema == load.SCHEMA
    assert run.config["method"] == "grpo"
    for name, columns in COLUMNS.items():
        table = getattr(run, name)
        assert list(table.columns[: len(RUN_COLUMNS)]) == list(RUN_COLUMNS)
        assert set(columns) <= set(table.columns), name
        assert (table["label"] == "GRPO+OS").all(), name
    assert run.metrics["step"].tolist() == list(range(1, 17))
    assert run.timings["update"].sum() == 24
    assert len(run.curve) == 3 * 2 * 5  # steps 0, 8, 16; two slices; five problems
    assert set(run.curve["correct"]) <= {0, 1}
    assert len(run.responses) == 2 * 5 * (4 + 1)
    assert (run.parts["state"] == "complete").all()


def test_what_is_missing_or_unfinished_is_a_row(experiment):
    (experiment / "rft-0" / "curve.jsonl").unlink()
    parts = load_run(experiment / "rft-0").parts.set_index("part")
    assert parts.loc["curve", "state"] == parts.loc["timings", "state"] == "missing"

    write_status(experiment / "rft-1", "running", 8, 16)
    meta = experiment / "rft-1" / "evaluations" / "final" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"complete": False}))
    (experiment / "rft-1" / "evaluations" / ".later.tmp").mkdir()
    run = load_run(experiment / "rft-1")
    parts = run.parts.set_index("part")
    assert parts.loc["training", "state"] == "running at step 8 of 16"
    assert parts.loc["metrics", "state"] == "unfinished"
    assert run.evaluations.set_index("evaluation")["state"].to_dict() == {"final": "unfinished", "later": "unfinished"}
    assert len(run.responses) == 0
    assert set(COLUMNS["responses"]) <= set(run.responses.columns)


def test_a_run_just_begun_has_empty_tables_and_says_so(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("method: grpo\nlabel: ''\nseed: 3\n")
    run = load_run(tmp_path / "run")
    assert run.state == "not started"
    assert all(len(getattr(run, name)) == 0 for name in ("metrics", "timings", "curve", "samples", "responses"))
    assert run.evaluations["state"].tolist() == ["not evaluated"]
    assert run.parts.set_index("part").loc["metrics", "state"] == "missing"
    assert (run.parts["label"] == "grpo").all()


def test_experiment_shows_the_holes_of_its_grid(experiment):
    shutil.rmtree(experiment / "rft-1")
    loaded = load_experiment([experiment])
    cells = loaded.cells.set_index(["label", "seed"])
    assert cells.loc[("RFT", "1"), "status"] == "missing"
    assert len(loaded.runs) == 4  # the SFT policy, RFT 0, GRPO 0 and 1
    metrics = loaded.stack("metrics")
    assert metrics.groupby(["label", "seed"]).size().to_dict() == {("GRPO+OS", 0): 16, ("GRPO+OS", 1): 16, ("RFT", 0): 16}
    with pytest.raises(DataError, match="no table 'metric'"):
        loaded.stack("metric")


def test_a_folder_that_is_no_run_lists_the_runs_below(experiment, tmp_path):
    with pytest.raises(DataError, match=r"is not a run; runs below it: .*grpo-0"):
        load_run(experiment)
    with pytest.raises(DataError, match="is not a run"):
        load_run(tmp_path / "nowhere")


def test_saved_tables_keep_their_schema(experiment, tmp_path, capsys):
    assert main(["show", str(experiment / "grpo-0"), f"out={tmp_path / 'saved'}"]) == 0
    assert "evaluation final" in capsys.readouterr().out
    saved, run = read_tables(tmp_path / "saved"), load_run(experiment / "grpo-0")
    assert saved["metrics"]["reward/mean"].tolist() == run.metrics["reward/mean"].tolist()
    assert json.loads(saved["samples"]["coefficient"][0]) == run.samples["coefficient"][0]
    described = tmp_path / "saved" / "tables.json"
    described.write_text(described.read_text().replace(f'"schema": {load.SCHEMA}', '"schema": 99'))
    with pytest.raises(DataError, match=r"schema 99, but this version reads 1; write them again with: unified-rl show"):
        read_tables(tmp_path / "saved")
    described.unlink()
    with pytest.raises(DataError, match="missing or malformed"):
        read_tables(tmp_path / "saved")


# ---- browser


def test_browse_training_samples_escapes_what_a_model_wrote(experiment):
    shown = browse(experiment / "grpo-0", "main-2", step=16)
    assert len(shown) == shown.found == 1
    assert "What is 2 + 1?" in str(shown)
    assert "\x1b" not in str(shown)
    page = shown._repr_html_()
    assert "<b>7</b>" not in page
    assert "&lt;b&gt;7&lt;/b&gt;\\x1b" in page
    assert "rgba(0,158,115,1.00)" in page  # the coefficient 0.5, the largest: full green
    assert "rgba(213,94,0,0.50)" in page  # -0.25: half red
    assert len(browse(experiment / "grpo-0", "2 + 1", step=16)) == 1
    with pytest.raises(DataError, match="has no samples of step 3; it has samples of the steps 1, 16"):
        browse(experiment / "grpo-0", step=3)


def test_browse_evaluations(experiment, capsys):
    run = load_run(experiment / "grpo-0")
    right = browse(run, verdict="correct", limit=2)
    assert right.found == (run.responses["verdict"] == "correct").sum()
    assert (right.table["verdict"] == "correct").all()
    run.responses.loc[0, "answer"] = "7\x1b]0;title\x07"  # an answer is model-written too
    assert "\x1b" not in str(browse(run, limit=1))
    one = browse(run, "main-1", limit=50)
    assert one.table["problem_id"].unique().tolist() == ["main-1"]
    with pytest.raises(DataError, match="has no evaluation 'fnal'; it has final"):
        browse(run, evaluation="fnal")
    assert main(["browse", str(experiment / "grpo-0"), "prompt=hard-0", "limit=1"]) == 0
    assert "hard-0  greedy 0" in capsys.readouterr().out
    assert main(["browse", str(experiment / "rft-0"), "step=1"]) == 2
    assert "it has logged none" in capsys.readouterr().err


# ---- diff


def test_diff_of_a_run_with_itself_is_empty(experiment, capsys):
    same = diff(experiment / "grpo-0", experiment / "grpo-0")
    assert same.config.empty
    assert same.metrics["first_difference"].isna().all()
    assert (same.evaluations["difference"] == 0).all()
    assert main(["diff", str(experiment / "grpo-0"), str(experiment / "grpo-0")]) == 0
    out = capsys.readouterr().out
    assert "configuration:\nequal" in out
    assert "equal at every common step" in out


def test_diff_names_settings_steps_and_paired_differences(experiment, tmp_path):
    other = write_run(tmp_path / "other", "GRPO+OS", "grpo", 0, 2.9, problems=5, samples=4, steps=16)
    (other / "config.yaml").write_text("method: grpo\nlabel: GRPO+OS\nseed: 0\nrun_dir: x\ntrainer:\n  steps: 16\n  lr: 0.1\n")
    rows = [{"step": step, "reward/mean": step / 16 + (0.5 if step > 9 else 0), "new": 1.0} for step in range(1, 13)]
    write_lines(other / "metrics.jsonl", rows)
    found = diff(experiment / "grpo-0", other)
    assert found.config.to_dict("records") == [{"setting": "trainer.lr", "a": "(absent)", "b": 0.1}]
    metrics = found.metrics.set_index("metric")
    assert metrics.loc["reward/mean", ["step", "a", "b", "first_difference"]].tolist() == [12, 0.75, 1.25, 10]
    assert np.isnan(metrics.loc["new", "a"])
    row = found.evaluations.set_index(["slice", "measure"]).loc[("main", "avg@1")]
    assert row["difference"] == pytest.approx(row["b"] - row["a"])
    assert row["low"] <= row["difference"] <= row["high"]
    assert "over problems only" in row["note"]


def test_diff_of_different_problems_is_said(experiment, tmp_path):
    other = write_run(tmp_path / "other", "GRPO+OS", "grpo", 0, 2.2, problems=4, samples=4, steps=16)
    found = diff(experiment / "grpo-0", other)
    assert found.evaluations["difference"].isna().all()
    assert "different problems: a has 5, b has 4, 4 common" in found.evaluations["note"].tolist()
    shutil.rmtree(other / "evaluations")
    assert set(diff(experiment / "grpo-0", other).evaluations["note"]) == {"only a has it"}


# ---- the file of counts


def test_tables_from_the_file_equal_tables_from_the_runs(experiment, tmp_path, capsys):
    shutil.rmtree(experiment / "rft-1")
    out = tmp_path / "counts.parquet"
    assert main(["export", str(experiment), f"out={out}", "runs_made_by=make reproduce"]) == 0
    assert "RFT, seed 1: no problems  missing" in capsys.readouterr().out
    tables.write_tables([experiment], tmp_path / "from_runs")
    tables.write_tables([out], tmp_path / "from_file")
    for name in ("runs", "pass_maj", "results"):
        one, other = (pd.read_csv(tmp_path / kind / f"{name}.csv", skiprows=1) for kind in ("from_runs", "from_file"))
        pd.testing.assert_frame_equal(one, other)
    _, facts = counts.read_counts(out)
    assert facts["runs_made_by"] == "make reproduce"
    assert facts["command"].startswith("unified-rl export ")


def test_a_counts_file_of_another_schema_or_kind_is_refused(experiment, tmp_path):
    out = tmp_path / "counts.parquet"
    export.export([experiment], out)
    table = parquet.read_table(out)
    changed = {counts._KEY: table.schema.metadata[counts._KEY].replace(b'"schema": 1', b'"schema": 7')}
    parquet.write_table(table.replace_schema_metadata(changed), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"schema 7 is not 1, which this version reads; make it again with"):
        counts.read_counts(tmp_path / "other.parquet")
    parquet.write_table(table.replace_schema_metadata({}), tmp_path / "plain.parquet")
    with pytest.raises(DataError, match="is not a file of counts"):
        counts.read_counts(tmp_path / "plain.parquet")
    with pytest.raises(DataError, match="does not exist; make it with"):
        counts.read_counts(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="is read alone"):
        counts.read_cells([out, experiment])
