"""Section `source` of the configuration: the options of all sources and wrappers, each declared beside what reads it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from unified_rl.sources.informative import InformativeOptions
from unified_rl.sources.mixed import MixOptions
from unified_rl.sources.offline import StoredOptions
from unified_rl.sources.refreshed import RefreshOptions
from unified_rl.sources.tree_search import TreeOptions


@dataclass
class _Named:
    name: str = ""


@dataclass
class SourceConfig(TreeOptions, RefreshOptions, MixOptions, InformativeOptions, StoredOptions, _Named):
    """The data source.

    name: one of the table in docs/sources.md; "" = that of the method's row.
    wrappers: what is made of that source, the first one innermost: pairs | informative | mixed | refreshed | greedy |
        reference_rewards (docs/sources.md).
    samples_per_prompt: stored samples per prompt, to train on or to compare with.
    max_rounds: most batches of prompts that are tried per step, where groups whose rewards agree are replaced.
    mixed_with, mixed_responses: the other source of mixed groups, and how many responses of each group come from it.
    refresh_every: steps between two refreshes of the policy that is sampled from, where it is a copy; 0 = never, the start policy.
    roots, branch_rounds, branch_from, segmentation: of the search over steps. The first `roots` responses to a prompt are sampled
        from the prompt, the others in `branch_rounds` rounds from step ends of those before: random ones, or of the responses with
        the best reward. Where steps end: newline | step_n | task | token:ID (rewards/steps.py).
    """

    wrappers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.check_stored()
        self.check_informative()
        self.check_mix()
        self.check_refresh()
        self.check_tree()
