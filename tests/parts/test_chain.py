"""The chain of stages as data: checked before anything is made, keys without running, no stage known by its name."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tiny import environment, words

from unified_rl.base.errors import ConfigError
from unified_rl.grids.shared_stages import shared_stages
from unified_rl.presets import chain, loading
from unified_rl.presets.loading import load_config
from unified_rl.records.artifacts import ArtifactStore, Stage
from unified_rl.stages.chain import made_for, stage
from unified_rl.stages.kinds import reward_model, sft
from unified_rl.stages.training import run_training
from unified_rl.training.torch_trainer import TorchTrainer

PACKAGE = Path(loading.__file__).parents[1]
PRESET = OmegaConf.to_container(OmegaConf.load(PACKAGE / "presets" / "configs" / "chain.yaml"))
ANNEAL = ("stages.anneal.kind=sft", "stages.anneal.inputs.policy=sft", "stages.anneal.settings.trainer.steps=5")
SMALL = ("reward_model.prompts=8", "reward_model.samples_per_prompt=2", "reward_model.epochs=1", "sft.steps=10")
#: Packages that know no configuration, and so no stages: the word "base" is one of numbers there.
NO_CONFIGURATION = {"corpus", "grading", "isolation", "ops"}
#: Files in which the word for a stage is a word for something else as well.
OTHER_MEANINGS = {
    "sft": {
        "methods/likelihood.py": "a coefficient and a method",
        "grids/reproduce.py": "a method",
        "statistics/pass_rate.py": "a coefficient",
        "labs/conformance_lines.py": "a loss of another project",
        "labs/bias/questions.py": "a method",
        "config/training.py": "a section",
        "grids/definition.py": "a section",
    },
    "offline_samples": {
        "methods/likelihood.py": "a source",
        "methods/preference_scores.py": "a source",
        "sources/offline.py": "a source",
    },
    "reward_model": {
        "config/reward_models.py": "a section",
        "presets/reward_rules.py": "a section",
        "stages/iterate.py": "an option of section iterate",
        "plotting/iterations.py": "an option of section iterate",
        "statistics/evidence.py": "an option of section iterate",
    },
}


def test_no_stage_is_known_by_its_name():
    """A stage's name is a constant in its own module alone; and no exception is out of date."""
    found = {
        (str(path.relative_to(PACKAGE)), node.value)
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in NO_CONFIGURATION
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in PRESET["stages"]
    }
    expected = {(file, name) for name, files in OTHER_MEANINGS.items() for file in files}
    own = {(f"stages/kinds/{name}.py", name) for name in PRESET["stages"]}
    assert found - own == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("stages.more.kind=sfd",), r"stages.more.kind='sfd' is not known; did you mean 'sft'"),
        (("stages.more.kind=sft",), r"stage more reads a policy as its policy; set stages.more.inputs.policy"),
        (
            ("stages.more.kind=sft", "stages.more.inputs.policy=sfd"),
            r"more.inputs.policy='sfd' is no stage of the chain; did you",
        ),
        (
            ("stages.more.kind=sft", "stages.more.inputs.policy=reward_samples"),
            r"stages.more.inputs.policy=reward_samples provides responses of a policy, and stage more needs a policy there",
        ),
        (
            ("stages.more.kind=sft", "stages.more.inputs.police=sft"),
            r"stages.more.inputs.police is not known; did you mean 'pol",
        ),
        (("stages.more.kinds=sft",), r"stages.more.kinds.*Did you mean: 'kind'"),
        (("stages.sft.inputs.policy=more", "stages.more.kind=sft", "stages.more.inputs.policy=sft"), r"in a circle"),
        ((*ANNEAL, "stages.anneal.settings.trainer.stepz=1"), r"stages.anneal.settings: unknown key 'trainer.stepz'"),
        ((*ANNEAL, "stages.anneal.settings.trainer.steps=-1"), r"stages.anneal.settings: .*steps=-1 must be at least 0"),
        ((*ANNEAL, "stages.anneal.settings.seed=many"), r"stages.anneal.settings: .*seed"),
        (("init=reward_samples",), r"init='reward_samples' is a stage that provides responses of a policy"),
        (("init=stf",), r"init='stf' is no stage of the chain; did you mean 'sft'"),
        (("reward=model", "reward_model.init=sfd"), r"stages.reward_model.inputs.backbone='sfd' is no stage"),
        (("sft.steps=-1",), r"sft.steps=-1 must be at least 0"),
        (("reward_model.schedule=none",), r"reward_model.schedule='none'"),
    ],
)
def test_a_chain_that_cannot_be_made_is_refused_with_the_reason(more, message):
    with pytest.raises(ConfigError, match=message):
        load_config(["method=grpo", *more])


