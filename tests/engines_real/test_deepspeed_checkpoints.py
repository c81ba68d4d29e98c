"""DeepSpeed checkpoints go on where they stopped, on the same number of ranks or another; Hugging Face weights beside them."""

from __future__ import annotations

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import deepspeed_jobs as jobs
from launch import run_job

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

SETTINGS = [
    {"zero_stage": 1},
    {"zero_stage": 2, "offload": "optimizer"},
    {"zero_stage": 3},
    {"zero_stage": 3, "offload": "optimizer_and_parameters"},
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of checkpoints after two updates, by the number of ranks that wrote them."""
    folders = {}
    for ranks in (1, 2):
        folders[ranks] = tmp_path_factory.mktemp(f"by_{ranks}")
        run_job(folders[ranks], ranks, job="save", settings=SETTINGS, folder=str(folders[ranks] / "checkpoint"))
    return folders


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return jobs.torch_run("grpo", 4, tmp_path_factory.mktemp("torch"))


@pytest.mark.parametrize(("written_by", "read_by"), [(2, 2), (2, 1), (1, 2)])
def test_goes_on_as_if_never_stopped(saved, uninterrupted, tmp_path, written_by, read_by):
    folder = saved[written_by] / "checkpoint"
    found = run_job(tmp_path, read_by, job="resume", settings=SETTINGS, folder=str(folder))
    assert set(found) == {jobs.place(settings) for settings in SETTINGS}
    for record in found.values():
        assert record["updates"] == (2, 4)
        assert record["rates"] == pytest.approx(uninterrupted["rates"][2:])
        assert record["norms"] == pytest.approx(uninterrupted["norms"][2:], rel=1e-4)
        assert (record["weights"] - uninterrupted["weights"]).norm() / uninterrupted["weights"].norm() < 1e-5
    assert not list(folder.glob(".*")), "what the conversion needed is gone"
