"""The data-source axis. A source is given what it needs (prompts, a generator, a reward) and draws the groups of a step."""

from unified_rl.sources.demonstrations import Demonstrations, as_response
from unified_rl.sources.offline import OfflineSamples, PreferencePairs
from unified_rl.sources.online import InformativeSamples, OnlineSamples, score_groups
from unified_rl.sources.prompts import PromptPool

__all__ = [
    "Demonstrations",
    "InformativeSamples",
    "OfflineSamples",
    "OnlineSamples",
    "PreferencePairs",
    "PromptPool",
    "as_response",
    "score_groups",
]
