"""The coefficient microscope: one prompt, several responses, every method's coefficient per token, split by named term.

Writes OUT/tables/microscope.csv and draws it into OUT/figures. `unified-rl microscope` calls it, with `labs.options`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Group
from unified_rl.labs import frozen as frozen_policy
from unified_rl.labs.frozen import Frozen, Measured, Scored
from unified_rl.labs.options import MicroscopeOptions, PolicyOptions
from unified_rl.methods import METHODS
from unified_rl.plotting import microscope as figure
from unified_rl.records.provenance import git_state
from unified_rl.statistics.table_files import SCHEMA, write_table

CANDIDATES = 100
FIT_PROMPTS, FIT_RESPONSES, FIT_UPDATES = 48, 8, 16


def run(options: MicroscopeOptions, words: Sequence[str], command: str) -> list[Path]:
    """Measure, write the table and draw it; returns the files.

    Args:
        words: of the configuration, where no run is named. command: as it was typed.
    """
    transformers.utils.logging.disable_progress_bar()
    opened = open_policy(options, words)
    methods = frozen_policy.measurable(opened, options.methods or list(METHODS))
    group = choose(opened, options)
    fit_if_needed(opened, methods, options.seed)
    scored = frozen_policy.score(opened, [group])
    table = pd.concat([rows(opened, frozen_policy.measure(opened, name, scored), scored) for name in methods])
    out = options.out
    facts = {
        "schema": SCHEMA,
        "table": "microscope",
        "command": command,
        "prompt_id": group.prompt.id,
        "question": group.prompt.problem.question,
        "gold": group.prompt.problem.gold,
        "temperature": opened.config.generator.temperature,
        "responses": options.responses,
        "seed": options.seed,
        "commits": [commit] if (commit := git_state()["commit"]) else [],
        **opened.words,
    }
    write_table(table, out / "tables" / "microscope.csv", facts)
    return [out / "tables" / "microscope.csv", *figure.draw(out / "tables", out / "figures")]


def open_policy(options: PolicyOptions, words: Sequence[str]) -> Frozen:
    """The policy that `run=` names, or the one that training with `words` would start from."""
    if not options.run:
        return frozen_policy.open_start([*words, f"threads={options.threads}"])
    if words:
        raise ConfigError(f"{words[0]}: run= names a run, whose configuration stands; leave it out, or leave out run=")
    reference, values = (Path(name) if name else None for name in (options.reference, options.values))
    return frozen_policy.open_run(Path(options.run), reference, values, options.threads, options.allow_code)


def fit_if_needed(opened: Frozen, methods: Sequence[str], seed: int) -> None:
    """Fit a value model to responses to training prompts, where a method learns one and none was given."""
    if any(map(frozen_policy.reads_values, methods)) and opened.words["values"] == frozen_policy.NO_MODEL:
        prompts = frozen_policy.prompts(opened, "train", FIT_PROMPTS)
        frozen_policy.fit_values(opened, frozen_policy.sample(opened, prompts, FIT_RESPONSES, "values", seed), FIT_UPDATES)


def choose(opened: Frozen, options: MicroscopeOptions) -> Group:
    """The prompt by its id, or the first of `CANDIDATES` whose responses come nearest to half right; sampled and scored."""
    candidates = frozen_policy.prompts(opened, options.split, CANDIDATES, options.slice or None)
    count, seed = options.responses, options.seed
    if options.prompt:
        wanted = [prompt for prompt in candidates if prompt.id == options.prompt]
        if not wanted:
            known = ", ".join(prompt.id for prompt in candidates[:3])
            raise DataError(
                f"prompt={options.prompt} is not among the first {CANDIDATES} of split {options.split} ({known}, ...)"
            )
        return frozen_policy.sample(opened, wanted, count, "microscope", seed)[0]
    groups = frozen_policy.sample(opened, candidates, count, "microscope", seed)
    return min(groups, key=lambda group: abs(sum(item.score.judged_correct for item in group.responses) - count / 2))


def rows(opened: Frozen, measured: Measured, scored: Scored) -> pd.DataFrame:
    """Table rows of one method: one per response, token and term."""
    found: list[dict[str, Any]] = []
    mask_BT = measured.inputs.response_mask_BT
    for place, row in enumerate(measured.rows):
        item = scored.responses[row]
        tokens = [opened.tokenizer.decode([token]) for token in item.response.token_ids.tolist()]
        steps = item.score.step_ends, item.score.step_rewards
        ends = {} if steps[0] is None or steps[1] is None else dict(zip(steps[0], steps[1], strict=True))
        for name, term in measured.terms.items():
            values_T = term.value().expand_as(mask_BT)[place].tolist()
            found += [
                {
                    "method": measured.method,
                    "label": measured.label,
                    "response": row,
                    "token_index": index,
                    "token": json.dumps(token, ensure_ascii=False),  # so that no table reader takes a token for a number
                    "term": name,
                    "value": values_T[index],
                    "reward": item.score.reward,
                    "verdict": item.score.verdict,
                    "step_end": int(index in ends),
                    "step_reward": float(ends[index]) if index in ends else None,
                }
                for index, token in enumerate(tokens)
                if mask_BT[place, index]
            ]
    return pd.DataFrame(found)
