"""The data-source axis. A source is given what it needs (prompts, a generator, a reward) and draws the groups of a step."""

from unified_rl.sources.ahead import AheadOfTraining, Settled
from unified_rl.sources.demonstrations import Demonstrations, as_response
from unified_rl.sources.greedy import GreedyBeside
from unified_rl.sources.informative import InformativeSamples
from unified_rl.sources.mixed import MixedGroups
from unified_rl.sources.mixture import MixedDemonstrations
from unified_rl.sources.offline import OfflineSamples
from unified_rl.sources.online import OnlineSamples, score_groups
from unified_rl.sources.pairs import Pairs
from unified_rl.sources.prompts import PromptPool
from unified_rl.sources.reference_rewards import ReferenceRewards
from unified_rl.sources.refreshed import PolicyCopy, RefreshedSamples
from unified_rl.sources.tree_search import BRANCH_FROM, TreeSearch

__all__ = [
    "BRANCH_FROM",
    "AheadOfTraining",
    "Demonstrations",
    "GreedyBeside",
    "InformativeSamples",
    "MixedDemonstrations",
    "MixedGroups",
    "OfflineSamples",
    "OnlineSamples",
    "Pairs",
    "PolicyCopy",
    "PromptPool",
    "ReferenceRewards",
    "RefreshedSamples",
    "Settled",
    "TreeSearch",
    "as_response",
    "score_groups",
]
