"""Paired contrasts between labels, and their figure."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from synthetic_runs import write_experiment

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.plotting import contrasts as figure
from unified_rl.statistics.claims import SHIPPED
from unified_rl.statistics.contrasts import contrasts, verdict
from unified_rl.statistics.counts import read_cells
from unified_rl.statistics.grid_table import contrast_table, read_data
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.table_files import read_table, write_table


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root = tmp_path_factory.mktemp("contrasts") / "exp"
    return write_experiment(root, labels=("RFT", "GRPO+OS"), seeds=(0, 1, 2), problems=30, samples=8)


def test_a_contrast_is_the_paired_difference_over_common_seeds(experiment, tmp_path):
    folder = shutil.copytree(experiment, tmp_path / "exp")
    shutil.rmtree(next(folder.glob("rft-1")))
    cells, _ = read_cells([folder])
    pairs = [("GRPO+OS", "RFT"), ("RFT", "GRPO+OS"), ("GRPO+OS", "SFT")]
    table = contrasts(contrast_table(read_data([folder], pairs=pairs)), pairs)
    greedy = {
        (cell.label, cell.seed): np.asarray(cell.scores["main", "test"].greedy, dtype=float)
        for cell in cells
        if cell.path is not None
    }
    row = table[(table["label"] == "GRPO+OS") & (table["baseline"] == "RFT") & (table["slice"] == "main")].iloc[0]
    expected = paired_difference(*(np.stack([greedy[label, seed] for seed in (0, 2)]) for label in ("GRPO+OS", "RFT")))
    assert (row["metric"], row["num_seeds"]) == ("greedy", 2)
    assert (row["estimate"], row["low"], row["high"]) == (expected.estimate, expected.low, expected.high)
    turned = table[(table["label"] == "RFT") & (table["slice"] == "main")].iloc[0]
    assert turned["estimate"] == -row["estimate"]
    to_start = table[(table["baseline"] == "SFT") & (table["metric"] == "greedy")]
    assert (to_start["num_seeds"] == 3).all()
    assert "one baseline policy" in to_start["note"].iloc[0]
    assert set(table["metric"]) == {"greedy", "avg", "maj", "pass"}


@pytest.mark.parametrize("name", ["all_methods", "engines", "online_vs_offline"])
def test_the_shipped_contrasts_are_those_of_the_shipped_comparisons(name, tmp_path):
    """One comparison, two tables: byte for byte, but for the first line, which says how each was made."""
    folder = SHIPPED / name
    compared, shipped = (read_table(folder / f"{table}.csv")[0] for table in ("grid_contrasts", "contrasts"))
    pairs = list(dict.fromkeys(zip(shipped["label"], shipped["baseline"], strict=True)))
    write_table(contrasts(compared, pairs).astype({"k": "Int64"}), tmp_path / "again.csv", {})
    again, before = ((path.read_text().partition("\n")[2]) for path in (tmp_path / "again.csv", folder / "contrasts.csv"))
    assert again == before
    planned = [arm["label"] for arm in json.loads((folder / "grid.json").read_text())["arms"]]
    assert [label for label, baseline in pairs if baseline == "SFT"] == planned, "in the order of the plan"


def test_verdicts():
    assert [verdict(0.1, 0.2), verdict(-0.2, -0.1), verdict(-0.1, 0.1), verdict(0.0, 0.1)] == [
        "above 0",
        "below 0",
        "includes 0",
        "includes 0",
    ]


def test_command_and_figure(experiment, tmp_path, capsys):
    assert main(["tables", str(experiment), "pair=GRPO+OS|RFT", "pair=GRPO+OS|SFT", f"out={tmp_path}"]) == 0
    assert "GRPO+OS" in capsys.readouterr().out
    table, provenance = read_table(tmp_path / "contrasts.csv")
    assert len(table) == 2 * 2 * 4
    assert "GRPO+OS|RFT" in provenance["command"]
    files = figure.draw(tmp_path, tmp_path)
    assert files[1].stat().st_size > 5_000
    assert "stand after Holm's correction over the planned comparisons" in " ".join(files[2].read_text().split())


@pytest.mark.parametrize(
    ("pair", "says"),
    [("GRPO+OS", "LABEL|BASELINE"), ("GRPO+OS|nothing", "planned contrasts name 'nothing'"), ("|RFT", "LABEL|BASELINE")],
)
def test_bad_pairs_are_refused(experiment, tmp_path, capsys, pair, says):
    assert main(["tables", str(experiment), f"pair={pair}", f"out={tmp_path}"]) != 0
    assert says in capsys.readouterr().err


def test_labels_without_a_common_seed_cannot_be_paired(experiment, tmp_path):
    folder = shutil.copytree(experiment, tmp_path / "exp")
    for name in ("rft-0", "grpo-1", "grpo-2"):
        shutil.rmtree(folder / name)
    pairs = [("RFT", "GRPO+OS")]
    with pytest.raises(DataError, match="no seed in common"):
        contrasts(contrast_table(read_data([folder], pairs=pairs)), pairs)
