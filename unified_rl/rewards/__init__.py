"""The reward axis: how good a response is, as raw facts and a number."""

from unified_rl.rewards.judges import NoisyReward
from unified_rl.rewards.model import ModelReward, Scorer
from unified_rl.rewards.rewards import ExactProcessReward, NoReward, OutcomeReward, OverlongPenalty, StepLocator
from unified_rl.rewards.several import SeveralRewards, mixture
from unified_rl.rewards.steps import ExactSteps, Segmenter, build_segmenter

__all__ = [
    "ExactProcessReward",
    "ExactSteps",
    "ModelReward",
    "NoReward",
    "NoisyReward",
    "OutcomeReward",
    "OverlongPenalty",
    "Scorer",
    "Segmenter",
    "SeveralRewards",
    "StepLocator",
    "build_segmenter",
    "mixture",
]
