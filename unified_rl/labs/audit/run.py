"""`unified-rl audit ROLLOUTS as=verl against=paper`: a dump read, both losses computed on it, and the answers as text and table.

Writes OUT/tables/audit.csv (a line per response) and OUT/audit.json; where there are tokens, one prompt's responses token by token
in OUT/tables/microscope.csv and OUT/figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from unified_rl.config.schema import Config
from unified_rl.labs.audit import facts, measure, microscope
from unified_rl.labs.audit.readers import Rollout, read
from unified_rl.labs.audit.rescoring import rescored, tokenizer_of
from unified_rl.labs.options import AuditOptions
from unified_rl.presets.loading import load_config
from unified_rl.statistics.table_files import SCHEMA, write_table


def run(options: AuditOptions, words: Sequence[str], command: str) -> str:
    """Audit a dump; returns the report.

    Args:
        words: of the configuration, for both sides. command: as it was typed.

    Raises:
        DataError: the dump cannot be read. ConfigError: a loss that cannot be computed on a dump.
    """
    ours, theirs = (_config(options, name, words) for name in (options.as_, options.against))
    rollouts = read(options.rollouts)
    lengths, notes = _lengths(rollouts, options)
    for folder, name in ((options.model, "old_logp"), (options.reference, "ref_logp")):
        if folder:
            notes.append(rescored(rollouts, folder, name))
    batches = measure.batches(rollouts, lengths)
    pushed = [measure.push(ours, batch) for batch in batches]
    others = [measure.push(theirs, batch) for batch in batches]
    found = {
        "rollouts": facts.of_rollouts(batches),
        options.as_: facts.of_loss(batches, pushed),
        f"{options.against} (against)": facts.of_loss(batches, others),
        "between them": facts.between(pushed, others),
    }
    notes += _of_logps(batches)
    report = {"file": str(options.rollouts), "method": options.method, "notes": notes, **found}
    table = pd.DataFrame(facts.per_response(batches, pushed, others))
    write_table(table, options.out / "tables" / "audit.csv", {"schema": SCHEMA, "table": "audit", "command": command})
    notes += microscope.write(options, (ours, theirs), batches, (pushed, others), command)
    (options.out / "audit.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return rendered(report)


def _config(options: AuditOptions, dialect: str, words: Sequence[str]) -> Config:
    config = load_config([f"method={options.method}", f"dialect={dialect}", *words])
    measure.check(config, f"method={options.method} dialect={dialect}")
    return config


def _lengths(rollouts: Sequence[Rollout], options: AuditOptions) -> tuple[list[int], list[str]]:
    """Tokens of each response, and how they were counted. Text alone is tokenised again, or counted in characters."""
    texts = [one for one in rollouts if one.tokens is None]
    notes = []
    folder = options.tokenizer or options.model or options.reference
    if texts and folder:
        share = _tokenise(texts, folder, options.limit)
        notes.append(f"text was tokenised again by {folder}: {share:.1%} of the responses come back as they were")
    elif texts:
        notes.append("lengths are of characters, for want of tokens: say tokenizer=DIR to have the text tokenised again")
    for one in rollouts:
        if one.truncated is None and options.limit and one.tokens is not None:
            one.truncated = len(one.tokens) >= options.limit
    if not any(one.truncated is not None for one in rollouts):
        notes.append("which responses were truncated is not in the dump: say limit=N, the longest that was allowed, in tokens")
    return [len(one.text or "") if one.tokens is None else len(one.tokens) for one in rollouts], notes


def _tokenise(rollouts: Sequence[Rollout], folder: str, limit: int) -> float:
    """Tokens of each text, with the end that dumps leave out where there was room for it; the share that comes back whole."""
    tokenizer = tokenizer_of(folder)
    ids = tokenizer([one.text or "" for one in rollouts], add_special_tokens=False)["input_ids"]
    back = tokenizer.batch_decode(ids, skip_special_tokens=False)
    same = sum(again == one.text for again, one in zip(back, rollouts, strict=True))
    end = tokenizer.eos_token_id
    for one, tokens in zip(rollouts, ids, strict=True):
        ended = end is not None and (not limit or len(tokens) < limit) and tokens[-1:] != [end]
        one.tokens = [*tokens, end] if ended else list(tokens)
        if limit:
            one.truncated = not ended and tokens[-1:] != [end]
    return same / len(rollouts)


def _of_logps(batches: Sequence[measure.Batch]) -> list[str]:
    known = frozenset.intersection(*(batch.known for batch in batches))
    if not known:
        return [
            "no log-probs: every ratio is 1, and clip, corrections and KL are left out; advantage, filter and averages remain"
        ]
    missing = [name for name in ("old_logp", "behaviour_logp", "ref_logp", "logp") if name not in known]
    return [f"log-probs: {', '.join(sorted(known))}" + (f"; without {', '.join(missing)}" if missing else "")]


def rendered(report: dict[str, Any]) -> str:
    """The report as text."""
    lines = [f"{report['file']}, as method={report['method']}"]
    lines += [f"  note: {note}" for note in report["notes"]]
    for title, part in report.items():
        if not isinstance(part, dict):
            continue
        width = max(map(len, part))
        lines += ["", f"{title}:", *(f"  {name.ljust(width)}  {_word(value)}" for name, value in part.items())]
    return "\n".join(lines)


def _word(value: Any) -> str:
    if value is None or value == []:
        return "not in the dump"
    if isinstance(value, list):
        return ", ".join(_word(one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
