"""The shipped ablations: every cell is a legal run, and differs from its neighbours in what the ablation varies, nothing else."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from unified_rl.grids import tuning
from unified_rl.grids.costs import parameters
from unified_rl.grids.definition import (
    ARM_SEEDS,
    PER_SEED,
    START_LABEL,
    START_SEEDS,
    Grid,
    cells,
    in_another_world,
    is_start,
    with_choices,
)
from unified_rl.grids.runner import load_grid
from unified_rl.grids.shared_stages import shared_stages
from unified_rl.launch.cells import Cell
from unified_rl.plotting.make import FIGURES
from unified_rl.presets import loading
from unified_rl.stages.iterate import check_iterate
from unified_rl.statistics.table_files import read_table

#: What each ablation's arms may differ in, beside the label. `method` names the row that an arm's presets come from.
VARIED = {
    "all_methods": {"method", "source", "reward", "coefficient", "aggregation", "trainer.learning_rate", "rollout"},
    "online_vs_offline": {"method", "source.name", "source.refresh_every", "trainer.learning_rate"},
    "outcome_vs_process": {"method", "reward", "coefficient", "trainer.learning_rate"},
    "rule_vs_model": {"method", "reward", "reward_model.kind", "trainer.learning_rate"},
    "negative_signal": {"method", "coefficient", "trainer.learning_rate"},
    "iterative_rl": {"method", "reward", "trainer.learning_rate", "iterate.reference", "iterate.reward_model"},
    "kl": {"method", "coefficient"},
    "normalisation": {"coefficient", "aggregation.name"},
    "group_size": {"rollout.prompts_per_step", "rollout.responses_per_prompt"},
    "ood_prompts": {"data.slices"},
    "dialects_on_policy": {"dialect", "coefficient", "aggregation.name", "trainer.learning_rate", "importance"},
    "dialects_updates": {"dialect", "coefficient", "aggregation.name", "trainer.learning_rate", "importance"},
    "dialects_lag": {"dialect", "coefficient", "aggregation.name", "trainer.learning_rate", "importance"},
    "engines": {"method", "coefficient", "trainer.name", "sft.trainer", "generator.name", "vllm", "trainer.learning_rate"},
    "noise_correction": {"method", "reward", "coefficient", "trainer.learning_rate"},
    "loophole": {"method", "source", "reward", "coefficient", "trainer.learning_rate"},
    "pass_at_1024": {"method", "coefficient", "trainer.learning_rate"},
    "effective_rate": {"method", "coefficient", "trainer.learning_rate", "trainer.max_grad_norm"},
    "cot_pass": {"method", "reward", "coefficient", "trainer.learning_rate"},
    "replayed_reward_model": {
        *("reward_model.label_false_positive", "reward_model.label_false_negative"),
        "iterate.replay",
    },
    "size_ladder": {"method", "source", "reward", "coefficient", "aggregation", "trainer.learning_rate"},
    "sampling_strategy": {"method", "source", "generator.temperature", "generator.top_p", "trainer.learning_rate"},
}
CASES = [(name, preset) for name in VARIED for preset in ("testing", "default")]
INCIDENTAL = {"label", "seed"}


def grid_of(name: str) -> Grid:
    return load_grid(name)[0]


def flat(config, prefix=""):
    """A configuration as dotted keys."""
    if not isinstance(config, dict) or not config:
        return {prefix[:-1]: config}
    return {key: value for name, part in config.items() for key, value in flat(part, f"{prefix}{name}.").items()}


def one_seed(name: str, preset: str) -> list[Cell]:
    """The start's cell and those of one seed: `test_seeds_differ_in_nothing_else` speaks for the others."""
    return cells(with_choices(grid_of(name), preset, seeds=(1,)), preset)


@cache
def loaded(words):
    return flat(loading.as_dict(loading.load_config(words)))


def resolved(cell):
    return loaded(cell.train)


