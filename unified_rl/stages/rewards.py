"""Builds the configured reward, and the reward model it needs."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from unified_rl.config import Config
from unified_rl.plugins import import_by_path
from unified_rl.rewards import ExactProcessReward, NoReward, OutcomeReward, OverlongPenalty
from unified_rl.types import Reward, Task


def build_reward(config: Config, task: Task, tokenizer: PreTrainedTokenizerBase) -> Reward:
    """The configured reward, or a user's own (`reward.source=FILE.py:NAME`, called with the task and the tokenizer)."""
    options = config.reward
    values = {"correct": options.correct, "incorrect": options.incorrect}
    if ":" in options.source:
        reward = import_by_path(options.source, "reward.source")(task, tokenizer)
    elif options.source == "none":
        reward = NoReward(task)
    elif options.supervision == "process":
        reward = ExactProcessReward(task, tokenizer, **values)
    else:
        reward = OutcomeReward(task, **values)
    if options.overlong:
        return OverlongPenalty(reward, max_tokens=config.generator.max_new_tokens, margin=options.overlong)
    return reward
