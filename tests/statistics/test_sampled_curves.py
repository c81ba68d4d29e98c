"""Learning curves by samples: read as shares, never mixed with greedy ones, and called what they are wherever they are shown."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from synthetic_runs import curve_entry, write_experiment, write_lines

from unified_rl.base.errors import DataError
from unified_rl.pages import grid_parts
from unified_rl.pages.curves import curves as charts
from unified_rl.pages.followed_run import FollowedRun
from unified_rl.plotting import effective_rate, iterations, learning_curves, paper_figure5, paper_figure6, renewal_quality
from unified_rl.records import curve_points, sinks
from unified_rl.records import reading as run_reading
from unified_rl.statistics import grid_table, load
from unified_rl.statistics.make import make
from unified_rl.statistics.options import TablesOptions
from unified_rl.statistics.table_files import read_table, write_table

SAMPLED = {"samples": 8, "temperature": 0.7, "top_p": 1.0, "top_k": 0}
WORDS = "8 samples, T=0.7"


def sample_curves(runs):
    """Every curve that is there, as it would be by 8 samples: a right answer becomes 6 of 8, a wrong one 1 of 8."""
    for path in runs:
        rows = [json.loads(line) for line in (path / "curve.jsonl").read_text().splitlines()]
        shares = [{**row, **SAMPLED, "correct": [0.75 if right else 0.125 for right in row["correct"]]} for row in rows]
        write_lines(path / "curve.jsonl", shares)


@pytest.fixture
def experiment(tmp_path):
    root = write_experiment(tmp_path / "experiment", ("RFT", "GRPO+OS"), (0, 1, 2), problems=6, samples=4, steps=16)
    sample_curves(sorted(root.glob("[rg]*")))
    return root


def test_an_entry_says_whose_answers_it_is_of():
    assert curve_points.answers_of({"correct": [1]}) == "greedy"
    assert curve_points.answers_of(SAMPLED) == WORDS
    assert curve_points.answers_of({**SAMPLED, "top_p": 0.95, "top_k": 20}) == f"{WORDS}, top_p=0.95, top_k=20"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"correct": [0.5]}, "neither 0 nor 1"),
        ({"correct": 1, **SAMPLED}, "correct is no list"),
        ({"correct": [0.3], **SAMPLED}, "not one of 8 samples"),
        ({"correct": [1.125], **SAMPLED}, "not one of 8 samples"),
        ({"correct": ["1"], **SAMPLED}, "not one of 8 samples"),
        ({"correct": [0.5], **SAMPLED, "samples": "8"}, "samples is no number"),
        ({"correct": [0.5], "samples": 8}, "lacks temperature"),
        ({"correct": [1, 0, 0.125], **SAMPLED}, ""),
        ({"correct": [1, 0]}, ""),
    ],
)
def test_shares_that_are_none_are_refused(entry, words, tmp_path):
    found = curve_points.problem(entry)
    assert (words in found) if words else not found
    if words and isinstance(entry["correct"], list):
        write_lines(tmp_path / "curve.jsonl", [curve_entry(0, "main", entry["correct"]) | entry])
        with pytest.raises(DataError, match=words):
            run_reading.read_curve(tmp_path)


def test_shares_are_read_and_tabulated(experiment):
    table = load.load_run(experiment / "rft-0").curve
    assert set(table["correct"]) == {0.125, 0.75} and set(table["answers"]) == {WORDS}
    make(TablesOptions([experiment], experiment / "tables"), "unified-rl tables")
    curves, _ = read_table(experiment / "tables" / "curves.csv")
    assert set(curves["answers"]) == {WORDS} and curves["accuracy"].between(0.125, 0.75).all()
    cells, _ = read_table(experiment / "tables" / "cells.csv")
    assert set(cells[cells["curve_problems"].notna()]["curve_answers"]) == {WORDS}
    grid, _ = read_table(experiment / "tables" / "grid.csv")
    of_curves = grid["metric"].isin(["best", "area"])
    assert set(grid[of_curves]["answers"]) == {WORDS} and set(grid[~of_curves]["answers"]) == {""}
    page = grid_parts.results(experiment / "tables", experiment / "index.html")
    assert f"mean accuracy over {WORDS} on validation problems" in page
    assert "greedy accuracy on validation" not in page and "greedy accuracy on test problems" in page


def test_greedy_and_sampled_curves_are_not_compared(experiment):
    write_lines(experiment / "grpo-0" / "curve.jsonl", [curve_entry(step, "main", [1] * 6) for step in (0, 16)])
    with pytest.raises(DataError, match=r"different answers \(greedy; 8 samples, T=0\.7\)"):
        make(TablesOptions([experiment], experiment / "tables"), "unified-rl tables")
    for path in experiment.glob("grpo-[12]"):
        write_lines(path / "curve.jsonl", [curve_entry(step, "main", [1] * 6) for step in (0, 16)])
    data = grid_table.read_data([experiment], pairs=[("GRPO+OS", "RFT")])
    assert "main" not in data.levels, "a level of accuracy means nothing to both"
    with pytest.raises(DataError, match="learning curves on main are by different answers"):
        grid_table.contrast_table(data)


def test_charts_and_sinks_keep_them_apart(experiment, tmp_path):
    (entry, *_) = map(json.loads, (experiment / "rft-0" / "curve.jsonl").read_text().splitlines())
    assert set(sinks.scalars("curve", entry)) == {"curve_8_samples/validation/main"}
    run = FollowedRun(experiment / "rft-0")
    run.look()
    titles = [chart["title"] for chart in charts([run.standing()], [run])["charts"]]
    assert "Mean accuracy over 8 samples, validation/main" in titles and not any("Greedy" in title for title in titles)
    write_lines(tmp_path / "curve.jsonl", [curve_entry(0, "main", [1, 0])])
    greedy = FollowedRun(tmp_path)
    greedy.look()
    assert [curve_points.title(name) for name in greedy.curve.names] == ["Greedy accuracy, validation/main"]


NUMBERS = {"estimate": 0.1, "low": 0.0, "high": 0.2, "num_problems": 4, "num_seeds": 3}
CURVE = {"seed": "all", "slice": "main", "split": "validation", "accuracy": 0.5, "low": 0.4, "high": 0.6, "num_problems": 4}
CURVE |= {"num_seeds": 3, "label": "GRPO+OS", "status": "complete"}
DRIFT = {"iteration": 0, "step": 1, "seed": "all", "reward": 0.5, "correct": 0.5}
QUALITY = {"label": "A", "iteration": 0, "within_auc": 0.6, "within_auc_low": 0.5, "within_auc_high": 0.7}
#: figure -> tables, of which the first is of curves.
SHOWN = {
    learning_curves: {"curves": [{**CURVE, "step": 0}, {**CURVE, "step": 8}]},
    paper_figure5: {"curves": [{**CURVE, "step": 0}, {**CURVE, "step": 8}]},
    iterations: {"iteration_curves": [{**CURVE, "iteration": 0, "part": "main", "step": 0}], "iteration_drift": [DRIFT]},
    paper_figure6: {"iteration_curves": [{**CURVE, "iteration": 0, "part": "main", "step": 0}]},
    effective_rate: {"effective_paths": [{**CURVE, "step": 0, "kl": 0.0}, {**CURVE, "step": 4, "kl": 0.1}]},
    renewal_quality: {"renewals": [{"label": "A", "baseline": "A", "slice": "main", **NUMBERS}], "renewal_quality": [QUALITY]},
}


@pytest.mark.parametrize("figure", SHOWN, ids=lambda figure: figure.__name__.rpartition(".")[2])
@pytest.mark.parametrize("answers", [WORDS, None])
def test_captions_and_axes_say_what_a_curve_is_of(figure, answers, tmp_path, monkeypatch):
    for place, (name, rows) in enumerate(SHOWN[figure].items()):
        told = {} if place or answers is None else {"answers": answers}
        write_table(pd.DataFrame([row | told for row in rows]), tmp_path / f"{name}.csv", {"schema": 1, "seeds": [0, 1, 2]})
    axes = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_ylabel", lambda self, text, **more: axes.append(text))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *args, **more: None)
    caption = next(path for path in figure.draw(tmp_path, tmp_path / "out") if path.suffix == ".md").read_text()
    said = " ".join(caption.split()).lower()
    assert ("mean accuracy over 8 samples, t=0.7" if answers else "greedy accuracy") in said, "tables from before say nothing"
    assert ("greedy" in said) == (not answers) and not (answers and any("greedy" in text.lower() for text in axes))


def test_a_figure_of_both_kinds_names_each(tmp_path):
    rows = [{**CURVE, "label": label, "step": 0, "answers": kind} for label, kind in (("RFT", "greedy"), ("GRPO+OS", WORDS))]
    write_table(pd.DataFrame(rows), tmp_path / "curves.csv", {"schema": 1, "seeds": [0]})
    caption = next(path for path in learning_curves.draw(tmp_path, tmp_path) if path.suffix == ".md").read_text()
    assert f"Not by the same answers: RFT greedy; GRPO+OS {WORDS}." in " ".join(caption.split())