def allowed(key: str, varied: set[str]) -> bool:
    return key in INCIDENTAL or any(key == name or key.startswith(f"{name}.") for name in varied)


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_every_cell_is_a_legal_run_and_differs_in_what_is_varied(name, preset):
    grid = grid_of(name)
    assert grid.name == name
    found = [(cell, resolved(cell)) for cell in one_seed(name, preset) if cell.label != START_LABEL]
    _, first = found[0]
    for cell, settings in found:
        changed = {key for key in settings.keys() | first.keys() if settings.get(key) != first.get(key)}
        strange = {key for key in changed if not allowed(key, VARIED[name])}
        assert not strange, f"{cell.name} also differs in {strange}"
        if cell.command == "iterate":
            check_iterate(loading.load_config(cell.train))


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_arms_of_one_seed_are_different_runs(name, preset):
    runs = [resolved(cell) | {"label": ""} for cell in one_seed(name, preset)]
    assert all(runs.count(run) == 1 for run in runs)


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_seeds_differ_in_nothing_else(name, preset):
    of_label = {}
    for cell in cells(grid_of(name), preset):
        seeds = {f"{key}={cell.seed}" for key in ("seed", *START_SEEDS, *ARM_SEEDS, "reward.noise_seed")}
        of_label.setdefault(cell.label, []).append([word for word in cell.train if word not in seeds])
        noisy = any(word.startswith("reward.noise_seed=") for word in cell.train)
        assert len(cell.train) - len(of_label[cell.label][-1]) == (3 if is_start(cell) else 4 + noisy)
    for runs in of_label.values():
        assert len(runs) == len(grid_of(name).preset(preset).seeds)
        assert all(run == runs[0] for run in runs)


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_the_start_policy_is_the_one_that_every_arm_starts_from(name, preset):
    start, *arms = one_seed(name, preset)
    begun = resolved(start)
    assert begun["trainer.steps"] == 0
    for cell in arms:
        settings = resolved(cell)
        for key in begun:
            if key.split(".")[0] in ("stack", "init", "task", "model", "sft") and key != "sft.trainer":
                assert settings[key] == begun[key], (cell.name, key)


def test_ids_are_unique_and_stable():
    ids = [cell.name for name, preset in CASES for cell in cells(grid_of(name), preset) if cell.label != START_LABEL]
    shared = {name for name, count in Counter(ids).items() if count > 1}
    words = {}
    for name, preset in CASES:
        for cell in cells(grid_of(name), preset):
            if cell.name in shared:  # two grids may name the same run, and then mean the same
                assert words.setdefault(cell.name, (cell.train, cell.evaluate)) == (cell.train, cell.evaluate)
    for name, preset in CASES:
        once, again = ([cell.name for cell in cells(grid_of(name), preset)] for _ in range(2))
        assert once == again
        assert len(set(once)) == len(once)


@pytest.mark.parametrize("name", VARIED)
def test_a_definition_says_what_it_must(name):
    grid, text = load_grid(name)
    for part in ("Hypothesis", "Arms", "Settings:", "Seeds:", "Budget:", "Matching rule:", "What cannot be matched:"):
        assert part in text, f"the docstring has no {part!r}"
    runs = len(grid.arms) * len(grid.preset("default").seeds)
    assert f"Budget: {runs} " in " ".join(text.split()), f"the docstring's budget is not the grid's {runs} runs"
    assert set(grid.figures) <= set(FIGURES)
    planned = cells(grid, "default")
    said = tuning.sentence(planned, grid.sweep)
    for arm in grid.arms:
        if arm.command == "train":
            rate = loading.load_config(next(cell for cell in planned if cell.label == arm.label).train)
            assert f"{arm.label} {rate.trainer.learning_rate:g} (" in said
    assert grid.primary and all(one.reason for one in grid.primary) and "Primary" in text
    assert len(grid.preset("default").seeds) == (3 if name == "size_ladder" else 5) and grid.starts == PER_SEED
    assert len(grid.preset("testing").seeds) == 1


def test_rates_are_looked_up_in_the_sweep_of_these_arms_and_not_in_another_world():
    grid = grid_of("dialects_updates")
    here, away = (
        tuning.sentence(cells(one, "default"), one.sweep) for one in (grid, in_another_world(grid, ("task=countdown",)))
    )
    assert "TRL, 4 x 2 updates 0.0001 (swept, not the best of 4)" in here
    assert "TRL, 4 x 2 updates lr 1e-05 1e-05 (best of 4 swept)" in here and here.endswith(f"sweep: {grid.sweep}")
    assert "best of" not in away and "TRL, 4 x 2 updates lr 1e-05 1e-05 (not swept)" in away


