"""Whose answers a point of the learning curve is made of: greedy ones, or a mean over samples; and what such a curve is called.

An entry of curve.jsonl without `samples` is greedy: a problem was answered once, right (1) or wrong (0). With it, `correct` holds
each problem's share of right answers among so many samples, drawn as `temperature`, `top_p` and `top_k` beside it say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unified_rl.base.types import Decoding

GREEDY = "greedy"
#: A share of right answers among n may be this far from a whole number of them, times n: it was written as a decimal.
_ROUNDING = 1e-6


def sampled_fields(samples: int, decoding: Decoding) -> dict[str, Any]:
    """What an entry has beside a greedy one's."""
    return {"samples": samples, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": decoding.top_k}


def answers_of(entry: Mapping[str, Any]) -> str:
    """In words for tables and captions: "greedy", or "8 samples, T=0.7"."""
    if not entry.get("samples"):
        return GREEDY
    words = [f"{entry['samples']} samples", f"T={entry['temperature']:g}"]
    words += [f"top_p={entry['top_p']:g}"] if entry["top_p"] < 1 else []
    words += [f"top_k={entry['top_k']}"] if entry["top_k"] else []
    return ", ".join(words)


def problem(entry: Mapping[str, Any]) -> str:
    """What is wrong with an entry's `correct`, or with what it says of its samples; "" if nothing is."""
    samples, correct = entry.get("samples", 0), entry.get("correct")
    if not isinstance(correct, list):
        return "correct is no list"
    if type(samples) is not int or samples < 0:
        return "samples is no number of samples"
    decoded = [entry.get(name) for name in ("temperature", "top_p", "top_k")]
    if samples and not all(isinstance(number, (int, float)) for number in decoded):
        return "a curve by samples lacks temperature, top_p or top_k"
    if not samples and any(verdict not in (0, 1) for verdict in correct):
        return "a verdict in correct is neither 0 nor 1"
    if samples and not all(_is_share(value, samples) for value in correct):
        return f"a share in correct is not one of {samples} samples"
    return ""


def series(entry: Mapping[str, Any]) -> str:
    """The name under which an entry's accuracy is drawn: `curve/SPLIT/SLICE`, or `curve_8_samples/SPLIT/SLICE`."""
    kind = f"curve_{entry['samples']}_samples" if entry.get("samples") else "curve"
    return f"{kind}/{str(entry.get('split'))[:40]}/{str(entry.get('slice'))[:80]}"


def title(name: str) -> str:
    """Of a series, for a chart."""
    kind, _, place = name.partition("/")
    samples = kind.removeprefix("curve").strip("_").replace("_", " ")
    return f"Mean accuracy over {samples}, {place}" if samples else f"Greedy accuracy, {place}"


def _is_share(value: Any, samples: int) -> bool:
    number = isinstance(value, (int, float)) and 0 <= value <= 1
    return number and abs(value * samples - round(value * samples)) < _ROUNDING