def test_a_stage_more_is_where_training_starts_and_has_its_own_settings():
    config = load_config(["method=grpo", "sft.learning_rate=1e-2", *ANNEAL])
    assert config.init == "anneal"
    sft, anneal = (loading.stage_config(config, name) for name in ("sft", "anneal"))
    assert (sft.trainer.steps, anneal.trainer.steps) == (config.sft.steps, 5)
    assert sft.trainer.learning_rate == anneal.trainer.learning_rate == 1e-2
    assert (sft.init, anneal.init) == ("base", "sft")
    assert [found.name for found in made_for(config)] == ["base", "sft", "anneal"]
    assert [found.name for found in made_for(replace(config, init="base"))] == ["base"]
    plain = load_config(["method=grpo", "sft.learning_rate=1e-2"])
    assert stage(plain, "sft").key() == stage(config, "sft").key(), "what is made after it does not change a stage"


def test_a_settings_overlay_reaches_every_section():
    """An annealing stage may have other data; what it is made from keeps the run's."""
    config = load_config([*ANNEAL, "method=grpo", "stages.anneal.settings.data.prompts=7", "stages.anneal.settings.sft.seed=3"])
    own = loading.stage_config(config, "anneal")
    assert (own.data.prompts, own.seed) == (7, 3)
    assert loading.stage_config(config, "sft").data.prompts == config.sft.demonstrations
    assert stage(config, "anneal").inputs["policy"].key() == stage(config, "sft").key()


