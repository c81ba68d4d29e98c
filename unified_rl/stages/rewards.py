"""Builds the configured reward, and the reward model it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from unified_rl.base.errors import ConfigError, UnifiedRLError
from unified_rl.base.plugins import import_by_path
from unified_rl.base.types import Generator, Response, Reward, Task
from unified_rl.config.reward_models import check_settings, default_reduction
from unified_rl.config.rewards import CONTROLS, LENGTH, NODE_VALUES, SEVERAL, STEP_VALUES, RewardConfig
from unified_rl.config.schema import Config
from unified_rl.grading.forms import form, is_form
from unified_rl.methods.signals import of_reward
from unified_rl.models.reward_model import read_card
from unified_rl.presets import chain
from unified_rl.records.artifacts import Artifact, ArtifactStore, built
from unified_rl.rewards import (
    ExactProcessReward,
    ModelReward,
    NoisyReward,
    NoReward,
    OutcomeReward,
    OverlongPenalty,
    SeveralRewards,
    build_segmenter,
    controls,
    mixture,
)
from unified_rl.rewards.checked import CheckedReward
from unified_rl.rewards.corrections import CorrectedReward, Rates, measured_rates
from unified_rl.rewards.ensembles import EnsembleScorer
from unified_rl.rewards.functions import FunctionReward, check_callable, is_function
from unified_rl.rewards.judges import Dial, number_of
from unified_rl.rewards.model import Scorer
from unified_rl.rewards.node_values import NodeValues
from unified_rl.rewards.step_values import StepGains
from unified_rl.stages import world
from unified_rl.stages.chain import of_member, stage
from unified_rl.stages.fingerprints import path_fingerprint
from unified_rl.stages.kinds.reward_samples import read_samples
from unified_rl.stages.reward_model import load_scorer


def preflight_reward(config: Config, task: Task) -> None:
    """Look at what the reward needs, before a run directory is made or a stage is built.

    Raises:
        ConfigError, CheckpointError: a task without an exact step checker, a reward model that is missing, damaged, or of a kind
            that the reward's settings do not fit; a user's file that cannot be used.
    """
    for where, reward in config.reward.judges.items():
        if reward.source == "exact":
            task.check_steps(task.problems("train", 1)[0], "")
        if ":" in reward.source:
            check_callable(import_by_path(reward.source, f"{where}.source"), f"{where}.source={reward.source}")
        if reward.noise_by not in ("", LENGTH) and not is_form(reward.noise_by):
            for problem in world.training_problems(task, config):
                number_of(problem, reward.noise_by)
        if reward.learned and reward.model_path:
            kind = read_card(Path(reward.model_path)).kind
            reduction = reward.reduction or default_reduction(kind)
            check_settings(kind, reward.supervision, reward.output, reduction, reward.form, reward.temperature)


def build_reward(
    config: Config,
    store: ArtifactStore,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    generator: Generator,
) -> tuple[Reward, dict[str, str]]:
    """The configured reward, and the keys of the artefacts it reads. A reward model that is missing is made first, by all ranks.

    Args:
        generator: of the policy in training; it is asked when responses are scored, and not before.
    """
    options = config.reward
    keys: dict[str, str] = {}
    made = {
        name: _step_values(config, judge, task, tokenizer, generator)
        if judge.source == STEP_VALUES
        else _one(config, name, judge, store, task, tokenizer, keys)
        for name, judge in options.judges.items()
    }
    if options.source == SEVERAL:
        named = dict(zip(options.parts, made.values(), strict=True))
        reward: Reward = SeveralRewards(named, {name: part.weight for name, part in options.parts.items()})
    else:
        (reward,) = made.values()
    return CheckedReward(_with_overlong(reward, config), f"reward.source={options.source}", _apart(config)), keys


def _with_overlong(reward: Reward, config: Config) -> Reward:
    """The reward with the penalty for length, where there is one."""
    margin = config.reward.overlong
    return OverlongPenalty(reward, max_tokens=config.generator.max_new_tokens, margin=margin) if margin else reward


def _apart(config: Config) -> str:
    """Who normalises the parts of the reward apart; "" where nobody does."""
    return f"coefficient={config.coefficient.name}" if of_reward(config.coefficient.needs) else ""


def _one(
    config: Config,
    where: str,
    options: RewardConfig,
    store: ArtifactStore,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    keys: dict[str, str],
) -> Reward:
    """One reward by its settings, which stand at `where`; the keys of the artefacts that it reads go into `keys`."""
    if ":" in options.source:
        return _users_reward(options.source, where, task, tokenizer)
    if options.source == "none":
        return NoReward(task)
    if options.source == NODE_VALUES:
        segmenter = build_segmenter(options.segmentation, task, tokenizer)
        return NodeValues(task, segmenter, correct=options.correct, incorrect=options.incorrect)
    if options.source in CONTROLS:
        return _control(options, where, task)
    if not options.learned:
        return _checking_reward(config, options, where, store, task, tokenizer, keys)
    provider = chain.provider(config, chain.REWARD)
    name = f"{where}/{provider}" if config.reward.source == SEVERAL else provider
    members = [initial_reward_model(of_member(config, place), store, options) for place in range(options.members)]
    for place, judge in enumerate(members):
        keys[f"{name}/{place}" if place else name] = judge.key
    return model_reward(config, options, [judge.path for judge in members], task, tokenizer)


def _step_values(
    config: Config, options: RewardConfig, task: Task, tokenizer: PreTrainedTokenizerBase, generator: Generator
) -> Reward:
    """What each step gains, by the policy's own completions."""
    return StepGains(
        task,
        tokenizer,
        build_segmenter(options.segmentation, task, tokenizer),
        generator,
        config.generator.decoding,
        completions=options.completions,
        seed=config.seed,
        correct=options.correct,
        incorrect=options.incorrect,
    )


