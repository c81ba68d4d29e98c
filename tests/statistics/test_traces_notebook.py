"""The notebook of traces runs from top to bottom, its intervals hold the truth that it made, and it is kept without outputs."""

from pathlib import Path

import pytest
from notebooks import check_clean, executed_notebook, outputs

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "analysis" / "traces.ipynb"


@pytest.mark.long
def test_it_runs_and_its_intervals_hold_the_truth(tmp_path):
    executed = executed_notebook(NOTEBOOK, tmp_path)
    check_clean(executed)
    said = "".join(output.text for output in outputs(executed) if output.output_type == "stream")
    assert "CoT-Pass@K" in said and "pass^K" in said
    (share,) = [line for line in said.splitlines() if "intervals hold the truth" in line]
    assert int(share.split("%")[0]) >= 80, share
    assert sum("image/png" in output.get("data", {}) for output in outputs(executed)) == 1


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
