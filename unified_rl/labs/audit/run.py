"""`unified-rl audit ROLLOUTS as=verl against=paper`: a dump read, both losses computed on it, and the answers as text and table.

Writes OUT/tables/audit.csv (a line per response) and OUT/audit.json; where there are tokens, one prompt's responses token by token
in OUT/tables/microscope.csv and OUT/figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.files import write_text
from unified_rl.base.terminal import one_line
from unified_rl.config.schema import Config
from unified_rl.labs.audit import facts, measure, microscope
from unified_rl.labs.audit.readers import PER_TOKEN, Rollout, read
from unified_rl.labs.audit.rescoring import lengths_of, rescored
from unified_rl.labs.options import AuditOptions
from unified_rl.presets.loading import load_config
from unified_rl.statistics.table_files import SCHEMA, write_table

#: Steps that a note names; of more it says how many.
NAMED = 8


def run(options: AuditOptions, words: Sequence[str], command: str) -> str:
    """Audit a dump; returns the report. Whatever can be refused is refused before anything is written.

    Args:
        words: of the configuration, for both sides. command: as it was typed.

    Raises:
        DataError: the dump cannot be read, or a folder stands where a file is to go. ConfigError: a loss that cannot be computed
            on a dump.
    """
    stated = _configs(options, words)
    json_path, table_path = _places(options)
    rollouts = read(options.rollouts)
    lengths, notes = lengths_of(rollouts, options)
    notes += _of_rewards(rollouts)
    for folder, name in ((options.model, "old_logp"), (options.reference, "ref_logp")):
        if folder:
            notes.append(rescored(rollouts, folder, name))
    (ours, theirs), more = _with_constant(stated, options, words, max(lengths))
    batches = measure.batches(rollouts, lengths)
    pushed = [measure.push(ours, batch) for batch in batches]
    others = [measure.push(theirs, batch) for batch in batches]
    found = {
        "rollouts": facts.of_rollouts(batches),
        options.as_: facts.of_loss(batches, pushed),
        f"{options.against} (against)": facts.of_loss(batches, others),
        "between them": facts.between(pushed, others),
    }
    notes += more + _of_logps(batches)
    shown = microscope.measured(options, (ours, theirs), batches, (pushed, others), command)
    notes.append(microscope.words(shown, options))
    report = {"file": str(options.rollouts), "method": options.method, "notes": notes, **found}
    table = pd.DataFrame(facts.per_response(batches, pushed, others))
    write_table(table, table_path, {"schema": SCHEMA, "table": "audit", "command": command})
    if shown is not None:
        microscope.write(shown, options)
    write_text(json_path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return rendered(report)


def _configs(options: AuditOptions, words: Sequence[str]) -> tuple[Config, Config]:
    """Of the loss that it was, and of the other."""
    for word in words:
        if word.partition("=")[0] == "dialect":
            raise ConfigError(
                f"{word}: an audit is of two dialects; say as= for the one whose loss it was, and against= for the other"
            )
    return _config(options, options.as_, words), _config(options, options.against, words)


def _config(options: AuditOptions, dialect: str, words: Sequence[str]) -> Config:
    config = load_config([f"method={options.method}", f"dialect={dialect}", *words])
    measure.check(config, f"method={options.method} dialect={dialect}")
    return config


def _places(options: AuditOptions) -> tuple[Path, Path]:
    """Of the report and of the table. Raises DataError: something else stands where one of our files is to go."""
    report, table = options.out / "audit.json", options.out / "tables" / "audit.csv"
    for path in (report, table, microscope.table_path(options)):
        if path.is_dir():
            raise DataError(f"{one_line(path)} is a folder, where a file is to go; name another out=, or move it away")
    for folder in (options.out, table.parent, microscope.figures(options)):
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{one_line(folder)} is no folder; name another out=, or move it away")
    return report, table


def _with_constant(
    stated: tuple[Config, Config], options: AuditOptions, words: Sequence[str], longest: int
) -> tuple[tuple[Config, Config], list[str]]:
    """Both losses with one constant for every step, where they divide by one that they do not state; and how it was found.

    Training divides by the longest response that is allowed (`generator.max_new_tokens`), which a dump does not say.
    """
    asked = any(word.startswith("generator.max_new_tokens=") for word in words)
    length = options.limit or (stated[0].generator.max_new_tokens if asked else longest)
    found = tuple(measure.constant_length(config, length) for config in stated)
    notes = []
    if found != stated and not (options.limit or asked):
        notes.append(
            f"sums are divided by {longest}, the length of the longest response in the file, for want of the constant: say "
            "limit=N, the longest that was allowed, or aggregation.length=N"
        )
    return (found[0], found[1]), notes


def _of_rewards(rollouts: Sequence[Rollout]) -> list[str]:
    """Which columns were summed, where there are several."""
    summed = list(dict.fromkeys(one.rewards for one in rollouts if one.rewards))
    return [f"the reward is the sum of the columns {', '.join(map(one_line, names))}, as TRL dumps them" for names in summed]


def _of_logps(batches: Sequence[measure.Batch]) -> list[str]:
    """Which log-probs were used, and in which steps some or all are missing."""
    steps = {name: [batch.step for batch in batches if name in batch.known] for name in PER_TOKEN}
    known = [
        name if len(found) == len(batches) else f"{name} in {_steps(found, len(batches))}"
        for name, found in sorted(steps.items())
        if found
    ]
    bare = [batch.step for batch in batches if not batch.known]
    left_out = "every ratio is 1, and clip, corrections and KL are left out; advantage, filter and averages remain"
    missing = [name for name in ("old_logp", "behaviour_logp", "ref_logp", "logp") if not steps[name]]
    notes = [f"no log-probs: {left_out}"]
    if known:
        notes = [f"log-probs: {', '.join(known)}" + (f"; without {', '.join(missing)}" if missing else "")]
        notes += [f"no log-probs in {_steps(bare, len(batches))}: there {left_out}"] if bare else []
    for name in PER_TOKEN:
        some = [batch.step for batch in batches if name not in batch.known and any(name in one.logps for one in batch.rollouts)]
        if some:
            notes.append(f"{name} is not used in {_steps(some, len(batches))}, where only some responses have it")
    return notes


def _steps(found: Sequence[int], count: int) -> str:
    named = f": {', '.join(map(str, found))}" if len(found) <= NAMED else ""
    return f"{len(found)} of {count} steps{named}"


def rendered(report: dict[str, Any]) -> str:
    """The report as text."""
    lines = [f"{one_line(report['file'])}, as method={report['method']}"]
    lines += [f"  note: {one_line(note)}" for note in report["notes"]]
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
