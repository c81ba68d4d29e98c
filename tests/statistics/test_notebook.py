"""The notebook runs from top to bottom in a fresh kernel, on the results that are shipped, and is kept without outputs."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from notebooks import check_clean, executed_notebook, outputs

from unified_rl.statistics import reference
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


def test_what_it_says_in_words_is_what_the_shipped_results_say():
    """The last cell's numbers, from the same tables; new results need new words."""
    coverage, contrasts, pass_maj, crossed = (
        read_table(TABLES / f"{name}.csv")[0] for name in ("coverage", "grid_contrasts", "pass_maj", "crossovers")
    )
    after = ("RFT", "Online RFT", "PPO", "GRPO+OS", "GRPO+PS")
    split = coverage[(coverage["score"] == "maj") & (coverage["k"] == 64) & coverage["label"].isin(after)]
    split = split.assign(**{name: 100 * split[name] for name in ("estimate", "low", "high")}).set_index("part")
    assert split.loc["gain", "estimate"].round().between(19, 24).all() and (split.loc["gain", "low"] > 0).all()
    assert split.loc["concentration", "estimate"].round().between(16, 23).all()
    assert split.loc["coverage", "estimate"].round(1).between(0.7, 2.6).all()
    apart = split.loc["coverage"].query("low > 0")[["slice", "label"]]
    assert sorted(map(tuple, apart.to_numpy())) == [("hard", "GRPO+PS"), ("hard", "PPO"), ("hard", "RFT")]
    assert crossed[crossed["label"].isin(after)]["crossings"].eq("").all()
    hard = contrasts[(contrasts["metric"] == "pass") & (contrasts["baseline"] == "SFT") & contrasts["label"].isin(after)]
    assert (hard["decision"] == "not told apart").all()
    hard = hard[hard["slice"] == "hard"]
    assert (100 * hard["estimate"]).round(1).between(3.9, 6.2).all()
    assert set(hard[hard["low"] > 0]["label"]) == {"RFT", "PPO", "GRPO+PS"}
    last = pass_maj[(pass_maj["metric"] == "pass") & (pass_maj["k"] == 64) & (pass_maj["label"] != "SFT (continued)")]
    missed = 2.8 * (last["difference_high"] - last["difference_low"]) / (2 * 1.96)
    assert (100 * missed.groupby(last["slice"]).max()).round(1).to_dict() == {"main": 4.4, "hard": 7.0}
    theirs = reference.maj_and_pass().pivot(index=["benchmark", "k"], columns=["metric", "policy"], values="estimate")
    for metric, low, high in (("pass", -1, 0), ("maj", 0, 1)):
        at_64 = theirs[metric, "RL"].xs(64, level="k") - theirs[metric, "Instruct"].xs(64, level="k")
        assert at_64.between(low, high, inclusive="neither").all()


def test_it_is_kept_without_outputs_and_results_are_small_and_complete():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert len(notebook.cells) == 10
    assert SHIPPED.stat().st_size < 1_000_000
    cells, facts = read_counts(SHIPPED)
    assert facts["runs_made_by"] == "make reproduce"
    assert len(cells) == 8
    assert all(cell.evaluation_status == COMPLETE for cell in cells)