def test_both_pairs_of_engines_start_from_one_policy():
    keys = {stage.key for cell in one_seed("engines", "default") for stage in shared_stages(loading.load_config(cell.train))}
    assert len(keys) == 2, "a base model and an SFT policy"
    other = loading.load_config(["method=grpo", "engine=deepspeed"])
    assert not {stage.key for stage in shared_stages(other) if stage.name == "sft"} & keys, "by default the run's own trainer"


def test_learning_rates_are_the_swept_ones_where_the_definition_says_so():
    swept = {"rft": 1e-4, "online_rft": 3e-5, "grpo": 1e-4, "grpo_ps": 3e-5, "ppo": 1e-4, "dpo": 3e-5, "sft": 3e-4}
    for cell in one_seed("all_methods", "default")[1:]:
        settings = resolved(cell)
        assert settings["trainer.learning_rate"] == swept[settings["method"]], cell.name


def test_updates_have_equally_many_responses():
    for name in VARIED:
        for cell in one_seed(name, "default")[1:]:
            settings = resolved(cell)
            assert settings["rollout.prompts_per_step"] * settings["rollout.responses_per_prompt"] == 256, cell.name


@pytest.mark.parametrize(("preset", "millions"), [("default", 0.33), ("1m", 0.99), ("3m", 3.1)])
def test_the_ladder_has_the_sizes_it_says(preset, millions):
    grid = grid_of("size_ladder")
    for cell in one_seed("size_ladder", preset):
        config = loading.load_config(cell.train)
        assert parameters(config.model) / 1e6 == pytest.approx(millions, rel=0.02)
        assert config.sft.learning_rate * config.model.hidden_size == pytest.approx(3e-3 * 96)
        if cell.label != START_LABEL:
            swept = {"RFT": 1e-4, "Online RFT": 3e-5, "GRPO+OS": 1e-4, "GRPO+PS": 3e-5}[cell.label]
            assert config.trainer.learning_rate * config.model.hidden_size == pytest.approx(swept * 96)
    assert len(cells(grid, preset)) == 3 + 12
    known = {seed for other in ("all_methods", "negative_signal") for seed in grid_of(other).preset("default").seeds}
    assert len(grid.preset(preset).seeds) == 3 and not known & set(grid.preset(preset).seeds), "what is known is not run again"


def test_one_length_is_under_every_gradient_that_was_seen():
    """Of the arms that effective_rate cuts, in shipped runs; and the primary contrast is of arms without a KL term."""
    grid = grid_of("effective_rate")
    cut = {arm.label: resolved(one)["trainer.max_grad_norm"] for arm, one in arms_of(grid) if arm.label.endswith("one length")}
    seen = {
        "all_methods": ("Online RFT", "GRPO+OS"),
        "negative_signal": ("Online RFT", "Online RFT, GRPO's rate", "GRPO+OS", "GRPO+OS, no KL"),
    }
    least = []
    for name, labels in seen.items():
        table, _ = read_table(f"experiments/results/{name}/dynamics.csv")
        rows = table[table["label"].isin(labels) & (table["seed"] != "all")]
        assert set(rows["label"]) == set(labels)
        least.append(rows["grad_norm"].min())
    assert len(cut) == 3 and len(set(cut.values())) == 1 and max(cut.values()) <= min(least) / 4
    (primary,) = grid.primary
    compared = [resolved(one) for arm, one in arms_of(grid) if arm.label in (primary.label, primary.baseline)]
    assert len(compared) == 2 and all(not settings.get("coefficient.kl_coef") for settings in compared)
    assert len({settings["trainer.learning_rate"] for settings in compared}) == 1
    assert all(resolved(one)["logging.curve_samples"] > 0 for _, one in arms_of(grid)), "the gap is in means over samples"


def arms_of(grid: Grid):
    """Every arm with its cell of one seed."""
    of_label = {cell.label: cell for cell in one_seed(grid.name, "default")}
    return [(arm, of_label[arm.label]) for arm in grid.arms]


@pytest.mark.parametrize("name", ["all_methods", "outcome_vs_process"])
def test_the_second_world_takes_the_grids_that_are_to_run_there(name):
    there = in_another_world(with_choices(grid_of(name), "default", seeds=(1,)), ("task=countdown",))
    for cell in cells(there, "default"):
        assert loading.load_config(cell.train).task.name == "countdown"
