"""What may be pooled, and what compared: by what runs were configured to be and how they were evaluated, never by their labels.

Runs are seeds of one another if and only if their resolved configurations differ in seeds alone (`settings_apart`). Evaluations are
comparable if and only if they were decoded alike on the same problems of the same task, in the same template (`protocol`).

Seeds may share a start policy or have one each (`start_of`). Where each has its own, (start, run) is one independent draw, and an
interval over seeds speaks of other starts too; where they share one, it is conditional on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from unified_rl.records.config_file import flat

#: Settings that say where a run is and what it is called, not what it does; and those of the planner, which runs nothing.
PLACES = frozenset({"run_dir", "resume", "threads", "artifacts", "label"})
_PLANNER = "plan."
_SHOWN = 3
REMEDY = "analyse them apart, or train one of them under a label of its own (label=NAME)"
#: Of the decoding, what means nothing to greedy answers.
_SAMPLING = ("temperature", "top_p", "top_k")


def is_seed(name: str) -> bool:
    """Whether a setting is a seed: `seed`, `sft.seed`, `reward.noise_seed` ..."""
    return name.rpartition(".")[2].endswith("seed")


def start_of(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The seeds that a run's start policy was drawn by, as (name, value); () where no configuration says.

    A model that was brought is not drawn, and a start that is made of no other stage was not trained.
    """
    brought, init = settings.get("model.path"), settings.get("init")
    trained = not init or any(name.startswith(f"stages.{init}.inputs.") for name in settings)
    drawn = {"model.seed": not brought, "sft.seed": trained}
    return tuple((name, settings[name]) for name, counts in drawn.items() if counts and name in settings)


def same_start(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two configurations start from the same draw. Those of which nothing is known may: a policy without a run."""
    return not a or not b or start_of(a) == start_of(b)


def count_starts(settings: Iterable[Mapping[str, Any]]) -> int:
    """How many start policies these runs have between them; those of which no configuration says anything count as one at most."""
    found = {start_of(one) for one in settings}
    return len(found - {()}) or len(found)


def starts_in_words(starts: int, seeds: int) -> str:
    """What intervals over so many seeds say of start policies: a sentence for captions; "" where there is but one seed."""
    if seeds < 2 or not starts:
        return ""
    if starts == 1:
        return "All seeds start from one SFT policy: nothing is said of others."
    if starts == seeds:
        return f"Each seed has an SFT policy of its own: {starts} independent starts."
    return f"{seeds} seeds share {starts} SFT policies, and the intervals take them for independent."


def settings_apart(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What keeps two runs from being seeds of one another: dotted name -> both values; empty if they may be pooled.

    Args:
        a, b: resolved configurations, as `flat` gives them. A name that only one has is a difference (the other value is None).
    """
    names = [name for name in {**a, **b} if name not in PLACES and not name.startswith(_PLANNER) and not is_seed(name)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


def configuration_key(settings: Mapping[str, Any], commit: str | None) -> str:
    """What a run is, whatever it is called and wherever it lies: a hash of its configuration, seeds included, and of its code.

    "" without a configuration. Runs of one key are one run, and what compares them is one comparison.
    """
    known = {name: value for name, value in settings.items() if name not in PLACES and not name.startswith(_PLANNER)}
    facts = json.dumps([sorted(known.items()), commit or ""], ensure_ascii=False, default=str)
    return hashlib.sha256(facts.encode()).hexdigest()[:16] if known else ""


def apart_in_words(apart: Mapping[str, tuple[Any, Any]]) -> str:
    """The first differences, as a message quotes them."""
    shown = [f"{name} {ours!r} against {theirs!r}" for name, (ours, theirs) in list(apart.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(apart) - _SHOWN} more" if len(apart) > _SHOWN else "")


def protocol(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation's numbers depend on besides the policy: task, its settings, decoding. Dotted name -> value.

    Args:
        meta: an evaluation's meta.json. Temperature, top_p and top_k are left out where nothing was sampled.
    """
    decoding = dict(meta.get("decoding") or {})
    if not meta.get("samples_per_problem"):
        decoding = {name: value for name, value in decoding.items() if name not in _SAMPLING}
    return flat({"task": meta.get("task"), "task_settings": meta.get("task_settings") or {}, "decoding": decoding})


def decoding_words(found: Mapping[str, Any]) -> str:
    """A protocol as captions state it: task, then how was decoded."""
    names = {"decoding.temperature": "T", "decoding.top_p": "top_p", "decoding.top_k": "top_k"}
    parts = [f"{short}={found[name]:g}" for name, short in names.items() if found.get(name) is not None]
    if found.get("decoding.max_new_tokens") is not None:
        parts.append(f"at most {found['decoding.max_new_tokens']} tokens")
    return ", ".join(filter(None, [str(found.get("task") or ""), *parts]))


def problems_digest(problems: Iterable[tuple[str, str]]) -> str:
    """A hash of (id, gold answer), in any order: two sets may have the same ids and not be the same problems."""
    return hashlib.sha256("\n".join(sorted(f"{name}\t{gold}" for name, gold in problems)).encode()).hexdigest()[:16]
