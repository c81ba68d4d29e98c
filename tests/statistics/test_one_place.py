"""Each comparison of a page is computed once, whichever tables show it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic_runs import write_experiment

from unified_rl.cli import main
from unified_rl.statistics import paired
from unified_rl.statistics.table_files import read_table

STATISTICS = Path(paired.__file__).parent
KS = (1, 2, 4, 8)
BOUNDS = ["low", "high"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Tables of two methods and their start, and how often a difference was computed on the way."""
    root = tmp_path_factory.mktemp("page")
    write_experiment(root / "runs", labels=("RFT", "GRPO+OS"), problems=12, samples=8, steps=16)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        compute = paired.paired_difference
        patch.setattr(paired, "paired_difference", lambda *tables: made.append(tables) or compute(*tables))
        assert main(["tables", str(root / "runs"), "pair=GRPO+OS|RFT", f"out={root / 'tables'}"]) == 0
    return root / "tables", len(made)


def test_a_comparison_is_computed_once(page):
    """Against the start: what the grid's table has, and the further Ks of Maj@K and Pass@K; between methods: the grid's alone."""
    folder, count = page
    contrasts = read_table(folder / "grid_contrasts.csv")[0]
    assert set(contrasts["k"].dropna()) == {max(KS)}
    smaller = 2 * 2 * 2 * (len(KS) - 1)  # methods x slices x metrics x Ks
    assert count == contrasts["estimate"].notna().sum() + smaller


def test_tables_that_show_a_comparison_agree(page):
    folder, _ = page
    contrasts = read_table(folder / "grid_contrasts.csv")[0].set_index(["label", "baseline", "slice", "metric"])
    results, curves = (read_table(folder / name)[0].dropna(subset="difference") for name in ("results.csv", "pass_maj.csv"))
    assert len(results) == 4
    for row in results.to_dict("records"):
        same = contrasts.loc[row["label"], "SFT", row["slice"], "greedy"]
        assert [row["difference"], row["difference_low"], row["difference_high"]] == [
            same[name] for name in ("estimate", *BOUNDS)
        ]
    last = curves[curves["k"] == max(KS)]
    assert len(last) == 8
    for row in last.to_dict("records"):
        same = contrasts.loc[row["label"], "SFT", row["slice"], row["metric"]]
        assert [row["difference"], row["difference_low"], row["difference_high"]] == [
            same[name] for name in ("estimate", *BOUNDS)
        ]


def test_no_other_table_of_runs_computes_a_difference():
    """Beside it: tables of their own (effects, gains of iterations, renewals, rates), and `unified-rl diff`."""
    found = {path.stem for path in STATISTICS.glob("*.py") if re.search(r"\bpaired_difference\(", path.read_text())}
    tables = {"factorial", "iterations", "renewals", "effective_rate"}
    assert found == {"intervals", "paired", "diff"} | tables
