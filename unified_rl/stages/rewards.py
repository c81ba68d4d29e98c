"""Builds the configured reward, and the reward model it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from unified_rl.base.errors import ConfigError, UnifiedRLError
from unified_rl.base.plugins import import_by_path
from unified_rl.base.types import Response, Reward, Task
from unified_rl.config.reward_models import check_settings, default_reduction
from unified_rl.config.schema import Config
from unified_rl.models.reward_model import read_card
from unified_rl.presets import chain
from unified_rl.records.artifacts import Artifact, ArtifactStore, built
from unified_rl.rewards import (
    ExactProcessReward,
    MixedReward,
    ModelReward,
    NoisyReward,
    NoReward,
    OutcomeReward,
    OverlongPenalty,
    build_segmenter,
)
from unified_rl.rewards.checked import CheckedReward
from unified_rl.rewards.functions import FunctionReward, check_callable, is_function
from unified_rl.stages import world
from unified_rl.stages.chain import stage
from unified_rl.stages.fingerprints import path_fingerprint
from unified_rl.stages.reward_model import load_scorer


def preflight_reward(config: Config, task: Task) -> None:
    """Look at what the reward needs, before a run directory is made or a stage is built.

    Raises:
        ConfigError, CheckpointError: a task without an exact step checker, a reward model that is missing, damaged, or of a kind
            that the reward's settings do not fit; a user's file that cannot be used.
    """
    reward = config.reward
    if reward.source == "exact":
        task.check_steps(task.problems("train", 1)[0], "")
    if ":" in reward.source:
        check_callable(import_by_path(reward.source, "reward.source"), f"reward.source={reward.source}")
    if reward.learned and reward.model_path:
        kind = read_card(Path(reward.model_path)).kind
        reduction = reward.reduction or default_reduction(kind)
        check_settings(kind, reward.supervision, reward.output, reduction, reward.form, reward.temperature)


def build_reward(
    config: Config,
    store: ArtifactStore,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[Reward, dict[str, str]]:
    """The configured reward, and the keys of the artefacts it reads. A reward model that is missing is made first, by all ranks."""
    options = config.reward
    keys: dict[str, str] = {}
    if ":" in options.source:
        reward = _users_reward(options.source, task, tokenizer)
    elif options.source == "none":
        reward = NoReward(task)
    elif options.learned:
        judge = initial_reward_model(config, store)
        keys[chain.provider(config, chain.REWARD)] = judge.key
        reward = model_reward(config, judge.path, task, tokenizer)
    else:
        reward = _checking_reward(config, task, tokenizer)
    if options.overlong:
        reward = OverlongPenalty(reward, max_tokens=config.generator.max_new_tokens, margin=options.overlong)
    return CheckedReward(reward, f"reward.source={options.source}"), keys


def _users_reward(name: str, task: Task, tokenizer: PreTrainedTokenizerBase) -> Reward:
    """A user's own reward: a plain function of texts, or what a factory makes of the task and the tokenizer."""
    found = import_by_path(name, "reward.source")
    return FunctionReward(task, found, f"reward.source={name}") if is_function(found) else found(task, tokenizer)


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
    name = config.reward.source
    problems = world.training_problems(task, config)[:2]
    prompts = world.as_prompts(problems, tokenizer, config)
    responses = [[_made_up(text, tokenizer)] for text in (problems[0].gold, problems[-1].question)][: len(prompts)]
    try:
        reward = CheckedReward(_users_reward(name, task, tokenizer), f"reward.source={name}")
        scores = reward.score(prompts, responses)
    except UnifiedRLError:
        raise
    except Exception as error:
        raise ConfigError(
            f"reward.source={name}: it fails on a made-up response ({type(error).__name__}: {error}); mend it"
        ) from error
    if config.reward.supervision == "process" and any(score.step_rewards is None for group in scores for score in group):
        raise ConfigError(
            f"reward.source={name} gives no step rewards, which reward.supervision=process needs; give them, or set outcome"
        )


def _checking_reward(config: Config, task: Task, tokenizer: PreTrainedTokenizerBase) -> Reward:
    """Rule or exact, with errors where some are asked for."""
    options = config.reward
    values = {"correct": options.correct, "incorrect": options.incorrect}
    exact = options.supervision == "process"
    reward = ExactProcessReward(task, tokenizer, **values) if exact else OutcomeReward(task, **values)
    if not options.noisy:
        return reward
    rates = {"false_positive": options.false_positive, "false_negative": options.false_negative}
    return NoisyReward(reward, **rates, seed=options.noise_seed, **values)


def initial_reward_model(config: Config, store: ArtifactStore) -> Artifact:
    """The reward model that a run begins with: the one given by its path, or one made by its stage. Called by all ranks."""
    if config.reward.model_path:
        return Artifact(path_fingerprint(config.reward.model_path), Path(config.reward.model_path))
    return built(stage(config, chain.provider(config, chain.REWARD)), store)


def model_reward(config: Config, path: Path, task: Task, tokenizer: PreTrainedTokenizerBase) -> Reward:
    """The reward of the model in `path`, or the mixture of it with the rule.

    Args:
        tokenizer: the policy's.
    """
    options = config.reward
    scorer, model_tokenizer, card = load_scorer(config, path)
    if model_tokenizer.get_vocab() != tokenizer.get_vocab():
        raise ConfigError(
            f"the reward model in {path} has another vocabulary than the policy, and responses are scored as token ids; "
            "train a reward model from the same base, or set reward.model_path to one"
        )
    model = ModelReward(
        task,
        scorer,
        build_segmenter(card.segmentation, task, tokenizer),
        supervision=options.supervision,
        output=options.output,
        reduction=options.reduction,
        form=options.form,
        temperature=options.temperature,
    )
    return MixedReward(OutcomeReward(task), model, options.rule_weight) if options.source == "mixture" else model
