"""What is aimed at on an H100, and what a run's results say of it: met, missed, or not measured. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A figure of the result with these facts, and the least or the most that it should be."""

    what: str
    shape: str
    figure: str
    least: float | None = None
    most: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def of(self, results: Sequence[Mapping[str, Any]]) -> float | None:
        """The figure; None where it was not measured."""
        wanted = {"what": self.what, "shape": self.shape, **self.facts}
        for result in results:
            if self.figure in result and all(result.get(name) == value for name, value in wanted.items()):
                return float(result[self.figure])
        return None

    def met(self, found: float) -> bool:
        """Whether this is no less than the least and no more than the most."""
        return (self.least is None or found >= self.least) and (self.most is None or found <= self.most)


_KEPT, _AGAIN, _SHARE = {"layers": "kept"}, {"layers": "run again"}, "model_flops_utilisation"
GOALS = (
    Goal("training pass", "7b", _SHARE, least=0.45, facts=_KEPT),
    Goal("training pass", "7b", _SHARE, least=0.33, facts=_AGAIN),
    Goal("training pass", "1.3b", _SHARE, least=0.40, facts=_KEPT),
    Goal("training pass", "0.5b", _SHARE, least=0.25, facts=_KEPT),
    Goal("log-probs", "7b", "chunked_ms", most=20.0),
    Goal("log-probs", "7b", "chunked_over_full_gib", most=1.0),
    Goal("decoding", "0.5b", "ms_per_step", most=6.0),
    Goal("DeepSpeed", "1.3b", "update_over_bare_pass", most=1.2),
    Goal("GRPO step", "0.5b", "speed_over_trl", least=1.5),
)


def verdicts(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line per goal."""
    for goal in GOALS:
        found = goal.of(results)
        bound = f"at least {goal.least:g}" if goal.least is not None else f"at most {goal.most:g}"
        says = "not measured" if found is None else f"{found:.3g}, {'met' if goal.met(found) else 'missed'}"
        facts = "".join(f", layers {value}" for value in goal.facts.values())
        yield f"{goal.shape:>5} {goal.what}{facts}: {goal.figure} {bound}: {says}"
