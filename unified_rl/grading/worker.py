"""What a worker process does with one item of grading: read a response, compare two answers, or name an answer's class."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from unified_rl.grading.equivalence import canonical, equivalent
from unified_rl.grading.explain import explain
from unified_rl.grading.extract import bare, extract
from unified_rl.grading.policies import GradingPolicy

HANDLER = "unified_rl.grading.worker:serve"


def serve(payload: dict[str, Any]) -> Any:
    """One item. By its keys: `response` (and `format`, `unmarked`, `boxes`) -> its final answer or None; `announced` -> the
    prediction without its announcement; `gold`, `prediction`, `policy` -> whether they are equal; `explained` (the gold answer),
    `prediction`, `policy` -> how they were read, and why; `answer`, `policy` -> its class.
    """
    if "response" in payload:
        return extract(**payload)
    if "announced" in payload:
        return bare(payload["announced"])
    policy = _policy(tuple(sorted(payload["policy"].items())))
    if "answer" in payload:
        return canonical(payload["answer"], policy)
    if "explained" in payload:
        return explain(payload["explained"], payload["prediction"], policy)
    return equivalent(payload["gold"], payload["prediction"], policy)


@lru_cache(maxsize=16)
def _policy(settings: tuple) -> GradingPolicy:
    return GradingPolicy(**dict(settings))
