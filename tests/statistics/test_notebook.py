"""The notebook runs from top to bottom in a fresh kernel, on the results that are shipped, and is kept without outputs."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from notebooks import check_clean, executed_notebook, outputs

from unified_rl.statistics.counts import SHIPPED, read_counts
from unified_rl.statistics.experiment import COMPLETE

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "analysis" / "pass_at_k_vs_maj_at_k.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return executed_notebook(NOTEBOOK, tmp_path_factory.mktemp("nb"))


def test_it_runs_from_top_to_bottom_without_warnings(executed):
    check_clean(executed)


def test_its_figure_is_there_and_has_four_panels_of_lines(executed):
    from matplotlib.image import imread

    pictures = [output.data["image/png"] for output in outputs(executed) if "image/png" in output.get("data", {})]
    assert len(pictures) == 1
    pixels = imread(io.BytesIO(base64.b64decode(pictures[0])))[..., :3]
    assert min(pixels.shape[:2]) >= 400
    height, width = (size // 2 for size in pixels.shape[:2])
    for top in (slice(0, height), slice(height, 2 * height)):
        for side in (slice(0, width), slice(width, 2 * width)):
            panel = pixels[top, side]
            coloured = np.ptp(panel, axis=-1) > 0.4  # the policy after RL is drawn in colour
            assert coloured.mean() > 0.001


def test_what_it_says_in_words_is_what_the_shipped_results_say():
    """The last cell's numbers, from the same tables; new results need new words."""
    from unified_rl.statistics.gains import coverage_gains, crossovers

    cells, _ = read_counts(SHIPPED)
    gains = coverage_gains(cells)
    after = gains[gains["label"].isin(["RFT", "Online RFT", "PPO", "GRPO+OS", "GRPO+PS"])]
    maj = after[(after["score"] == "maj") & (after["k"] == 64)].set_index("part")
    in_points = 100 * maj[["estimate", "low", "high"]].astype(float)
    assert in_points.loc["gain", "estimate"].between(17, 26).all()
    assert (in_points.loc["gain", "low"] > 0).all()
    assert in_points.loc["coverage", "estimate"].between(0.35, 2.35).all()
    assert (in_points.loc["coverage", "low"] < 0).all()
    accuracy = after[(after["score"] == "avg") & (after["part"] == "coverage")]
    for k, low, high in ((1, 8.5, 15.6), (64, 0.25, 1.65)):
        assert (100 * accuracy.loc[accuracy["k"] == k, "estimate"].astype(float)).between(low, high).all()
    crossed = crossovers(cells).set_index(["label", "slice"])["crossings"]
    assert all(crossed[label, slice_name] == "" for label in after["label"].unique() for slice_name in ("main", "hard"))
    dpo = gains.query("label == 'DPO' and slice == 'hard' and score == 'maj' and k == 64 and part == 'coverage'")
    assert float(dpo["high"].iloc[0]) < 0


def test_it_is_kept_without_outputs_and_results_are_small_and_complete():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert SHIPPED.stat().st_size < 1_000_000
    cells, facts = read_counts(SHIPPED)
    assert facts["runs_made_by"] == "make reproduce"
    assert len(cells) == 8
    assert all(cell.evaluation_status == COMPLETE for cell in cells)
