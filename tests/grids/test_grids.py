"""Grids as data: stable ids, one difference between neighbours, matching rules, and mistakes that are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from coin_grid import GRID
from grid_processes import COIN_GRID

from unified_rl.base.errors import ConfigError, DataError, RunDirectoryError
from unified_rl.cli import main
from unified_rl.grids.definition import (
    Arm,
    Grid,
    Preset,
    Primary,
    cells,
    equal_sampled_tokens,
    equal_training_tokens,
    matching_of,
    slug,
    with_choices,
)
from unified_rl.grids.folder import describe, open_folder
from unified_rl.launch.cells import Cell
from unified_rl.presets.loading import load_config
from unified_rl.statistics.grid_file import read_grid

SMALL = Grid(
    name="small",
    title="Two arms",
    arms=(Arm("GRPO+PS", ("method=grpo_ps",)), Arm("RFT", ("method=rft", "rollout.epochs=1"))),
    presets={"testing": Preset((0, 1), ("rollout.epochs=2", "sft.steps=5"), ("samples=2",))},
)


def test_cells_are_a_pure_function_with_readable_ids():
    first, again = cells(SMALL, "testing"), cells(SMALL, "testing")
    assert first == again
    assert [cell.name.rpartition("-")[0] for cell in first] == [
        "sft_policy",
        *(f"{name}-seed{seed}-equal_updates" for seed in (0, 1) for name in ("grpo_ps", "rft")),
    ]
    assert len({cell.name for cell in first}) == 5
    # An id is a promise: runs that are on somebody's disk must be found again.
    assert first[1].name == "grpo_ps-seed0-equal_updates-189c489b"


def test_an_id_changes_with_what_defines_the_numbers_and_nothing_else():
    name = cells(SMALL, "testing")[1].name
    for changed in (
        replace(SMALL, common=("trainer.learning_rate=1e-5",)),
        replace(SMALL, matching=equal_sampled_tokens(100)),
        replace(SMALL, presets={"testing": replace(SMALL.presets["testing"], evaluate=("samples=3",))}),
        replace(SMALL, arms=(Arm("GRPO+PS", ("method=grpo_ps", "coefficient.kl_coef=0.1")), SMALL.arms[1])),
    ):
        assert cells(changed, "testing")[1].name != name
    for same in (
        replace(SMALL, title="Another title", tuning="by hand", arms=SMALL.arms[:1]),
        replace(SMALL, presets={"testing": replace(SMALL.presets["testing"], cores=4, gpus=2)}),
        replace(SMALL, common=("artifacts=elsewhere",)),
    ):
        assert cells(same, "testing")[1].name == name


def test_the_arm_has_the_last_word_and_the_start_policy_none_of_it():
    size = replace(SMALL.presets["testing"], arms={"RFT": ("rollout.minibatches=2",)})
    start, grpo, rft = cells(replace(SMALL, presets={"testing": size}), "testing")[:3]
    assert load_config(grpo.train).rollout.epochs == 2 and load_config(rft.train).rollout.epochs == 1
    assert (load_config(rft.train).rollout.minibatches, load_config(grpo.train).rollout.minibatches) == (2, 1)
    config = load_config(start.train)
    assert (config.trainer.steps, config.sft.steps, config.label, config.rollout.epochs) == (0, 5, "SFT", 1)


def test_token_rules_reach_the_trainer_and_the_caption():
    for rule, counts in ((equal_sampled_tokens(1234), "sampled"), (equal_training_tokens(1234), "trained")):
        cell = cells(replace(SMALL, matching=rule), "testing")[1]
        trainer = load_config(cell.train).trainer
        assert (trainer.token_budget, trainer.budget_counts) == (1234, counts)
        assert rule.rule in cell.name and "1,234" in rule.caption
        assert matching_of(f"{rule.rule}:1234") == rule
    own = replace(SMALL, presets={"testing": replace(SMALL.presets["testing"], matching=equal_sampled_tokens(9))})
    assert own.matching_in("testing").budget == 9
    for text in ("equal_steps", "equal_updates:5", "equal_sampled_tokens", "equal_sampled_tokens:0", "equal_sampled_tokens:x"):
        with pytest.raises(ConfigError):
            matching_of(text)


def test_seeds_can_be_fewer_or_more():
    for count, seeds in ((1, (0,)), (2, (0, 1)), (4, (0, 1, 2, 3))):
        chosen = with_choices(SMALL, "testing", seeds=(count,))
        assert chosen.preset("testing").seeds == seeds
    assert with_choices(SMALL, "testing", seeds=(3, 1)).preset("testing").seeds == (3, 1)


def test_arms_are_chosen_by_their_names():
    chosen = with_choices(SMALL, "testing", arms=("grpo*",))
    assert [cell.label for cell in cells(chosen, "testing")] == ["SFT", "GRPO+PS", "GRPO+PS"]
    assert cells(chosen, "testing")[1] == cells(SMALL, "testing")[1], "the same cells, fewer of them"
    with pytest.raises(ConfigError, match="arms=grpo is no arm of grid small; did you mean 'grpo_ps'"):
        with_choices(SMALL, "testing", arms=("grpo",))


def test_plain_folders_are_for_jobs_known_by_them():
    plain = replace(SMALL, arms=(Arm("RFT", ("method=rft",), folder="rft-seed{seed}"),), start_folder="start")
    assert [cell.name for cell in cells(plain, "testing")] == ["start", "rft-seed0", "rft-seed1"]


def test_names_for_files():
    assert [slug(text) for text in ("GRPO+PS", "RFT, n = 4", "KL k3 (loss)", "∞")] == [
        "grpo_ps",
        "rft_n_4",
        "kl_k3_loss",
        "arm",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(SMALL, arms=(*SMALL.arms, SMALL.arms[0])), "two arms have the label 'GRPO\\+PS'"),
        (lambda: replace(SMALL, baseline="GRPO+SP"), "no arm has the label 'GRPO\\+SP'; did you mean 'GRPO\\+PS'"),
        (lambda: replace(SMALL, contrasts=(("RFT", "PPO"),)), "no arm has the label 'PPO'"),
        (lambda: cells(SMALL, "tesing"), "preset=tesing is not known; did you mean 'testing'"),
        (lambda: Preset(()), "at least one"),
        (lambda: Arm("A", (), command="evaluate"), "not a command of grids"),
        (
            lambda: cells(replace(SMALL, arms=(Arm("RFT", (), "iterate"),), matching=equal_sampled_tokens(5)), "testing"),
            "use matching=equal_updates",
        ),
        (lambda: with_choices(SMALL, "testing", seeds=(0,)), "seeds=0 must be 1 or more"),
    ],
)
def test_mistakes_in_a_grid_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "grid needs the name of an ablation"),
        (["no_such_grid"], "experiments/no_such_grid.py does not exist"),
        (["NO_GRID"], "has no 'GRID'"),
        (["COIN", "presett=testing"], "'presett' is not a setting of `unified-rl grid`; did you mean 'preset'"),
        (["COIN", "preset=testing", "workers=many"], "workers=many must be a whole number"),
        (["COIN", "preset=testing", "launcher=cloud"], "launcher=cloud is not known"),
        (["COIN", "preset=testing", "slurm.partition=a"], "goes with launcher=slurm"),
        (["COIN", "--dry-run", "--status"], "ask one"),
        (["COIN", "trainer.steps=3"], "its file says what its arms are"),
        (["method=grpo,rft", "seed=x"], "must be whole numbers"),
        (["method=grpo", "method=rft"], "method is given twice"),
        (["method=grpo,rftt", "--dry-runn"], "did you mean '--dry-run'"),
    ],
)
def test_mistakes_on_the_command_line_are_one_message(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = {"COIN": str(COIN_GRID), "NO_GRID": str(Path(__file__).parents[1] / "tiny.py")}
    assert main(["grid", *(places.get(word, word) for word in words)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_holds_one_grid(tmp_path):
    def opened(grid: Grid) -> None:
        open_folder(tmp_path, describe(grid, "testing", cells(grid, "testing"), "why"))

    opened(SMALL)
    opened(SMALL)
    (tmp_path / "runs" / cells(SMALL, "testing")[2].name).mkdir(parents=True)
    opened(replace(SMALL, title="Only words"))
    with pytest.raises(RunDirectoryError, match="holds a grid with matching"):
        opened(replace(SMALL, matching=equal_sampled_tokens(100)))
    with pytest.raises(RunDirectoryError, match=r"1 runs in .* are no cells of this grid"):
        opened(replace(SMALL, arms=SMALL.arms[:1]))
    (tmp_path / "grid.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="not readable"):
        opened(SMALL)


@pytest.mark.parametrize("expected", ["above", "below", ""])
def test_what_a_primary_contrast_expects_is_in_the_plan_and_no_part_of_a_cell(expected, tmp_path):
    label = GRID.arms[0].label
    grid = replace(GRID, primary=(Primary(label, "SFT", expected=expected),))
    found = cells(grid, "testing")
    open_folder(tmp_path, describe(grid, "testing", found, "Does it work?"))
    (read,) = read_grid(tmp_path).primary
    assert (read.label, read.expected) == (label, expected)
    assert found == cells(GRID, "testing")


def test_a_plan_without_a_direction_states_none_and_a_wrong_one_is_refused(tmp_path):
    older = {"label": "B", "baseline": "A", "metric": "avg", "margin": 0.02}
    (tmp_path / "grid.json").write_text(json.dumps({"name": "older", "primary": [older]}))
    assert read_grid(tmp_path).primary[0].expected == ""
    (tmp_path / "grid.json").write_text(json.dumps({"name": "wrong", "primary": [older | {"expected": "up"}]}))
    with pytest.raises(DataError, match="expected=up is neither above nor below"):
        read_grid(tmp_path)
    with pytest.raises(ConfigError, match="expected=up is neither above nor below"):
        Primary("B", "A", expected="up")


def test_a_cell_survives_being_written_down():
    for cell in (*cells(GRID, "default"), Cell("plain", ("a=1",), None)):
        assert Cell.from_json(cell.to_json()) == cell
