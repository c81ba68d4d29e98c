"""Reward-model stages on a real tiny policy: samples, step labels, training (killed and resumed), quality, first errors."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import words

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Decoding, Prompt
from unified_rl.config.reward_models import RewardModelConfig
from unified_rl.models.policy_model import load_policy
from unified_rl.models.reward_model import load_reward_model
from unified_rl.presets import chain, loading
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.rewards import ModelReward, build_segmenter
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.stages import world
from unified_rl.stages.chain import initial_policy, stage
from unified_rl.stages.first_error import read_solutions, write_first_errors
from unified_rl.stages.kinds.reward_samples import read_samples, samples_of
from unified_rl.stages.kinds.step_labels import facts_of, read_step_facts
from unified_rl.stages.reward_model import labelled, load_scorer
from unified_rl.stages.reward_model_quality import write_quality
from unified_rl.stages.step_labels import label_steps
from unified_rl.statistics import first_error as first_error_analysis
from unified_rl.statistics import reward_models as analysis
from unified_rl.training.torch_trainer import TorchTrainer

SECTION = RewardModelConfig(
    kind="process",
    prompts=24,
    samples_per_prompt=4,
    completions=4,
    epochs=3,
    sequences_per_step=16,
    learning_rate=3e-3,
    warmup_steps=2,
    checkpoint_every=5,
)
SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """The SFT policy of the coin world: configuration, store, key, folder."""
    folder = tmp_path_factory.mktemp("reward_model")
    config = loading.load_config(words("grpo", folder / "run", folder / "artifacts"))
    store = ArtifactStore(folder / "artifacts")
    config = replace(config, reward_model=SECTION)
    return config, store, initial_policy(config, store)


@pytest.fixture(scope="module")
def sampled(policy):
    config, store, start = policy
    model, tokenizer = load_policy(start.path)
    made = samples_of(config, start, split="train", problems=24, per_prompt=4).build(store)
    samples = read_samples(config, made, tokenizer)
    return world.make_task(config), tokenizer, TorchGenerator(model, tokenizer), samples


def facts_of_steps(sampled, decoding, completions, prompts=None, responses=None):
    task, tokenizer, generator, samples = sampled
    return label_steps(
        task,
        tokenizer,
        build_segmenter("task", task, tokenizer),
        generator,
        decoding,
        samples.prompts if prompts is None else prompts,
        samples.responses if responses is None else responses,
        completions=completions,
    )


def test_completions_are_what_the_policy_would_write_from_each_step(policy, sampled):
    """Each success is found again by sampling that one completion alone and grading the whole text."""
    task, tokenizer, generator, samples = sampled
    decoding = policy[0].generator.decoding
    facts = facts_of_steps(sampled, decoding, 3)
    checked = successes = 0
    for prompt, group, known_group in list(zip(samples.prompts, samples.responses, facts, strict=True))[:8]:
        for response, known in zip(group, known_group, strict=True):
            assert known.ends[-1] == len(response) - 1
            assert known.successes.shape == (len(known.ends) - 1, 3)
            assert known.outcome == (
                not response.truncated and task.check_answer(prompt.problem, response.text).verdict == "correct"
            )
            for end, reached in zip(known.ends[:-1], known.successes, strict=True):
                prefix = response.token_ids[: end + 1].tolist()
                begun = Prompt(prompt.problem, (*prompt.token_ids, *prefix))
                for n in range(3):
                    seed = rng.derive_seed(0, f"completions/{prompt.id}", n, *prefix)
                    room = Decoding(max_new_tokens=decoding.max_new_tokens - len(prefix))
                    completion = generator.generate([begun], [[seed]], room, 0)[0][0]
                    text = tokenizer.decode([*prefix, *completion.token_ids.tolist()], skip_special_tokens=True)
                    right = not completion.truncated and task.check_answer(prompt.problem, text).verdict == "correct"
                    assert reached[n] == right
                    checked += 1
                    successes += right
    assert 0 < successes < checked


def test_fewer_completions_are_the_first_of_more(policy, sampled):
    few, many = (facts_of_steps(sampled, policy[0].generator.decoding, n) for n in (2, 5))
    for one, other in zip([x for group in few for x in group], [x for group in many for x in group], strict=True):
        assert np.array_equal(one.successes, other.successes[:, :2])
        assert np.array_equal(one.labels("shepherd_soft", 2), other.labels("shepherd_soft", 2))
        for n in (1, 3, 5):
            hard, soft = other.labels("shepherd_hard", n), other.labels("shepherd_soft", n)
            assert np.array_equal(hard[:-1], other.successes[:, :n].any(1))
            assert np.array_equal(soft[:-1], other.successes[:, :n].mean(1))
            assert hard[-1] == soft[-1] == other.outcome


def test_facts_do_not_depend_on_the_company(policy, sampled):
    """A response's facts are the same alone as among the others, and equal prefixes share their completions."""
    *_, samples = sampled
    decoding = policy[0].generator.decoding
    whole = facts_of_steps(sampled, decoding, 3)
    for place in (0, 5):
        alone = facts_of_steps(sampled, decoding, 3, samples.prompts[place : place + 1], [samples.responses[place][:1]])[0][0]
        assert np.array_equal(alone.successes, whole[place][0].successes)
    shared = {}
    for prompt, group, known_group in zip(samples.prompts, samples.responses, whole, strict=True):
        for response, known in zip(group, known_group, strict=True):
            for end, reached in zip(known.ends[:-1], known.successes.tolist(), strict=True):
                prefix = (prompt.id, *response.token_ids[: end + 1].tolist())
                assert shared.setdefault(prefix, reached) == reached
    assert len(shared) < sum(len(known.ends) - 1 for group in whole for known in group), "some prefixes are shared"


