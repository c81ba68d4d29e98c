"""The notebook runs from top to bottom in a fresh kernel, on the results that are shipped, and is kept without outputs."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from notebooks import check_clean, executed_notebook, outputs

from unified_rl.plotting import style
from unified_rl.statistics import gains_text
from unified_rl.statistics.counts import SHIPPED, read_counts
from unified_rl.statistics.experiment import COMPLETE
from unified_rl.statistics.table_files import read_table

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "analysis" / "pass_at_k_vs_maj_at_k.ipynb"
TABLES = ROOT / "experiments" / "results" / "all_methods"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return executed_notebook(NOTEBOOK, tmp_path_factory.mktemp("nb"))


def test_it_runs_from_top_to_bottom_without_warnings(executed):
    check_clean(executed)


def test_its_pictures_are_there_and_coloured(executed):
    from matplotlib.image import imread

    pictures = [output.data["image/png"] for output in outputs(executed) if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    for picture in pictures:
        pixels = imread(io.BytesIO(base64.b64decode(picture)))[..., :3]
        assert min(pixels.shape[:2]) >= 400
        middle = pixels.shape[1] // 2
        for side in (pixels[:, :middle], pixels[:, middle:]):
            assert (np.ptp(side, axis=-1) > 0.4).mean() > 0.001


def test_what_it_says_in_words_is_read_from_the_shipped_tables(executed):
    """Its answer is made from the tables of today, and no cell of text holds a measured number."""
    said = [output.data["text/markdown"] for output in outputs(executed) if "text/markdown" in output.get("data", {})]
    coverage, contrasts, crossed = (
        read_table(TABLES / f"{name}.csv")[0] for name in ("coverage", "grid_contrasts", "crossovers")
    )
    methods = [label for label in style.styles(coverage["label"].unique()) if label != "SFT (continued)"]
    assert said[-1] == gains_text.answer(coverage, contrasts, crossed, methods)
    text = "".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "markdown")
    assert (
        re.findall(r"\d+\.\d+ points|\d+ points|\d+ %(?! intervals)|\d+ seeds|\d+ test problems", " ".join(text.split())) == []
    )


def test_the_answer_is_that_of_the_tables():
    """Two methods by hand: a gain that is all concentration, and none; one curve crosses the start's."""
    parts = {"gain": (0.2, 0.15, 0.25), "concentration": (0.18, 0.1, 0.26), "coverage": (0.02, -0.01, 0.05)}
    split = [
        {"label": label, "slice": "main", "score": "maj", "k": 64, "part": part, "estimate": x, "low": low, "high": high}
        for label, share in (("A", 1.0), ("B", 0.0))
        for part, (x, low, high) in {
            part: (share * x, low - (1 - share), high) for part, (x, low, high) in parts.items()
        }.items()
    ]
    passed = [
        {
            "label": label,
            "baseline": "SFT",
            "slice": "main",
            "metric": "pass",
            "estimate": x,
            "low": x - 0.0196,
            "high": x + 0.0196,
        }
        | {"decision": decision}
        for label, x, decision in (("A", 0.03, "above"), ("B", -0.01, "not told apart"))
    ]
    crossed = [{"label": "A", "slice": "main", "crossings": None}, {"label": "B", "slice": "main", "crossings": "2.5"}]
    text = gains_text.answer(*map(pd.DataFrame, (split, passed, crossed)), ["A", "B"])
    assert "Maj@64 moves by +0.0 to +20.0 points over SFT: 1 of 2 intervals lie above 0 (A)." in text
    assert "coverage +0.0 to +2.0 points (0 of 2 intervals lie above 0)" in text
    assert "Pass@64 moves by -1.0 to +3.0 points; after Holm's correction over all comparisons A is above." in text
    assert "cross SFT's within 64 samples: B." in text
    assert "miss one time in five: 2.8 points." in text
    assert "GSM8K: Maj@64 +1.5, Pass@64 -1.8 points; MATH: Maj@64 +1.0, Pass@64 -0.7 points" in text


def test_it_is_kept_without_outputs_and_results_are_small_and_complete():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert len(notebook.cells) == 11
    assert SHIPPED.stat().st_size < 1_000_000
    cells, facts = read_counts(SHIPPED)
    assert facts["runs_made_by"] == "make reproduce"
    assert len(cells) == 8
    assert all(cell.evaluation_status == COMPLETE for cell in cells)
