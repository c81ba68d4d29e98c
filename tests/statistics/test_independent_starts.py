"""Tables of runs with start policies of their own: each seed against its own start, and how many starts there were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import write_evaluation, write_run, write_status

from unified_rl.records.config_file import flat
from unified_rl.statistics.comparable import count_starts, start_of, starts_in_words
from unified_rl.statistics.counts import read_counts, write_counts
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.grid_table import contrast_table, read_data, summary
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.tables import curves, pass_maj, results

SIZE = {"problems": 20, "samples": 8}
SEEDS = (0, 1, 2)


def drawn(path: Path, seed: int) -> None:
    with (path / "config.yaml").open("a") as file:
        file.write(f"model:\n  path: ''\n  seed: {seed}\nsft:\n  seed: {seed}\n")


def write_start(path: Path, seed: int, gain: float) -> None:
    write_evaluation(path, {"method": "sft", "label": "SFT", "seed": seed, "step": 0}, gain, **SIZE)
    (path / "config.yaml").write_text(f"method: sft\nlabel: SFT\nseed: {seed}\ntrainer:\n  steps: 0\n")
    write_status(path, "finished", 0, 0)


@pytest.fixture
def root(tmp_path):
    """Three seeds of one method, each with a start of its own, which differ widely."""
    for seed in SEEDS:
        write_start(tmp_path / f"start-{seed}", seed, 0.8 * seed)
        write_run(tmp_path / f"grpo-{seed}", "GRPO+OS", "grpo", seed, 1.5 + 0.8 * seed, steps=16, **SIZE)
        for kind in ("start", "grpo"):
            drawn(tmp_path / f"{kind}-{seed}", seed)
    return tmp_path


def test_each_seed_is_compared_with_its_own_start(root):
    cells = {(cell.label, cell.seed): cell for cell in read_experiment([root])}
    table = results(list(cells.values()))
    for name in ("main", "hard"):
        own, start = (
            np.stack([cells[label, seed].scores[name, "test"].greedy for seed in SEEDS]) for label in ("GRPO+OS", "SFT")
        )
        row = table[(table["label"] == "GRPO+OS") & (table["slice"] == name)].iloc[0]
        expected = paired_difference(own, start)
        assert (row["difference"], row["difference_low"]) == pytest.approx((expected.estimate, expected.low))
        assert row["num_starts"] == 3 and "one baseline policy" not in row["note"]
    compared = contrast_table(read_data([root])).dropna(subset="estimate")
    assert set(compared["num_starts"]) == {3} and set(compared["num_seeds"]) == {3}
    assert set(summary(read_data([root]))["num_starts"].dropna()) == {3}
    assert set(curves(list(cells.values())).query("seed == 'all'")["num_starts"]) == {3}
    assert set(pass_maj(list(cells.values()))["num_starts"]) == {3}


def test_another_seeds_start_is_no_baseline(root):
    """With one start of three evaluated, the other seeds have nothing to be compared with, and the holes are seen."""
    for seed in (1, 2):
        for file in sorted((root / f"start-{seed}").rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        (root / f"start-{seed}").rmdir()
    cells = read_experiment([root])
    row = results(cells).query("label == 'GRPO+OS'").iloc[0]
    assert np.isnan(row["difference"])
    assert {(cell.seed, cell.status) for cell in cells if cell.label == "SFT"} == {
        (0, "complete"),
        (1, "missing"),
        (2, "missing"),
    }
    compared = contrast_table(read_data([root]))
    assert set(compared["num_seeds"].dropna()) == {1}, "seed 0 alone has its start"


def test_a_shared_start_serves_every_seed_and_says_so(root):
    for kind, seed in [("grpo", 1), ("grpo", 2)]:
        config = root / f"{kind}-{seed}" / "config.yaml"
        config.write_text(config.read_text().replace(f"  seed: {seed}\n", "  seed: 0\n"))
    for seed in (1, 2):
        (root / f"start-{seed}").rename(root.parent / f"away-{root.name}-{seed}")
    row = results(read_experiment([root])).query("label == 'GRPO+OS'").iloc[0]
    assert row["num_starts"] == 1 and np.isfinite(row["difference"])


def test_a_file_of_counts_keeps_the_starts(root, tmp_path):
    file = tmp_path / "votes.parquet"
    cells = read_experiment([root])
    write_counts(cells, file, {})
    assert [start_of(cell.settings) for cell in read_counts(file)[0]] == [start_of(cell.settings) for cell in cells]
    assert results(read_counts(file)[0])["num_starts"].tolist() == results(cells)["num_starts"].tolist()


def test_what_a_start_is_drawn_by():
    stages = {"stages": {"base": {"inputs": {}}, "sft": {"inputs": {"policy": "base"}}}}
    whole = {
        "seed": 5,
        "model": {"seed": 1, "path": ""},
        "sft": {"seed": 2},
        "reward": {"noise_seed": 3},
        "init": "sft",
        **stages,
    }
    assert start_of(flat(whole)) == (("model.seed", 1), ("sft.seed", 2))
    assert start_of(flat(whole | {"model": {"seed": 1, "path": "brought"}})) == (("sft.seed", 2),)
    assert start_of(flat(whole | {"init": "base"})) == (("model.seed", 1),), "it is not trained"
    assert start_of({}) == ()


def test_starts_are_counted_and_said():
    one, other = {"sft.seed": 0}, {"sft.seed": 1}
    assert [count_starts(found) for found in ([], [{}], [one, {}], [one, one], [one, other, {}])] == [0, 1, 1, 1, 2]
    assert starts_in_words(5, 5) == "Each seed has an SFT policy of its own: 5 independent starts."
    assert "nothing is said of others" in starts_in_words(1, 5)
    assert "share 2" in starts_in_words(2, 6)
    assert starts_in_words(1, 1) == starts_in_words(0, 5) == ""
