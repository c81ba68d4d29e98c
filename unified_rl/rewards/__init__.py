"""The reward axis: how good a response is, as raw facts and a number."""

from unified_rl.rewards.rewards import ExactProcessReward, NoReward, OutcomeReward, OverlongPenalty, StepLocator

__all__ = ["ExactProcessReward", "NoReward", "OutcomeReward", "OverlongPenalty", "StepLocator"]
