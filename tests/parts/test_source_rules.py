"""Which source goes with what: filtered and searched text is for likelihoods only; training slices have prompts of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.presets.loading import load_config
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.stages import training, world
from unified_rl.stages.chain import stage
from unified_rl.stages.kinds.offline_samples import offline_samples

POLICY_COEFFICIENTS = ("grpo", "grpo_positives", "grpo_negatives", "grpo_kl_in_reward", "ppo", "rloo", "dr_grpo", "dapo")


@pytest.mark.parametrize("coefficient", POLICY_COEFFICIENTS)
def test_tree_search_is_refused_where_the_policys_own_samples_are_meant(coefficient):
    with pytest.raises(ConfigError, match=r"set coefficient=rft"):
        load_config(["source=tree_search", f"coefficient={coefficient}"])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["importance=truncated"], "importance=none"),
        (["task.solution=tool_integrated"], "chain_of_thought"),
        (["task.template=few_shot"], "few_shot"),
        (["task.stop=[END]"], r"task\.stop=\[\]"),
        (["source.roots=9"], r"lower source\.roots"),
        (["coefficient=sft"], "source=offline_samples"),
        (["source.branch_from=worst"], r"source\.branch_from"),
        (["source.refresh_every=4"], "refreshed_samples"),
        (["generator.top_p=0.9"], r"generator\.top_p=1"),
    ],
)
def test_tree_search_is_refused_where_it_cannot_work(words, hint):
    with pytest.raises(ConfigError, match=hint):
        load_config(["method=online_rft", "source=tree_search", *words])


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["generator=vllm"], "generator=torch"), (["trainer=deepspeed", "deepspeed.zero_stage=3"], r"zero_stage=2")],
)
def test_refreshed_samples_are_refused_where_the_policy_cannot_be_copied(words, hint):
    with pytest.raises(ConfigError, match=hint):
        load_config(["method=online_rft", "source=refreshed_samples", *words])


@pytest.mark.parametrize("method", ["rft", "dpo"])
@pytest.mark.parametrize("filtered", ["generator.top_p=0.9", "generator.top_k=5"])
def test_stored_filtered_samples_are_data_for_likelihoods(method, filtered):
    load_config([f"method={method}", filtered])


@pytest.mark.parametrize(
    "words",
    [
        ["method=online_rft", "generator.top_p=0.9"],
        ["method=online_rft", "source=refreshed_samples", "generator.top_p=0.9"],
        ["method=grpo", "source=offline_samples", "generator.top_p=0.9"],
        ["method=ppo", "source=offline_samples", "generator.top_k=5"],
        ["method=rft", "generator.top_p=0.9", "importance=truncated"],
        ["method=rft", "generator.temperature=0"],
    ],
)
def test_other_filtered_samples_are_refused(words):
    with pytest.raises(ConfigError, match="is refused"):
        load_config(words)


def test_refreshed_samples_do_not_stand_for_several_updates():
    with pytest.raises(ConfigError, match="importance weight"):
        load_config(["method=online_rft", "source=refreshed_samples", "rollout.epochs=2"])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["method=sft", "data.slices=[main]"], "comes with its own"),
        (["method=grpo", "data.slices=[main,main]"], "twice"),
        (["method=grpo", "data.slices=[main,hard]", "data.prompts=1"], r"data\.prompts=1"),
    ],
)
def test_slices_that_mean_nothing_are_refused(words, hint):
    with pytest.raises(ConfigError, match=hint):
        load_config(words)


def test_an_unknown_slice_is_refused_before_anything_is_made(tmp_path):
    config = load_config(["method=grpo", "data.slices=[easy]", f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(ConfigError, match="choose from: main, hard"):
        training.run_training(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("slices", "counts"),
    [("[]", {"main": 7}), ("[main]", {"main": 7}), ("[hard]", {"hard": 7}), ("[main,hard]", {"main": 4, "hard": 3})],
)
def test_training_prompts_come_from_the_named_slices_in_even_shares(slices, counts):
    config = load_config(["method=grpo", f"data.slices={slices}", "data.prompts=7"])
    problems = world.training_problems(world.make_task(config), config)
    assert Counter(problem.info["slice"] for problem in problems) == counts
    assert len({problem.id for problem in problems}) == 7


def test_the_sft_stage_does_not_depend_on_the_training_slices():
    plain, sliced = (load_config(["method=grpo", *more]) for more in ([], ["data.slices=[hard]"]))
    assert stage(plain, "sft").key() == stage(sliced, "sft").key()


def test_stored_samples_of_another_slice_are_another_artefact(tmp_path):
    """One store, two slices: the samples of the one are not taken for those of the other."""
    config = load_config(words("rft", tmp_path / "run", tmp_path / "artifacts", "data.prompts=4"))
    store = ArtifactStore(Path(config.artifacts))
    base = stage(config, "base").build(store)
    task = world.make_task(config)
    found = {}
    for slices in ([], ["hard"], ["main", "hard"]):
        sliced = replace(config, data=replace(config.data, slices=slices))
        prompts = world.as_prompts(world.training_problems(task, sliced), load_tokenizer(base.path), sliced)
        found[tuple(slices)], stored = offline_samples(sliced, store, base, prompts)
        assert len(stored) == len(prompts) == 4
    assert len(set(found.values())) == 3
