"""The paper's numbers: as recovered, and as the loader gives them."""

import json
from pathlib import Path

import numpy as np
import pytest

from unified_rl.statistics import reference
from unified_rl.statistics.coverage import coverage_split
from unified_rl.statistics.crossover import crossings

RECOVERED = Path(__file__).parents[3] / "shared" / "paper" / "figures_5_6_7.csv"
FACTS = RECOVERED.with_name("facts.md")


def test_file_names_the_paper_and_how_the_values_were_had():
    first = reference.DATA.read_text().splitlines()[0]
    provenance = json.loads(first.removeprefix("#"))
    assert "arXiv 2402.03300" in provenance["paper"]
    assert "recovered" in provenance["how"]


@pytest.mark.skipif(not RECOVERED.is_file(), reason="needs ../shared/paper/figures_5_6_7.csv, which is not part of the project")
def test_numbers_are_those_recovered_from_the_figures():
    assert reference.DATA.read_text().splitlines()[1:] == RECOVERED.read_text().splitlines()


def test_figure_7_as_a_table():
    table = reference.maj_and_pass()
    assert len(table) == 2 * 2 * 2 * 6
    assert not table.isna().any().any()
    assert sorted(table["k"].unique()) == [1, 4, 8, 16, 32, 64]
    wide = table.pivot(index=["benchmark", "k"], columns=["metric", "policy"], values="estimate")
    assert wide.loc[("GSM8K", 64), ("pass", "Instruct")] == pytest.approx(0.991)
    assert wide.loc[("MATH", 64), ("maj", "RL")] == pytest.approx(0.609)
    assert (wide["maj"] <= wide["pass"] + 1e-12).all().all()  # a vote elects only what was sampled


def test_what_figure_7_says():
    """RL leads in Pass@K at K = 1 and is overtaken: between 4 and 8 on GSM8K, between 16 and 32 on MATH; Maj@64 gains without
    coverage."""
    wide = reference.maj_and_pass().pivot(index=["benchmark", "k"], columns=["metric", "policy"], values="estimate")
    for benchmark, (low, high) in {"GSM8K": (4, 8), "MATH": (16, 32)}.items():
        part = wide.loc[benchmark]
        (k,) = crossings(part.index, part["pass", "RL"] - part["pass", "Instruct"])
        assert low < k < high
        last = part.loc[64]
        split = coverage_split(*([last[metric, policy]] for policy in ("RL", "Instruct") for metric in ("maj", "pass")))
        assert split.gain.estimate > 0.009
        assert split.coverage.estimate < 0 < split.concentration.estimate


def test_learning_curves():
    curves = reference.learning_curves(5)
    assert curves.groupby(["benchmark", "series"]).size().eq(45).all()
    on_grid = curves[curves["step"] > 0]
    right = on_grid["accuracy"] * on_grid["num_problems"]
    np.testing.assert_allclose(right, right.round(), atol=0.01)
    assert set(reference.learning_curves(6)["series"]) == {f"Iteration-{number}" for number in range(3)}
    with pytest.raises(ValueError, match="choose 5 or 6"):
        reference.learning_curves(7)


def test_tables_1_to_9():
    table = reference.tables()
    assert sorted(table["table"].unique()) == list(range(1, 10))
    assert not table.duplicated(["table", "model", "size", "setting", "benchmark", "style"]).any()
    assert table["accuracy"].between(0, 1).all() and set(table["certainty"]) == {"printed", "printed and pictured", "released"}
    released = table["certainty"] == "released"
    assert (released == table["released"].notna()).all() and released.sum() == 26
    whole = (table["released"] * table["num_problems"])[released]
    assert np.allclose(whole, whole.round(), atol=1e-9), "shares of whole answers"
    off = (table["released"] - table["accuracy"]).abs()[released] > 0.000501
    assert list(table[released][off]["note"]) == ["released outputs give 57.50"]
    base = reference.tables(2).query("model == 'DeepSeekMath-Base'").set_index("benchmark")["accuracy"]
    assert base["gsm8k"] == pytest.approx(0.642)
    assert list(base.index) == [name for name in reference.BENCHMARKS if name != "mgsm_zh"]


@pytest.mark.skipif(not FACTS.is_file(), reason="needs ../shared/paper/facts.md, which is not part of the project")
def test_the_tables_are_those_that_were_read():
    text = FACTS.read_text().replace("**", "").replace(" / ", "/").replace(" | ", "/")
    keys = ["table", "model", "size", "setting", "style"]
    for key, rows in reference.tables(1, 2, 4, 6, 7, 8, 9).groupby(keys, sort=False):
        said = "/".join(f"{100 * value:.1f}" for value in rows["accuracy"])
        known = said in text or said.replace("/", "/-/", 3).replace("/-/", "/", 2) in text  # Minerva has no SAT
        assert known, (key, said)
