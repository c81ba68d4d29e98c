"""Conformance: the gradients that other projects' own loss functions gave, beside those of one line of configuration of ours.

A golden file has `peers` (repository, version, files), `data` (log-probs and rewards, by key) and `rows` (peer, method, data, and
the peer's d loss / d logp [B][T]); `tools/golden.py` makes one from a checked-out project. Ours is -w GC of the configuration of
its line, for the same numbers, in float64. `unified-rl conformance` prints the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unified_rl.base.errors import DataError
from unified_rl.config.schema import Config
from unified_rl.labs.conformance_lines import DIALECT_LINES, LINES, Line
from unified_rl.loop.surrogate import aggregation_weights
from unified_rl.methods.base import Inputs, given
from unified_rl.methods.importance import corrected
from unified_rl.ops.terms import coefficient as total
from unified_rl.presets.loading import load_config

#: Largest difference, relative to the peer's largest entry, that counts as none: peers add 1e-8 to denominators, or use float32.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Compared:
    """One row of the table. difference: the largest, relative to the peer's largest entry; None where there is no line for it."""

    peer: str
    method: str
    words: str
    difference: float | None
    fault: str = ""

    @property
    def agrees(self) -> bool:
        return self.difference is not None and self.difference <= TOLERANCE

    @property
    def verdict(self) -> str:
        if self.agrees:
            return "equal"
        return "no line" if self.difference is None else f"differs: {self.fault or 'no reason is known'}"


def read(path: Path) -> dict[str, Any]:
    """A golden file, or all of a folder's as one.

    Raises:
        DataError: there is none, or it is not one.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"golden={path} holds no golden gradients; name a file or folder, or make one: python -m tools.golden")
    whole: dict[str, Any] = {"peers": {}, "data": {}, "rows": []}
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not {"data", "rows"} <= found.keys():
            raise DataError(f"{file} is no golden file: it has no data and rows")
        whole["peers"] |= found.get("peers", {})
        whole["data"] |= found["data"]
        whole["rows"] += found["rows"]
    return whole


def compare(golden: Mapping[str, Any], peer: str = "") -> list[Compared]:
    """Every row of the golden gradients whose peer's name begins with `peer`, in their order."""
    rows = [row for row in golden["rows"] if row["peer"].lower().startswith(peer.lower())]
    if not rows:
        known = ", ".join(dict.fromkeys(row["peer"] for row in golden["rows"]))
        raise DataError(f"there are no golden gradients of {peer!r}; there are of {known}")
    return [_compared(row, golden["data"][row["data"]]) for row in rows]


def compare_dialects(golden: Mapping[str, Any], peer: str = "") -> list[Compared]:
    """The golden gradients that a dialect, with what the recording set otherwise than the project's defaults, is to give."""
    rows = [row for row in golden["rows"] if row["peer"].lower().startswith(peer.lower())]
    found = []
    for row in rows:
        words = DIALECT_LINES.get((row["peer"], row["method"].strip()))
        if words:
            ours_BT = gradient(words.split(), golden["data"][row["data"]])
            found.append(Compared(row["peer"], row["method"].strip(), words, difference(ours_BT, _floats(row["gradient"]))))
    return found


def gradient(words: Sequence[str], data: Mapping[str, Any], rows: str = "all") -> Tensor:
    """d loss / d logp [B, T] of a configuration of ours on golden data, 0 off the mask.

    Args:
        rows: "all" responses, or of pairs the "chosen" ones alone (the others' gradient is 0).
    """
    config, inputs = load_config(words), inputs_of(data)
    logp_BT = _floats(data["logp"])
    if rows == "all":
        return of_logp(config, inputs, logp_BT)
    kept = given(inputs.chosen_B).nonzero()[:, 0]
    found_BT = of_logp(config, replace(inputs.rows(kept), chosen_B=None), logp_BT[kept])
    return torch.zeros_like(logp_BT).index_copy_(0, kept, found_BT)


def of_logp(config: Config, inputs: Inputs, logp_BT: Tensor) -> Tensor:
    """d loss / d logp [B, T] of a configuration on one update's whole batch, 0 off the mask."""
    method = corrected(config.coefficient, config.importance)
    prepared = method.prepare(inputs)
    mask_BT = prepared.response_mask_BT
    weights_B = weights_of(config, prepared)
    return torch.where(mask_BT, -weights_B[:, None] * total(method.terms(logp_BT, prepared), mask_BT), 0)


def weights_of(config: Config, prepared: Inputs) -> Tensor:
    """Each response's weight [B] in a configuration's mean over an update's whole batch."""
    options = config.aggregation
    length = options.length or prepared.response_mask_BT.shape[1]
    return aggregation_weights(options.name, prepared, length, options.truncated, options.empty)


def inputs_of(data: Mapping[str, Any]) -> Inputs:
    """Golden data as a coefficient's inputs; the reference stands for a teacher too, and a positive reward for a right answer."""
    rewards_B = _floats(data["rewards"])
    return Inputs(
        response_mask_BT=torch.tensor(data["response_mask"], dtype=torch.bool),
        group_B=torch.tensor(data["group"], dtype=torch.int64),
        rewards_B=rewards_B,
        correct_B=(rewards_B > 0).to(rewards_B),
        truncated_B=torch.tensor(data["truncated"], dtype=torch.bool),
        behaviour_logp_BT=_floats(data["behaviour_logp"]),
        chosen_B=None if data["chosen"] is None else torch.tensor(data["chosen"], dtype=torch.bool),
        old_logp_BT=_floats(data["old_logp"]),
        ref_logp_BT=_floats(data["ref_logp"]),
        values_BT=_floats(data["values"]),
        more={
            "teacher_logp_BT": _floats(data["ref_logp"]),
            "mismatched_kl_B": torch.full_like(rewards_B, data.get("mismatched_kl", 0.0)),
            "chance_BT": _floats(data.get("chance", data["values"])),
        },
    )


def difference(ours_BT: Tensor, theirs_BT: Tensor) -> float:
    """The largest difference over the peer's largest entry."""
    return ((ours_BT - theirs_BT).abs().max() / theirs_BT.abs().max().clamp(min=1e-300)).item()


def table(compared: Sequence[Compared]) -> str:
    """As Markdown: peer, method, our line, largest difference."""
    lines = ["| project | its loss | our line | largest difference |", "|---|---|---|---|"]
    for one in compared:
        found = "-" if one.difference is None else f"{one.difference:.0e}" if one.agrees else one.verdict
        cells = (one.peer, one.method, f"`{one.words}`" if one.words else "-", found)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def summary(compared: Sequence[Compared]) -> str:
    """How many agree."""
    agree = sum(one.agrees for one in compared)
    explained = sum(bool(one.fault) and not one.agrees for one in compared)
    return f"{agree} of {len(compared)} agree within {TOLERANCE:g}; {explained} differ for a reason that is named"


def _compared(row: Mapping[str, Any], data: Mapping[str, Any]) -> Compared:
    peer, method = row["peer"], row["method"].strip()
    line = _line(peer, method)
    if line is None:
        return Compared(peer, method, "", None)
    found = difference(gradient(line.words.split(), data, line.rows), _floats(row["gradient"]))
    return Compared(peer, method, line.words, found, line.fault)


def _line(peer: str, method: str) -> Line | None:
    return LINES.get(peer, {}).get(method)


def _floats(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