def _users_reward(name: str, where: str, task: Task, tokenizer: PreTrainedTokenizerBase) -> CheckedReward:
    """A user's own reward: a plain function of texts, or what a factory makes of the task and the tokenizer."""
    found, called = import_by_path(name, f"{where}.source"), f"{where}.source={name}"
    made = FunctionReward(task, found, called) if is_function(found) else found(task, tokenizer)
    return CheckedReward(made, called)


def _made_up(text: str, tokenizer: PreTrainedTokenizerBase) -> Response:
    """A response that nobody sampled."""
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    unknown = np.full(len(ids), np.nan, dtype=np.float32)
    return Response(np.array(ids, dtype=np.int64), unknown, "stop", -1, None, 0, text)


def try_reward(config: Config, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
    """Ask a user's own reward about two made-up responses, one of them right, before anything is trained.

    Raises:
        ConfigError, DataError: it fails, or what it says is nothing that can be learned from.
    """
    for where, judge in config.reward.judges.items():
        if ":" in judge.source:
            _try_one(config, where, judge, task, tokenizer)


def _try_one(config: Config, where: str, judge: RewardConfig, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
    name, called = judge.source, f"{where}.source={judge.source}"
    problems = world.training_problems(task, config)[:2]
    prompts = world.as_prompts(problems, tokenizer, config)
    responses = [[_made_up(text, tokenizer)] for text in (problems[0].gold, problems[-1].question)][: len(prompts)]
    try:
        made = _users_reward(name, where, task, tokenizer)
        whole = where == "reward"  # and not one of several
        reward = CheckedReward(_with_overlong(made, config), called, _apart(config)) if whole else made
        scores = reward.score(prompts, responses)
    except UnifiedRLError:
        raise
    except Exception as error:
        raise ConfigError(f"{called}: it fails on a made-up response ({type(error).__name__}: {error}); mend it") from error
    if judge.supervision == "process" and any(score.step_rewards is None for group in scores for score in group):
        raise ConfigError(f"{called} gives no step rewards, which reward.supervision=process needs; give them, or set outcome")


def _control(options: RewardConfig, where: str, task: Task) -> Reward:
    """A reward that knows nothing of the right answer."""
    accepts: controls.Accepts = {
        "random": lambda: controls.by_chance(options.random_rate, options.noise_seed),
        "format": lambda: controls.by_form(form(options.pattern, f"{where}.pattern")),
        "wrong": lambda: controls.wrong,
        "majority": lambda: controls.majority,
    }[options.source]()
    return controls.ControlReward(task, accepts, correct=options.correct, incorrect=options.incorrect)


def _checking_reward(
    config: Config,
    options: RewardConfig,
    where: str,
    store: ArtifactStore,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    keys: dict[str, str],
) -> Reward:
    """Rule or exact, with errors where some are asked for, and corrected for them."""
    values = {"correct": options.correct, "incorrect": options.incorrect}
    exact = options.supervision == "process"
    reward: Reward = ExactProcessReward(task, tokenizer, **values) if exact else OutcomeReward(task, **values)
    if not options.noisy and options.correction == "none":
        return reward
    judge = NoisyReward(reward, _dial(options, where), seed=options.noise_seed, **values)
    if options.correction == "none":
        return judge
    rates: Rates = judge.dial.rates
    if options.correction_rates != "known":
        constant = (options.assumed_false_positive, options.assumed_false_negative)
        if options.correction_rates == "estimated":
            constant = _audited(config, judge, options.audited, store, tokenizer, keys)
        rates = lambda prompt, response, score: constant  # noqa: E731
    return CorrectedReward(judge, judge.values, options.correction, rates)


def _dial(options: RewardConfig, where: str) -> Dial:
    return Dial(
        options.false_positive,
        options.false_negative,
        options.noise_unit,
        options.noise_by,
        options.noise_slope,
        options.noise_centre,
        form(options.loophole, f"{where}.loophole") if options.loophole else None,
    )


def _audited(
    config: Config, judge: Reward, count: int, store: ArtifactStore, tokenizer: PreTrainedTokenizerBase, keys: dict[str, str]
) -> tuple[float, float]:
    """The judge's rates as counted on the first `count` responses of the chain's sampled ones. Called by all ranks."""
    name = chain.provider(config, chain.RESPONSES)
    made = built(stage(config, name), store)
    keys[name] = made.key
    samples = read_samples(config, made, tokenizer)
    pairs = zip(samples.prompts, samples.responses, strict=True)
    flat = [(prompt, response) for prompt, group in pairs for response in group][:count]
    scores = judge.score([prompt for prompt, _ in flat], [[response] for _, response in flat])
    return measured_rates(score for group in scores for score in group)


def initial_reward_model(config: Config, store: ArtifactStore, options: RewardConfig) -> Artifact:
    """The reward model that a run begins with: the one given by its path, or one made by its stage. Called by all ranks."""
    if options.model_path:
        return Artifact(path_fingerprint(options.model_path), Path(options.model_path))
    return built(stage(config, chain.provider(config, chain.REWARD)), store)


def model_reward(
    config: Config, options: RewardConfig, paths: Sequence[Path], task: Task, tokenizer: PreTrainedTokenizerBase
) -> Reward:
    """The reward of the models in `paths`, or the mixture of it with the rule.

    Args:
        options: this reward's settings. paths: the members of the ensemble, or one. tokenizer: the policy's.
    """
    loaded = [load_scorer(config, path) for path in paths]
    for (_, model_tokenizer, _), path in zip(loaded, paths, strict=True):
        if model_tokenizer.get_vocab() != tokenizer.get_vocab():
            raise ConfigError(
                f"the reward model in {path} has another vocabulary than the policy, and responses are scored as token ids; "
                "train a reward model from the same base, or set reward.model_path to one"
            )
    scorer: Scorer = loaded[0][0]
    if len(loaded) > 1:
        members = [one for one, _, _ in loaded]
        scorer = EnsembleScorer(members, options.output, options.pessimism, options.pessimism_scale)
    model = ModelReward(
        task,
        scorer,
        build_segmenter(loaded[0][2].segmentation, task, tokenizer),
        supervision=options.supervision,
        output=options.output,
        reduction=options.reduction,
        form=options.form,
        temperature=options.temperature,
    )
    return mixture(OutcomeReward(task), model, options.rule_weight) if options.source == "mixture" else model
