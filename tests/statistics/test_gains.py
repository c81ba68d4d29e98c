"""The tables coverage.csv and crossovers.csv: gains over the SFT policy over seeds; what cannot be compared is in view."""

import shutil

import numpy as np
import pytest
from synthetic_runs import write_experiment

from unified_rl.base.errors import DataError
from unified_rl.statistics import tables
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.gains import NO_BASELINE, coverage_gains, crossovers
from unified_rl.statistics.table_files import SCHEMA, read_table, write_table

SIZE = {"problems": 30, "samples": 8, "steps": 16}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root = tmp_path_factory.mktemp("gains")
    return write_experiment(root / "exp", labels=("RFT", "GRPO+OS"), seeds=(0, 1), **SIZE)


def test_gains_agree_with_the_other_table(experiment):
    """The gain in Maj@K is pass_maj.csv's paired difference, interval included; its parts sum to it."""
    cells = read_experiment([experiment])
    gains, differences = coverage_gains(cells), tables.pass_maj(cells)
    differences = differences[(differences["metric"] == "maj") & (differences["label"] != "SFT")]
    key = ["label", "slice", "k"]
    gain = gains[(gains["score"] == "maj") & (gains["part"] == "gain")].merge(differences, on=key)
    assert len(gain) == 2 * 2 * 4
    for ours, theirs in (("estimate_x", "difference"), ("low_x", "difference_low"), ("high_x", "difference_high")):
        np.testing.assert_allclose(gain[ours].astype(float), gain[theirs].astype(float), atol=1e-12)
    wide = gains.pivot(index=["label", "slice", "score", "k"], columns="part", values="estimate").astype(float)
    np.testing.assert_allclose(wide["coverage"] + wide["concentration"], wide["gain"], atol=1e-12)
    accuracy = wide.xs("avg", level="score")["gain"]
    assert accuracy.groupby(["label", "slice"]).nunique().eq(1).all()
    # These policies move right answers up and add none: the coverage part of accuracy shrinks with K.
    covered = wide.loc[("GRPO+OS", "main", "avg"), "coverage"]
    assert covered[8] < 0.6 * covered[1]
    assert (gains["num_seeds"] == 2).all()


def test_crossovers_name_the_leader(experiment):
    table = crossovers(read_experiment([experiment])).set_index(["label", "slice"])
    assert table.loc[("GRPO+OS", "main"), "leader"] == "GRPO+OS"
    assert table.loc[("GRPO+OS", "main"), "num_problems"] == 30
    assert table["note"].str.contains("2 seeds held fixed").all()


def test_nothing_to_compare_with_is_a_visible_row(experiment, tmp_path):
    shutil.copytree(experiment, tmp_path / "exp")
    shutil.rmtree(tmp_path / "exp" / "initial")
    shutil.rmtree(tmp_path / "exp" / "rft-0" / "evaluations")
    shutil.rmtree(tmp_path / "exp" / "rft-1" / "evaluations")
    cells = read_experiment([tmp_path / "exp"])
    for table in (coverage_gains(cells), crossovers(cells)):
        rows = table.set_index(["label", "slice"])
        assert rows.loc[("GRPO+OS", "main"), "note"] == NO_BASELINE
        assert "not evaluated" in rows.loc[("RFT", "main"), "status"]
        assert rows["low"].isna().all()


def test_tables_of_another_schema_are_refused(experiment, tmp_path):
    table = crossovers(read_experiment([experiment]))
    write_table(table, tmp_path / "crossovers.csv", {"schema": SCHEMA})
    read, _ = read_table(tmp_path / "crossovers.csv")
    assert read["leader"].tolist() == table["leader"].tolist()
    assert np.isinf(read["high"]).sum() == np.isinf(table["high"].astype(float)).sum()
    write_table(table, tmp_path / "crossovers.csv", {"schema": SCHEMA + 1})
    with pytest.raises(
        DataError,
        match=r"schema 2 is not 1, which this version reads; make it again with: unified-rl tables",
    ):
        read_table(tmp_path / "crossovers.csv")
