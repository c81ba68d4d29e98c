"""The main job: every method from one SFT policy on the tiny world, evaluated, tabulated and drawn.

    python -m unified_rl.grids.reproduce [preset=smoke|default|full] [out=DIR] [workers=N]

Hypothesis (the paper's 5.2): online sources beat offline ones, graded and signed coefficients beat the plain indicator, process
supervision beats outcome supervision, and RL raises Maj@K rather than Pass@K. Whatever comes out is what the table says.
Matching rule: equal updates of equally many responses, from the same SFT policy, on the same prompts in the same order (but for
`sft`, which has one demonstration per prompt and so eight times the prompts, and `dapo`, which replaces prompts); learning rates
from one sweep on the validation split (experiments/lr_sweep.py, recorded in unified_rl/configs/stack/tiny.yaml). Seeds change the
RL runs (prompt order, sampling), not the SFT policy nor the stored samples: intervals over seeds are conditional on these.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unified_rl.launch.cells import Cell
from unified_rl.launch.local import run_cells
from unified_rl.launch.resources import cores

METHODS = ("ppo", "grpo_ps", "grpo", "online_rft", "sft", "rft", "dpo")  # longest first: the workers then end together
FURTHER_METHODS = ("rloo", "dr_grpo", "dapo")
START = "sft_policy"


@dataclass(frozen=True)
class Preset:
    """seeds and methods make the cells; `train` and `evaluate` are words added to each; `iterate` to those of iterative RL."""

    seeds: int
    methods: tuple[str, ...]
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    iterate: tuple[str, ...]


PRESETS = {
    "smoke": Preset(
        seeds=1,
        methods=METHODS,
        train=(
            "sft.steps=60",
            "sft.demonstrations=2000",
            "trainer.steps=3",
            "rollout.prompts_per_step=8",
            "data.prompts=24",
            "logging.curve_every=1",
            "logging.curve_problems=16",
        ),
        evaluate=("samples=8", "problems=16"),
        iterate=(
            "reward_model.prompts=8",
            "reward_model.samples_per_prompt=2",
            "reward_model.epochs=1",
            "iterate.iterations=1",
            "iterate.steps=2",
            "iterate.control_steps=1",
            "iterate.agreement_problems=8",
        ),
    ),
    "default": Preset(
        seeds=1,
        methods=METHODS,
        train=("trainer.steps=32",),
        evaluate=("samples=64", "problems=64"),
        iterate=("reward_model.prompts=128", "iterate.iterations=1", "iterate.steps=6", "iterate.control_steps=6"),
    ),
    "full": Preset(
        seeds=5,
        methods=METHODS + FURTHER_METHODS,
        train=("logging.curve_problems=200",),
        evaluate=("samples=64", "problems=200"),
        iterate=("iterate.steps=16", "iterate.control_steps=32"),
    ),
}


def start_cell(preset: Preset) -> Cell:
    """The SFT policy itself as a run of no steps: the baseline that every method starts from."""
    words = ("method=sft", "label=SFT", *preset.train, "trainer.steps=0")
    return Cell(START, words, preset.evaluate)


def method_cells(preset: Preset) -> list[Cell]:
    """One cell per method and seed."""
    return [
        Cell(f"{method}-seed{seed}", (f"method={method}", f"seed={seed}", *_train_words(preset, method)), preset.evaluate)
        for seed in range(preset.seeds)
        for method in preset.methods
    ]


def iterative_cells(preset: Preset) -> list[Cell]:
    """Iterative RL with an outcome reward model (Algorithm 1), a run per seed: its labels cost no sampling."""
    return [
        Cell(
            f"seed{seed}",
            ("method=grpo", "reward=model", f"seed={seed}", *preset.train, *preset.iterate),
            None,
            command="iterate",
            group="iterative",
        )
        for seed in range(preset.seeds)
    ]


def _train_words(preset: Preset, method: str) -> tuple[str, ...]:
    """SFT has one response per prompt: a preset's prompts_per_step is multiplied to match the others' responses."""
    if method != "sft":
        return preset.train
    return tuple(
        f"rollout.prompts_per_step={int(word.split('=')[1]) * 8}" if word.startswith("rollout.prompts_per_step=") else word
        for word in preset.train
        if not word.startswith("data.prompts=")
    )


def main(words: Sequence[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    unknown = set(given) - {"preset", "out", "workers"}
    if unknown or given.get("preset", "default") not in PRESETS:
        print(
            f"error: usage: python -m unified_rl.grids.reproduce [preset={'|'.join(PRESETS)}] [out=DIR] [workers=N]",
            file=sys.stderr,
        )
        return 2
    name = given.get("preset", "default")
    preset, folder = PRESETS[name], Path(given.get("out", f"runs/{name}"))
    workers = int(given.get("workers", cores()))
    print(
        f"preset {name}: {len(preset.methods)} methods x {preset.seeds} seeds into {folder}; first the SFT policy", flush=True
    )
    start = start_cell(preset)
    if run_cells([replace(start, evaluate=None)], folder, workers=1, threads=cores()):
        return 1
    cells = method_cells(preset)[:1] + iterative_cells(preset) + method_cells(preset)[1:] + [start]  # now to be evaluated
    failed = run_cells(cells, folder, workers=workers, threads=max(1, cores() // workers))
    tables, pictures = folder / "tables", folder / "figures"
    # What failed is a visible row of the tables, except for iterative runs, which are pooled over the seeds given.
    iterative = [str(folder / cell.group / cell.name) for cell in iterative_cells(preset) if cell.name not in failed]
    for command in (
        ["unified_rl.statistics.tables", str(folder / "runs"), "--out", str(tables)],
        ["unified_rl.statistics.iterations", *iterative, "--out", str(tables)],
        ["unified_rl.plotting.make", "--tables", str(tables), "--out", str(pictures)],
    ):
        subprocess.run([sys.executable, "-m", *command], check=True)
    print(f"tables: {tables}   figures: {pictures}   runs: {folder / 'runs'}   logs: {folder / 'logs'}")
    if failed:
        print(f"failed cells: {', '.join(failed)}; mend and run the same command again to complete", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
