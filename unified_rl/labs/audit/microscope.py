"""One prompt's dumped responses token by token: every factor of both losses, and their pushes, as text, table and figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from unified_rl.base.errors import DataError
from unified_rl.base.terminal import one_line
from unified_rl.config.schema import Config
from unified_rl.labs.audit import measure
from unified_rl.labs.audit.measure import Batch, Pushed
from unified_rl.labs.audit.rescoring import tokenizer_of
from unified_rl.labs.conformance import weights_of
from unified_rl.labs.options import AuditOptions
from unified_rl.plotting import microscope as figure
from unified_rl.records.provenance import git_state
from unified_rl.statistics.table_files import SCHEMA, write_table

#: Responses of the group, and tokens of each, that go into the table; all enter the group's statistics.
MOST_RESPONSES, MOST_TOKENS = 16, 2048


@dataclass(frozen=True)
class Shown:
    """The table's rows, and what it says of itself. step: whose it is. responses: in the group."""

    table: pd.DataFrame
    facts: dict[str, Any]
    step: int
    responses: int


def table_path(options: AuditOptions) -> Path:
    """Of the table."""
    return options.out / "tables" / "microscope.csv"


def figures(options: AuditOptions) -> Path:
    """The folder of the figure."""
    return options.out / "figures"


def measured(
    options: AuditOptions,
    configs: tuple[Config, Config],
    batches: Sequence[Batch],
    pushed: tuple[Sequence[Pushed], Sequence[Pushed]],
    command: str,
) -> Shown | None:
    """One prompt's responses under both losses; None where they have no tokens. Nothing is written.

    Args:
        configs: the loss that it was, and the other. pushed: of each, per batch.

    Raises:
        DataError: `prompt=` is not in the dump.
    """
    place, group = _chosen(options.prompt, batches, pushed)
    batch = batches[place]
    rows = (batch.inputs.group_B == group).nonzero()[:, 0].tolist()
    kept = [row for row in rows if batch.rollouts[row].tokens][:MOST_RESPONSES]
    if not kept:
        return None
    word = _words(options.tokenizer or options.model or options.reference)
    names = (options.as_, options.against)
    sides = zip(names, configs, pushed, strict=True)  # one dialect against itself is one side
    values = {name: _factors(config, batch, found[place]) for name, config, found in sides}
    table = pd.DataFrame([row for name in values for row in _rows(name, values[name], batch, kept, word)])
    return Shown(table, _facts(options, batch, rows, command), batch.step, len(rows))


def words(shown: Shown | None, options: AuditOptions) -> str:
    """What the report says of it."""
    if shown is None:
        return "no tokens, and so nothing token by token: say tokenizer=DIR to have the text tokenised again"
    picture = figures(options) / "microscope.png"
    return f"token by token in {table_path(options)} and {picture}: step {shown.step}, {shown.responses} responses"


def write(shown: Shown, options: AuditOptions) -> None:
    """Table and figure."""
    path = table_path(options)
    write_table(shown.table, path, shown.facts)
    figure.draw(path.parent, figures(options))


def _facts(options: AuditOptions, batch: Batch, rows: Sequence[int], command: str) -> dict[str, Any]:
    """What the table says of itself, and the figure of the rollouts. rows: of the group, in the batch."""
    first = batch.rollouts[rows[0]]
    return {
        "schema": SCHEMA,
        "table": "microscope",
        "command": command,
        "prompt_id": first.prompt,
        "question": first.prompt_text or first.prompt,
        "group_size": len(rows),
        "commits": [commit] if (commit := git_state()["commit"]) else [],
        "rollouts": f"{options.rollouts}, step {first.step}; log-probs: {', '.join(sorted(batch.known)) or 'none (ratios are 1)'}",
    }


def _chosen(prompt: str, batches: Sequence[Batch], pushed: tuple[Sequence[Pushed], Sequence[Pushed]]) -> tuple[int, int]:
    """Place of the batch, and number of the group: the one named, or the one on which the losses disagree most."""
    if prompt:
        for place, batch in enumerate(batches):
            for row, one in enumerate(batch.rollouts):
                if prompt in (one.prompt, one.prompt_text):
                    return place, int(batch.inputs.group_B[row])
        known = ", ".join(sorted({repr(one.prompt[:40]) for batch in batches for one in batch.rollouts})[:3])
        raise DataError(f"prompt={one_line(prompt)} is not in the dump ({known}, ...)")
    best, chosen = -1.0, (0, 0)
    sizes = [sum(float(part.push_BT.square().sum()) for part in side) ** 0.5 or 1.0 for side in pushed]
    for place, batch in enumerate(batches):
        ours_BT, theirs_BT = (side[place].push_BT / size for side, size in zip(pushed, sizes, strict=True))
        apart_B = (ours_BT - theirs_BT).abs().sum(1) + 1e-9 * ours_BT.abs().sum(1)  # one loss twice: where it does most
        apart_G = torch.zeros(int(batch.inputs.group_B.max()) + 1, dtype=apart_B.dtype).index_add_(
            0, batch.inputs.group_B, apart_B
        )
        if float(apart_G.max()) > best:
            best, chosen = float(apart_G.max()), (place, int(apart_G.argmax()))
    return chosen


def _factors(config: Config, batch: Batch, pushed: Pushed) -> dict[str, Tensor]:
    """By name, [B, T] each: the push, and what it is made of. A factor of a further term has the term's name before it."""
    terms, prepared = measure.terms_of(config, batch)
    acting = {name: one for name, one in terms.items() if name == "advantage" or bool(one.value().any())}
    named = {
        name if term == "advantage" else f"{term}: {name}": value
        for term, one in acting.items()
        for name, value in one.factors.items()
    }
    found = {"push": pushed.push_BT, "weight in the mean": weights_of(config, prepared)[:, None], **named}
    return {name: value.expand_as(pushed.push_BT) for name, value in found.items()}


def _words(folder: str) -> Callable[[int | str], str]:
    """A token's text, from its number (`#12` without a tokenizer) or as the dump has it."""
    tokenizer = tokenizer_of(folder) if folder else None

    def word(token: int | str) -> str:
        if isinstance(token, str):
            return token
        return f"#{token}" if tokenizer is None else str(tokenizer.decode([token]))

    return word


def _rows(
    name: str, values: dict[str, Tensor], batch: Batch, shown: Sequence[int], word: Callable[[int | str], str]
) -> list[dict[str, Any]]:
    """A row per response, token and factor of one side."""
    found = []
    for number, row in enumerate(shown):
        rollout = batch.rollouts[row]
        tokens = [json.dumps(word(token), ensure_ascii=False) for token in (rollout.tokens or [])[:MOST_TOKENS]]
        for factor, value_BT in values.items():
            value_T = value_BT[row, : len(tokens)].tolist()
            found += [
                {
                    "method": name,
                    "label": name,
                    "response": number,
                    "token_index": index,
                    "token": token,
                    "term": factor,
                    "value": value_T[index],
                    "reward": rollout.reward,
                    "verdict": "",
                    "step_end": 0,
                    "step_reward": None,
                }
                for index, token in enumerate(tokens)
            ]
    return found
