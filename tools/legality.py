"""Every combination of source x reward x coefficient x aggregation x importance: which are legal, and why the others are not.

    python -m tools.legality            prints the counts

`covering` chooses, of the legal ones, runs that together hold every pair of axis values that is legal anywhere.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.config.rewards import COMPARING
from unified_rl.config.schema import Config
from unified_rl.methods import COEFFICIENTS
from unified_rl.methods.signals import beside_policy
from unified_rl.presets import match, rules
from unified_rl.presets.loading import compose
from unified_rl.sources.registry import SOURCES
from unified_rl.sources.settings import SourceConfig

REWARDS = (
    ("none", "none"),
    ("rule", "outcome"),
    ("exact", "outcome"),
    ("exact", "process"),
    ("step_values", "process"),
    ("node_values", "process"),
    ("model", "outcome"),
    ("model", "process"),
    ("mixture", "outcome"),
)
AGGREGATIONS = ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length", "pair_mean")
IMPORTANCES = ("none", "truncated", "masked", "plain", "rejected", "bypass")
#: Sources under wrappers that make something new of them.
WRAPPED: dict[str, dict[str, Any]] = {
    "online_samples [pairs]": {"name": "online_samples", "wrappers": ["pairs"]},
    "online_samples [mixed: offline_samples]": {"name": "online_samples", "wrappers": ["mixed"]},
    "online_samples [mixed: demonstrations]": {
        "name": "online_samples",
        "wrappers": ["mixed"],
        "mixed_with": "demonstrations",
    },
    "online_samples [reference_rewards]": {"name": "online_samples", "wrappers": ["reference_rewards"]},
    "online_samples [greedy]": {"name": "online_samples", "wrappers": ["greedy"]},
}
#: A loss for coefficients that have no term of their own.
BESIDE = "entropy_bonus"
AXES = ("source", "reward", "coefficient", "aggregation", "importance")


@dataclass(frozen=True)
class Combination:
    """One value of each axis, by name."""

    source: str
    reward: tuple[str, str]
    coefficient: str
    aggregation: str
    importance: str

    def pairs(self) -> set[tuple]:
        """Every pair of axis values, with the axes."""
        return {(a, getattr(self, a), b, getattr(self, b)) for a, b in combinations(AXES, 2)}

    def words(self) -> list[str]:
        """As on the command line."""
        options = source_options(self.source)
        found = [
            f"coefficient={self.coefficient}",
            f"source={options['name']}",
            f"reward.source={self.reward[0]}",
            f"reward.supervision={self.reward[1]}",
            f"aggregation={self.aggregation}",
            f"importance={self.importance}",
        ]
        if "wrappers" in options:
            found.append(f"source.wrappers=[{','.join(options['wrappers'])}]")
        if "mixed_with" in options:
            found.append(f"source.mixed_with={options['mixed_with']}")
        if COEFFICIENTS[self.coefficient].by_losses:
            found.append(f"losses.{BESIDE}=1")
        if self.importance == "rejected":
            found.append("importance.reject=ratio")
        return found


def source_options(name: str) -> dict[str, Any]:
    """Section `source` of a source by its name here."""
    return WRAPPED.get(name, {"name": name})


def every() -> Iterator[tuple[Combination, Config]]:
    """The full product, with its configurations (roles with a setting have a folder that need not be there)."""
    sources = {name: SourceConfig(**source_options(name)) for name in (*SOURCES, *WRAPPED)}
    for coefficient in COEFFICIENTS:
        config = compose(["method=grpo", f"coefficient={coefficient}"])
        roles: dict[str, Any] = {role.name: "DIR" for role in beside_policy(config.coefficient.needs) if role.setting}
        losses = {BESIDE: 1.0} if config.coefficient.by_losses else {}
        config = replace(config, losses=losses, **roles)
        for importance in IMPORTANCES:
            reject = "ratio" if importance == "rejected" else "none"
            weighed = replace(config, importance=replace(config.importance, name=importance, reject=reject))
            for reward in REWARDS:
                judged = replace(weighed, reward=replace(config.reward, source=reward[0], supervision=reward[1]))
                for source, section in sources.items():
                    drawn = replace(judged, source=section)
                    for aggregation in AGGREGATIONS:
                        found = replace(drawn, aggregation=replace(config.aggregation, name=aggregation))
                        yield Combination(source, reward, coefficient, aggregation, importance), found


def refusal(config: Config, known: dict[tuple, str] | None = None) -> str:
    """Why a configuration is refused; "" where it is legal.

    known: what the match of the source with the other axes said; it knows no aggregation, and of a reward its supervision, whether
        there is one, and whether it judges responses by each other.
    """
    supervision = config.reward.supervision, config.reward.source == "none", config.reward.source in COMPARING
    key = config.coefficient.name, config.importance.name, config.source.name, *config.source.wrappers, config.source.mixed_with
    for rule in rules.RULES:
        if known is None or rule is not match.check_source:
            why = _said_by(rule, config)
        else:
            why = known[*key, supervision] if (*key, supervision) in known else _said_by(rule, config)
            known[*key, supervision] = why
        if why:
            return why
    return ""


def _said_by(rule: Callable[[Config], None], config: Config) -> str:
    try:
        rule(config)
    except ConfigError as error:
        return str(error)
    return ""


@lru_cache(maxsize=1)
def survey() -> tuple[list[Combination], Counter[str], int]:
    """(legal combinations, refusals with their counts, all that were checked)."""
    legal, refused, count, known = [], Counter[str](), 0, dict[tuple, str]()
    for combination, config in every():
        count += 1
        if why := refusal(config, known):
            refused[why] += 1
        else:
            legal.append(combination)
    return legal, refused, count


def covering(legal: Sequence[Combination]) -> list[Combination]:
    """Combinations that together hold every pair of axis values of the legal ones: greedily, in a fixed order."""
    missing = set().union(*(one.pairs() for one in legal))
    chosen: list[Combination] = []
    for wanted in range(10, 0, -1):  # ten pairs each: first those that bring ten new ones
        for one in legal:
            fresh = one.pairs() & missing
            if len(fresh) >= wanted:
                chosen.append(one)
                missing -= fresh
    return chosen


def main() -> int:
    legal, refused, count = survey()
    chosen = covering(legal)
    pairs = len(set().union(*(one.pairs() for one in legal)))
    sys.stdout.write(
        f"{count} combinations of {' x '.join(AXES)}: {len(legal)} legal, {count - len(legal)} refused with {len(refused)} "
        f"different words\n{pairs} legal pairs of axis values, covered by {len(chosen)} combinations\n"
    )
    for why, times in refused.most_common(12):
        sys.stdout.write(f"  {times:6}  {why}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