def test_keys_are_known_before_anything_is_made_and_without_torch(tmp_path):
    arguments = words("grpo_ps", tmp_path / "run", tmp_path / "artifacts", "reward=model", *ANNEAL)
    code = (
        "import json, sys; from unified_rl.grids.shared_stages import shared_stages; "
        "from unified_rl.presets.loading import load_config;"
        f"keys = {{one.name: one.key for one in shared_stages(load_config({arguments!r}))}};"
        "print(json.dumps([keys, sorted({'torch', 'transformers', 'pyarrow'} & sys.modules.keys())]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    keys, heavy = json.loads(run.stdout)
    assert heavy == []
    assert list(keys) == ["base", "sft", "reward_samples", "step_labels", "reward_model", "anneal"]
    assert not (tmp_path / "artifacts").exists()


def test_what_is_made_has_the_keys_that_were_known(tmp_path):
    config = load_config(words("grpo_ps", tmp_path / "run", tmp_path / "artifacts", "reward=model", "trainer.steps=1", *SMALL))
    known = shared_stages(config)
    assert not any(one.there for one in known)
    run_training(config)
    made = {f"{path.parent.parent.name} {path.parent.name}" for path in (tmp_path / "artifacts").glob("*/*/artifact.json")}
    assert made == {f"{one.name} {one.key}" for one in known}
    assert shared_stages(config) == [replace(one, there=True) for one in known]


def test_every_member_of_an_ensemble_of_reward_models_is_known_and_shares_their_data(tmp_path):
    """Also where it is one of several rewards: a grid's price must know of all of them."""
    model = "{source: model, settings: {members: 3, pessimism: worst}}"
    one = ("reward=model", "reward.members=3")
    several = ("reward=several", f"reward.parts={{judge: {{source: rule}}, model: {model}}}")
    for more in (one, several):
        stages = shared_stages(load_config(words("grpo", tmp_path / "run", tmp_path / "artifacts", *more)))
        names = [stage.name for stage in stages]
        assert (names.count("reward_model"), names.count("sft")) == (3, 1)
        assert len({stage.key for stage in stages}) == len(stages)


def test_a_stage_more_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    """base -> sft -> anneal -> rl by configuration alone, stopped in the middle of annealing: all ends as if it had not been."""
    more = (*ANNEAL, *SMALL, "stages.anneal.settings.logging.checkpoint_every=2", "trainer.steps=2")
    whole, stopped = (
        load_config(words("grpo", tmp_path / name, tmp_path / f"of_{name}", *more, "resume=true"))
        for name in ("whole", "stopped")
    )
    run_training(whole)
    real = TorchTrainer.update

    def update(self, *given, **options):
        if self.updates == 3 and next(partial.parent.glob(f"{key}.partial"), None):
            raise KeyboardInterrupt
        return real(self, *given, **options)

    key = stage(stopped, "anneal").key()
    partial = tmp_path / "of_stopped" / "sft" / f"{key}.partial"
    monkeypatch.setattr(TorchTrainer, "update", update)
    with pytest.raises(KeyboardInterrupt):
        run_training(stopped)
    assert [folder.name for folder in (partial / "checkpoints").iterdir()] == ["step_000002"]
    monkeypatch.undo()
    run_training(stopped)
    for file in ("metrics.jsonl", "checkpoints/step_000005/policy/model.safetensors"):
        assert (tmp_path / "of_stopped/sft" / key / file).read_bytes() == (
            tmp_path / "of_whole/sft" / key / file
        ).read_bytes(), file
    assert (tmp_path / "stopped/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def renamed(preset):
    """The default chain with another name for every stage."""
    other = {name: f"stage_{place}" for place, name in enumerate(preset["stages"])}
    return {
        "stages": {
            other[name]: {
                **entry,
                "inputs": {role: other.get(source, source) for role, source in entry.get("inputs", {}).items()},
            }
            for name, entry in preset["stages"].items()
        }
    }


@pytest.mark.parametrize("more", [("reward=model", "method=grpo"), ("method=rft",)])
def test_everything_works_under_other_names_of_the_stages(tmp_path, monkeypatch, more):
    arguments = words("grpo", tmp_path / "plain", tmp_path / "artifacts", *SMALL, "trainer.steps=2", *more)
    plain = load_config(arguments)
    run_training(plain)
    monkeypatch.setattr(loading, "_chain", lambda: renamed(PRESET))
    monkeypatch.setattr(loading, "_stages", loading._stages.__wrapped__)
    other = load_config([*arguments, f"run_dir={tmp_path / 'other'}", f"artifacts={tmp_path / 'others'}"])
    assert other.init == "stage_1" and not other.stages.keys() & PRESET["stages"].keys()
    run_training(other)
    assert (tmp_path / "plain" / "metrics.jsonl").read_bytes() == (tmp_path / "other" / "metrics.jsonl").read_bytes()
    assert [found.key() for found in made_for(other)] == [found.key() for found in made_for(plain)]


def test_a_kind_of_ones_own_is_a_file(tmp_path):
    """The one of the documentation."""
    text = (PACKAGE.parent / "docs" / "stages.md").read_text()
    (tmp_path / "decayed.py").write_text(text.split("```python\n")[1].split("```")[0])
    config = load_config(["method=grpo", f"stages.mine.kind={tmp_path}/decayed.py:DECAYED", "stages.mine.inputs.policy=sft"])
    assert config.init == "mine"
    own = stage(config, "mine")
    assert isinstance(own, Stage) and own.settings["trainer"]["weight_decay"] == 0.1
    (tmp_path / "none.py").write_text("NONE = 1\n")
    with pytest.raises(ConfigError, match=r"must name a unified_rl.presets.chain.Kind, found int"):
        load_config(["method=grpo", f"stages.mine.kind={tmp_path}/none.py:NONE"])


def test_a_policy_that_the_user_brings_ends_the_chain(tmp_path):
    config = load_config(words("grpo", tmp_path / "run", tmp_path / "artifacts"))
    base = stage(config, chain.root(config)).build(ArtifactStore(tmp_path / "artifacts"))
    brought = load_config(words("grpo", tmp_path / "run", tmp_path / "artifacts", f"model.path={base.path}"))
    assert [found.name for found in made_for(brought)] == ["sft"]
    assert stage(brought, chain.root(brought)).path == base.path


@pytest.mark.parametrize("kind", [sft, reward_model])
def test_a_stage_has_the_engines_of_its_run(kind):
    """What a machine allows is set once: a stack's own engine settings do not come back in a stage."""
    engines = (
        "vllm.between_rollouts=awake",
        "vllm.gpu_memory_share=0.3",
        "deepspeed.bucket_elements=7",
        "generator.max_new_tokens=9",
    )
    config = load_config(["stack=deepseekmath_7b", "method=grpo", *engines])
    run = kind.as_run(config)
    assert (run.vllm, run.deepspeed, run.generator) == (config.vllm, config.deepspeed, config.generator)
