"""How much gradient does a method give to a prompt, as a function of the prompt's pass rate p? Measured on rollouts.

    python -m unified_rl.labs.pass_rate run=RUN [reference=RUN|FOLDER] [values=PPO_RUN] [methods=a,b] [prompts=128] [samples=64]
                                    [group=8] [split=validation] [slice=NAME] [seed=0] [out=DIR] [threads=N] [KEY=VALUE ...]

`samples` responses of RUN's policy to each of `prompts` prompts, in groups of `group`; every method's coefficients on the same.
Expected: GRPO and DAPO weigh grad p by 1/sqrt(p (1 - p)); Dr. GRPO, RLOO and Online RFT evenly. Writes OUT/facts (a row per
response and method), OUT/tables/pass_rate.csv (see `statistics.pass_rate`) and OUT/figures. Methods on pairs are left out: they
take pairs, not prompts. The other words are those of `labs.microscope`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import transformers

from unified_rl.errors import ConfigError
from unified_rl.labs import frozen as frozen_policy
from unified_rl.labs import microscope
from unified_rl.labs.frozen import Frozen, Measured, Scored
from unified_rl.labs.microscope import fit_if_needed, open_policy, whole
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.ops.terms import coefficient
from unified_rl.plotting import pass_rate as figure
from unified_rl.runs import git_state
from unified_rl.statistics import pass_rate as analysis
from unified_rl.types import Group

OPTIONS = (*microscope.OPTIONS[:4], "prompts", "samples", "group", "split", "slice", "seed", "out", "threads")
AT_A_TIME = 4096  # responses whose coefficients are computed together


def run(given: dict[str, str], words: Sequence[str], command: str) -> list[Path]:
    """Sample, measure, write facts and table, and draw; returns the files."""
    transformers.utils.logging.disable_progress_bar()
    prompts, samples, size = whole(given, "prompts", 128), whole(given, "samples", 64), whole(given, "group", 8)
    seed = whole(given, "seed", 0)
    if size < 2 or samples % size or not prompts:
        raise ConfigError(f"samples={samples} must be a multiple of group={size}, which must be at least 2; prompts at least 1")
    opened = open_policy(given, words)
    methods = frozen_policy.measurable(opened, given["methods"].split(",") if "methods" in given else unpaired())
    paired = [name for name in methods if name not in unpaired()]
    if paired:
        raise ConfigError(f"methods={paired[0]} works on pairs, which belong to no one response; leave it out")
    chosen = frozen_policy.prompts(opened, given.get("split", "validation"), prompts, given.get("slice"))
    fit_if_needed(opened, methods, seed)
    groups = frozen_policy.sample(opened, chosen, samples, "pass_rate", seed)
    small = [
        group.with_responses(group.responses[start : start + size]) for group in groups for start in range(0, samples, size)
    ]
    parts = []
    for start in range(0, len(small), max(1, AT_A_TIME // size)):
        scored = frozen_policy.score(opened, small[start : start + max(1, AT_A_TIME // size)])
        parts += [facts(opened, frozen_policy.measure(opened, name, scored), scored, start) for name in methods]
    out = Path(given.get("out", "runs/pass_rate"))
    notes = {
        "command": command,
        "group_size": size,
        "samples": samples,
        "temperature": opened.config.generator.temperature,
        "seed": seed,
        "split": given.get("split", "validation"),
        "coefficients": {METHODS[name].label: METHODS[name].coefficient for name in methods},
        "supervision": {METHODS[name].label: METHODS[name].supervision for name in methods},
        "commits": [commit] if (commit := git_state()["commit"]) else [],
        **opened.words,
    }
    analysis.write_facts(pd.concat(parts, ignore_index=True), notes, out / "facts")
    analysis.write(out / "facts", out / "tables")
    return [out / "tables" / "pass_rate.csv", *figure.draw(out / "tables", out / "figures")]


def unpaired() -> list[str]:
    """The methods whose coefficients belong to single responses."""
    return [name for name, row in METHODS.items() if "pairs" not in COEFFICIENTS[row.coefficient].needs]


def facts(opened: Frozen, measured: Measured, scored: Scored, first_group: int) -> pd.DataFrame:
    """One row per response: the means over its tokens of GC and of |GC|, all terms together."""
    mask_BT = measured.inputs.response_mask_BT
    coef_BT = coefficient(measured.terms, mask_BT)
    lengths_B = mask_BT.sum(1).clamp(min=1)
    owners: list[tuple[int, Group]] = [(index, group) for index, group in enumerate(scored.groups) for _ in group.responses]
    return pd.DataFrame(
        {
            "label": measured.label,
            "prompt_id": [group.prompt.id for _, group in owners],
            "group": [first_group + index for index, _ in owners],
            "correct": [int(item.score.judged_correct) for item in scored.responses],
            "coefficient": (coef_BT.sum(1) / lengths_B).tolist(),
            "magnitude": (coef_BT.abs().sum(1) / lengths_B).tolist(),
        }
    )


def main(words: Sequence[str]) -> int:
    return microscope.main(words, "pass_rate", run, OPTIONS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
