"""How much gradient does a method give to a prompt, as a function of the prompt's pass rate p? Measured on rollouts.

`samples` responses of the policy to each of `prompts` prompts, in groups of `group`; every method's coefficients on the same.
Expected: GRPO and DAPO weigh grad p by 1/sqrt(p (1 - p)); Dr. GRPO, RLOO and Online RFT evenly. Writes OUT/facts (a row per
response and method), OUT/tables/pass_rate.csv (see `statistics.pass_rate`) and OUT/figures. Methods on pairs are left out: they
take pairs, not prompts. `unified-rl pass-rate` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import transformers

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Group
from unified_rl.labs import frozen as frozen_policy
from unified_rl.labs.frozen import Frozen, Measured, Scored
from unified_rl.labs.microscope import fit_if_needed, open_policy
from unified_rl.labs.options import PassRateOptions
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.ops.terms import coefficient
from unified_rl.plotting import pass_rate as figure
from unified_rl.records.provenance import git_state
from unified_rl.statistics import pass_rate as analysis

AT_A_TIME = 4096  # responses whose coefficients are computed together


def run(options: PassRateOptions, words: Sequence[str], command: str) -> list[Path]:
    """Sample, measure, write facts and table, and draw; returns the files.

    Args:
        words: of the configuration, where no run is named. command: as it was typed.
    """
    transformers.utils.logging.disable_progress_bar()
    samples, size, seed = options.samples, options.group, options.seed
    opened = open_policy(options, words)
    methods = frozen_policy.measurable(opened, options.methods or unpaired())
    paired = [name for name in methods if name not in unpaired()]
    if paired:
        raise ConfigError(f"methods={paired[0]} works on pairs, which belong to no one response; leave it out")
    chosen = frozen_policy.prompts(opened, options.split, options.prompts, options.slice or None)
    fit_if_needed(opened, methods, seed)
    groups = frozen_policy.sample(opened, chosen, samples, "pass_rate", seed)
    small = [
        group.with_responses(group.responses[start : start + size]) for group in groups for start in range(0, samples, size)
    ]
    parts = []
    for start in range(0, len(small), max(1, AT_A_TIME // size)):
        scored = frozen_policy.score(opened, small[start : start + max(1, AT_A_TIME // size)])
        parts += [facts(opened, frozen_policy.measure(opened, name, scored), scored, start) for name in methods]
    out = options.out
    notes = {
        "command": command,
        "group_size": size,
        "samples": samples,
        "temperature": opened.config.generator.temperature,
        "seed": seed,
        "split": options.split,
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