def test_a_completion_beyond_the_length_limit_has_not_reached_the_answer(policy, sampled):
    """With room for one token more than the prefix there is none for an answer and EOS."""
    *_, samples = sampled
    inner = [
        (prompt, response)
        for prompt, group in zip(samples.prompts, samples.responses, strict=True)
        for response in group
        if len(response) >= 7
    ]
    prompt, response = inner[0]
    tight = replace(policy[0].generator.decoding, max_new_tokens=len(response))
    known = facts_of_steps(sampled, tight, 4, [prompt], [[response]])[0][0]
    assert not known.successes[-1].any() or known.ends[-2] + 2 < len(response)
    shorter = replace(tight, max_new_tokens=int(known.ends[-2]) + 2)
    assert not facts_of_steps(sampled, shorter, 4, [prompt], [[response]])[0][0].successes[-1].any()


def test_labels_that_cannot_be_had_are_refused(policy, sampled):
    known = facts_of_steps(sampled, policy[0].generator.decoding, 2)[0][0]
    with pytest.raises(ConfigError, match="3 completions"):
        known.labels("shepherd_hard", 3)
    with pytest.raises(ConfigError, match="no exact step checker"):
        replace(known, exact=np.full(len(known.ends), np.nan)).labels("exact", 0)


def test_stored_facts_are_those_that_were_found(policy, sampled):
    config, store, start = policy
    of_training = samples_of(config, start, split="train", problems=24, per_prompt=4)
    stored = read_step_facts(facts_of(config, of_training, start, "task", 3).build(store), 3)
    for one, other in zip(sum(stored, []), sum(facts_of_steps(sampled, config.generator.decoding, 3), []), strict=True):  # noqa: RUF017
        assert one.outcome == other.outcome
        for name in ("ends", "successes", "exact"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_what_each_kind_is_trained_on(policy, sampled):
    samples, facts = sampled[-1], facts_of_steps(sampled, policy[0].generator.decoding, 4)
    steps = labelled(samples, facts, SECTION)
    answers = labelled(samples, facts, replace(SECTION, kind="outcome"))
    exact = labelled(samples, facts, replace(SECTION, labels="exact"))
    for known, one, other, third in zip(sum(facts, []), steps, answers, exact, strict=True):  # noqa: RUF017
        assert np.array_equal(one.ends, known.ends)
        assert one.labels.tolist() == known.labels("shepherd_hard", 4).tolist()
        assert other.ends.tolist() == [len(other.response) - 1]
        assert other.labels.tolist() == [float(known.outcome)]
        assert third.labels.tolist() == known.exact.tolist()


def reward_model(config, **changes):
    """The stage of the chain, with some of the reward model's settings otherwise."""
    return stage(replace(config, reward_model=replace(config.reward_model, **changes)), chain.provider(config, chain.REWARD))


@pytest.fixture(scope="module")
def trained(policy):
    config, store, _ = policy
    return {"ORM": reward_model(config, kind="outcome").build(store), "PRM": reward_model(config).build(store)}


def test_training_resumes_to_the_same_weights(policy, trained, monkeypatch, tmp_path):
    """Stopped in the middle, twice; the weights and the log end the same, byte for byte."""
    config, store, _ = policy
    other = ArtifactStore(tmp_path / "artifacts")
    for made in ("base", "sft", "reward_samples", "step_labels"):
        shutil.copytree(store.root / made, other.root / made)
    real = TorchTrainer.update

    def stopping_at(limit):
        def update(self, *args, **options):
            if self.updates == limit:
                raise KeyboardInterrupt
            return real(self, *args, **options)

        return update

    for limit in (3, 12):  # before the first checkpoint, and two updates after the second
        monkeypatch.setattr(TorchTrainer, "update", stopping_at(limit))
        with pytest.raises(KeyboardInterrupt):
            reward_model(config).build(other)
        assert not list((other.root / "reward_model").glob("[0-9a-f]*[0-9a-f]/artifact.json"))
    partial = next((other.root / "reward_model").glob("*.partial"))
    assert [folder.name for folder in (partial / "checkpoints").iterdir()] == ["step_000010"]
    monkeypatch.setattr(TorchTrainer, "update", real)
    resumed = reward_model(config).build(other)
    assert resumed.key == trained["PRM"].key
    folder, undisturbed = resumed.path.parent, trained["PRM"].path.parent
    for name in ("model/model.safetensors", "model/reward_head.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert not (folder / "checkpoints").exists()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 19))
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_key_holds_what_matters_and_nothing_else(policy, trained):
    config = policy[0]
    assert reward_model(config, checkpoint_every=7).key() == trained["PRM"].key
    packed = replace(config, trainer=replace(config.trainer, row_tokens=64, micro_batch_tokens=256))
    assert reward_model(packed).key() == trained["PRM"].key
    assert reward_model(config, kind="outcome", labels="exact", completions=2).key() == trained["ORM"].key
    keys = [reward_model(config, **changes).key() for changes in ({"learning_rate": 1e-3}, {"seed": 1}, {"epochs": 4})]
    assert len({trained["PRM"].key, *keys}) == 4


def test_a_trained_model_serves_as_a_reward(policy, sampled, trained):
    config, task, tokenizer, samples = policy[0], sampled[0], sampled[1], sampled[-1]
    scorer, _, card = load_scorer(config, trained["PRM"].path)
    assert (card.kind, card.labels, card.base["key"]) == ("process", "shepherd_hard", policy[2].key)
    reward = ModelReward(task, scorer, build_segmenter(card.segmentation, task, tokenizer), supervision="process")
    scores = sum(reward.score(samples.prompts, samples.responses), [])  # noqa: RUF017
    right = np.array([one.verdict == "correct" for one in scores])
    value = np.array([one.step_rewards[-1] for one in scores])
    assert value[right].mean() > value[~right].mean() + 0.2, "one letter decides: even a tiny model learns that"


def test_quality_is_measured_on_problems_that_were_not_trained_on(policy, trained, tmp_path):
    config, store, start = policy
    models = {name: made.path for name, made in trained.items()}
    folder = write_quality(config, store, start, models, tmp_path / "quality", problems=12, per_prompt=3, completions=4)
    steps, scores = pd.read_parquet(folder / "steps.parquet"), pd.read_parquet(folder / "scores.parquet")
    assert len(scores) == 2 * len(steps)
    trained_on = {problem.id for problem in world.make_task(config).problems("train", 24)}
    assert not trained_on & set(steps["problem_id"])
    logits = scores[scores["model"] == "PRM"].merge(steps, on=["problem_id", "sample", "step"])
    last = logits[logits["step"] + 1 == logits["num_steps"]]
    assert last[last["outcome"]]["logit"].mean() > last[~last["outcome"]]["logit"].mean()
    frame = analysis.write(folder, tmp_path / "tables")
    assert set(frame["subject"]) >= {"ORM", "PRM", "hard", "soft"}


def records(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_first_errors_of_written_solutions(trained, tmp_path):
    data = records(
        tmp_path / "solutions.jsonl",
        [
            {"source": "x", "question": "toss 1", "steps": ["H", "T", "H"], "first_error_step": 2},
            {"source": "x", "question": "toss 2", "steps": ["H", "H"], "first_error_step": None},
            {"source": "y", "question": "toss 3", "steps": ["H"] * 600, "first_error_step": 1},
        ],
    )
    folder = write_first_errors(trained["PRM"].path, data, tmp_path / "out", template="{question}:")
    found = pd.read_parquet(folder / "solutions.parquet")
    assert found["first_error"].tolist() == [1, -1, 0]
    assert [None if logits is None else len(logits) for logits in found["logits"]] == [3, 2, None], "the last one is too long"
    model, tokenizer, _ = load_reward_model(trained["PRM"].path)
    ids = [tokenizer.bos_token_id, *tokenizer.encode("toss 1:H\nT\nH\n", add_special_tokens=False), tokenizer.eos_token_id]
    from torch import no_grad, tensor

    with no_grad():
        logits = model.head(model.backbone(input_ids=tensor([ids])).last_hidden_state)[0, :, 0].numpy()
    ends = [place for place, token in enumerate(ids) if tokenizer.decode([token]) == "\n"]
    np.testing.assert_allclose(found["logits"][0], [logits[ends[0]], logits[ends[1]], logits[-1]], atol=1e-4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"question": "q", "steps": ["a"]}, "first_error_step"),
        ({"question": "q", "steps": [], "first_error_step": None}, "steps must be"),
        ({"question": "q", "steps": ["a", " "], "first_error_step": None}, "none of them blank"),
        ({"question": "q", "steps": ["a"], "first_error_step": 2}, "from 1 to 1"),
        ({"question": "q", "steps": ["a"], "first_error_step": 0}, "from 1 to 1"),
    ],
)
def test_malformed_solutions_are_named(tmp_path, line, message):
    good = {"question": "q", "steps": ["a"], "first_error_step": None}
    with pytest.raises(DataError, match="line 2.*" + message):
        read_solutions(records(tmp_path / "data.jsonl", [good, line]))


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs the annotated solutions in ../shared/data, which are not part of the project"
)
def test_real_solutions_from_a_backbone_that_knows_no_mathematics(trained, tmp_path):
    """The command's path on real text. A model of coins knows nothing of it: its steps' AUC is that of chance, and is reported."""
    folder = write_first_errors(trained["PRM"].path, SHARED / "step_labels_small.jsonl", tmp_path, template="completion")
    frame = first_error_analysis.write(folder, folder)
    everything = frame[frame["source"] == "all"].set_index("measure")
    assert everything.loc["step_auc", "count"] + 0 > 200
    assert 0.3 < everything.loc["step_auc", "estimate"] < 0.7
    assert frame["left_out"].max() < 890
