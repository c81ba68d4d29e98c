"""Start policies of a grid: one for all seeds, or one for each, with what is made from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.grids.definition import PER_SEED, SHARED, Arm, Grid, Preset, cells, in_another_world, is_start
from unified_rl.grids.folder import describe
from unified_rl.grids.tuning import sentence
from unified_rl.presets.loading import as_dict, load_config
from unified_rl.records.config_file import flat
from unified_rl.stages.chain import made_for
from unified_rl.statistics.comparable import settings_apart, start_of

NOISY = ("method=grpo", "reward.false_positive=0.2", "reward.noise_seed={seed}")
ARMS = (Arm("RFT", ("method=rft",)), Arm("ORM", ("method=grpo", "reward=model")), Arm("Noisy", NOISY))
GRID = Grid(
    "drawn", "Starts of their own", ARMS, {"testing": Preset((0, 3, 7), ("sft.steps=5",), ("samples=2",))}, starts=PER_SEED
)
OWN = (
    "from unified_rl.grids.definition import *\n"
    "GRID = Grid('own', 'Own', (Arm('RFT', ('method=rft',)),), {'default': Preset((4, 5))}, starts=PER_SEED)\n"
)


def settings_of(cell):
    return flat(as_dict(load_config(cell.train)))


def test_each_seed_has_a_start_and_its_arms_start_from_it():
    found = cells(GRID, "testing")
    starts = [cell for cell in found if is_start(cell)]
    assert [(cell.seed, cell.label) for cell in starts] == [(0, "SFT"), (3, "SFT"), (7, "SFT")]
    drawn = {cell.seed: start_of(settings_of(cell)) for cell in starts}
    assert len(set(drawn.values())) == 3, "three draws"
    for cell in found:
        settings = settings_of(cell)
        assert start_of(settings) == drawn[cell.seed] and settings["seed"] == cell.seed, cell.name
        assert settings["trainer.steps"] == (0 if is_start(cell) else 48)
        assert settings["reward.noise_seed"] == (cell.seed if cell.label == "Noisy" else 0)
    assert len({cell.name for cell in found}) == len(found) == 12


def test_the_seeds_of_an_arm_may_be_pooled_and_its_arms_may_not():
    by_label = {}
    for cell in cells(GRID, "testing"):
        by_label.setdefault(cell.label, []).append(settings_of(cell))
    for runs in by_label.values():
        assert not any(settings_apart(runs[0], run) for run in runs)
    first = [runs[0] for runs in by_label.values()]
    assert all(settings_apart(a, b) for place, a in enumerate(first) for b in first[place + 1 :])


def test_what_is_made_from_a_start_is_made_for_each(tmp_path):
    """Base, SFT policy, stored samples, data, labels and reward model: no seed reads another's; arms of one seed share theirs."""
    keys = {}
    for cell in cells(GRID, "testing"):
        for stage in made_for(load_config([*cell.train, f"artifacts={tmp_path}"])):
            keys.setdefault((cell.seed, stage.name), set()).add(stage.key())
    assert all(len(found) == 1 for found in keys.values())
    names = {name for _, name in keys}
    assert len(names) == 6 and len(set().union(*keys.values())) == 3 * len(names)


def test_samples_of_one_policy_are_drawn_by_its_seed(tmp_path):
    """A policy that was brought has no seed of its own, and yet other noise is another store."""
    config = load_config(["method=rft", f"artifacts={tmp_path}"])
    other = replace(config, sft=replace(config.sft, seed=1))
    same = {"policy": made_for(config)[1]}
    from unified_rl.stages.kinds.offline_samples import stage

    assert stage(config, same).key() != stage(other, same).key()


def test_a_shared_start_is_as_it_was():
    shared = replace(GRID, starts=SHARED)
    start, *arms = cells(shared, "testing")
    assert is_start(start) and not any(is_start(cell) for cell in arms) and len(arms) == 9
    assert not [word for cell in (start, *arms) for word in cell.train if ".seed=" in word]
    assert describe(shared, "testing", [start, *arms], "")["starts"] == SHARED


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"starts": "each"}, "starts='each' is neither"), ({"start_folder": "sft"}, "must have '{seed}' in it")],
)
def test_mistakes_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        replace(GRID, **changed)


def test_a_dry_run_lists_each_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    assert main(["grid", "own.py", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count("sft_policy-seed") == 2 and "read by 2 cells)" in said and "4 cells" in said


def test_a_grid_in_another_world_has_the_same_arms_there():
    there = in_another_world(GRID, ("task=countdown", "model.hidden_size=48"))
    assert there.name == "drawn_task_countdown_model_hidden_size_48"
    assert there.line == ("drawn", *there.world) and there.world == ("task=countdown", "model.hidden_size=48")
    elsewhere = "nothing was swept with task=countdown model.hidden_size=48, and rates are those of the ablation's own world"
    assert there.tuning == elsewhere
    tuned = in_another_world(replace(GRID, tuning="each at its own best rate"), ("task=countdown",)).tuning
    assert tuned.endswith("are those of the ablation's own world, of which its file says: each at its own best rate")
    here, away = cells(GRID, "testing"), cells(there, "testing")
    assert [(cell.label, cell.seed) for cell in here] == [(cell.label, cell.seed) for cell in away]
    assert not {cell.name for cell in here} & {cell.name for cell in away}
    for cell, other in zip(here, away, strict=True):
        config = load_config(other.train)
        assert (config.task.name, config.model.hidden_size, config.data.prompts) == ("countdown", 48, 2048)
        assert [word for word in other.train if word not in cell.train] == ["task=countdown", "model.hidden_size=48"]
    assert "(not swept)" in sentence(away) and "best of" not in sentence(away)
    for word in ("trainer.steps=3", "reward=model", "artifacts=here", "method=grpo"):
        with pytest.raises(ConfigError, match="is not about the world of grid drawn"):
            in_another_world(GRID, (word,))


def test_the_command_takes_a_named_grid_to_another_world(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    assert main(["grid", "own.py", "task=countdown", "--dry-run"]) == 0
    assert (
        "own_task_countdown: Own (task=countdown); preset default, into runs/own_task_countdown_default"
        in capsys.readouterr().out
    )
