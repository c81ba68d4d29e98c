"""The coefficient microscope: one prompt, several responses, every method's coefficient per token, split by named term.

    python -m unified_rl.labs.microscope run=RUN [reference=RUN|FOLDER] [values=PPO_RUN] [methods=a,b] [responses=8]
                                    [split=validation]
                                     [slice=NAME] [prompt=PROBLEM_ID] [seed=0] [out=DIR] [threads=N] [KEY=VALUE ...]

RUN gives the policy (its latest checkpoint) and, by default, the reference (the policy it started from). Without `run`, the policy
is the one that training with `KEY=VALUE ...` would start from. PPO's value model is that of `values`, or the run's own, or one
fitted here to other responses of the policy. Without `prompt`, the prompt is the first of a hundred whose responses come nearest to
being half right. Writes OUT/tables/microscope.csv and draws it into OUT/figures.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

from unified_rl.errors import ConfigError, DataError, UnifiedRLError
from unified_rl.labs import frozen as frozen_policy
from unified_rl.labs.frozen import Frozen, Measured, Scored
from unified_rl.methods import METHODS
from unified_rl.plotting import microscope as figure
from unified_rl.runs import git_state
from unified_rl.statistics.table_files import SCHEMA, write_table
from unified_rl.types import Group, Prompt

CANDIDATES = 100
FIT_PROMPTS, FIT_RESPONSES, FIT_UPDATES = 48, 8, 16
OPTIONS = ("run", "reference", "values", "methods", "responses", "split", "slice", "prompt", "seed", "out", "threads")


def run(given: dict[str, str], words: Sequence[str], command: str) -> list[Path]:
    """Measure, write the table and draw it; returns the files."""
    transformers.utils.logging.disable_progress_bar()
    opened = open_policy(given, words)
    methods = frozen_policy.measurable(opened, given["methods"].split(",") if "methods" in given else list(METHODS))
    responses, seed = whole(given, "responses", 8), whole(given, "seed", 0)
    group = choose(opened, given.get("split", "validation"), given.get("slice"), given.get("prompt"), responses, seed)
    fit_if_needed(opened, methods, seed)
    scored = frozen_policy.score(opened, [group])
    table = pd.concat([rows(opened, frozen_policy.measure(opened, name, scored), scored) for name in methods])
    out = Path(given.get("out", "runs/microscope"))
    facts = {
        "schema": SCHEMA,
        "table": "microscope",
        "command": command,
        "prompt_id": group.prompt.id,
        "question": group.prompt.problem.question,
        "gold": group.prompt.problem.gold,
        "temperature": opened.config.generator.temperature,
        "responses": responses,
        "seed": seed,
        "commits": [commit] if (commit := git_state()["commit"]) else [],
        **opened.words,
    }
    write_table(table, out / "tables" / "microscope.csv", facts)
    return [out / "tables" / "microscope.csv", *figure.draw(out / "tables", out / "figures")]


def open_policy(given: dict[str, str], words: Sequence[str]) -> Frozen:
    """The policy that `run=` names, or the one that training with `words` would start from."""
    if "run" not in given:
        if {"reference", "values"} & given.keys():
            raise ConfigError("reference= and values= go with run=, which names the policy")
        return frozen_policy.open_start([*words, f"threads={whole(given, 'threads', 0)}"])
    if words:
        raise ConfigError(f"{words[0]}: run= names a run, whose configuration stands; leave it out, or leave out run=")
    reference, values = (Path(given[name]) if name in given else None for name in ("reference", "values"))
    return frozen_policy.open_run(Path(given["run"]), reference, values, whole(given, "threads", 0))


def fit_if_needed(opened: Frozen, methods: Sequence[str], seed: int) -> None:
    """Fit a value model to responses to training prompts, where a method learns one and none was given."""
    if any(map(frozen_policy.reads_values, methods)) and opened.words["values"] == frozen_policy.NO_MODEL:
        prompts = frozen_policy.prompts(opened, "train", FIT_PROMPTS)
        frozen_policy.fit_values(opened, frozen_policy.sample(opened, prompts, FIT_RESPONSES, "values", seed), FIT_UPDATES)


def choose(opened: Frozen, split: str, slice_name: str | None, prompt_id: str | None, responses: int, seed: int) -> Group:
    """The prompt by its id, or the first of `CANDIDATES` whose responses come nearest to half right; sampled and scored."""
    candidates = frozen_policy.prompts(opened, split, CANDIDATES, slice_name)
    if prompt_id:
        wanted = [prompt for prompt in candidates if prompt.id == prompt_id]
        if not wanted:
            known = ", ".join(prompt.id for prompt in candidates[:3])
            raise DataError(f"prompt={prompt_id} is not among the first {CANDIDATES} of split {split} ({known}, ...)")
        return _sampled(opened, wanted, responses, seed)[0]
    groups = _sampled(opened, candidates, responses, seed)
    return min(groups, key=lambda group: abs(sum(item.score.judged_correct for item in group.responses) - responses / 2))


def rows(opened: Frozen, measured: Measured, scored: Scored) -> pd.DataFrame:
    """Table rows of one method: one per response, token and term."""
    found: list[dict[str, Any]] = []
    mask_BT = measured.inputs.response_mask_BT
    for place, row in enumerate(measured.rows):
        item = scored.responses[row]
        tokens = [opened.tokenizer.decode([token]) for token in item.response.token_ids.tolist()]
        ends = {} if item.score.step_ends is None else dict(zip(item.score.step_ends, item.score.step_rewards, strict=True))
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


def whole(given: dict[str, str], name: str, default: int) -> int:
    """An option as a whole number. Raises ConfigError where it is none."""
    value = given.get(name, str(default))
    if not value.isdecimal():
        raise ConfigError(f"{name}={value} must be a whole number")
    return int(value)


def _sampled(opened: Frozen, prompts: Sequence[Prompt], responses: int, seed: int) -> list[Group]:
    if responses < 2:
        raise ConfigError(f"responses={responses}: coefficients compare responses with each other; set it to 2 or more")
    return frozen_policy.sample(opened, prompts, responses, "microscope", seed)


def main(words: Sequence[str], module: str = "microscope", work: Any = run, options: Sequence[str] = OPTIONS) -> int:
    """Split the options of this command from those of the configuration, and do the work."""
    pairs = [word.partition("=") for word in words]
    given = {key: value for key, _, value in pairs if key in options}
    if any(not value for _, _, value in pairs):
        print(f"error: usage: python -m unified_rl.labs.{module} run=RUN [{'=..] ['.join(options[1:])}=..]", file=sys.stderr)
        return 2
    others = [word for word in words if word.partition("=")[0] not in options]
    try:
        files = work(given, others, shlex.join(["python", "-m", f"unified_rl.labs.{module}", *words]))
    except UnifiedRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for path in files:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
