"""Outcome or process supervision, with exact, learned and noisy rewards: GRPO on the tiny world.

    python -m unified_rl.grids.reward_ablation [preset=testing|default] [out=DIR] [workers=N]

Hypothesis (the paper's 5.2): process supervision beats outcome supervision; a reward that can be wrong costs accuracy, and a
learned reward is one that can be wrong. Arms: {GRPO+OS, GRPO+PS} x {exact: the rule or the step checker; learned: an outcome or a
process reward model trained on samples of the SFT policy, step labels as in Math-Shepherd; noisy: the exact reward with a fifth of
its judgements turned over, each response always alike}. Five seeds.
Matching rule: equal updates of equally many responses to the same prompts in the same order, from the same SFT policy and with the
same reward models. Seeds change the RL runs, not the SFT policy nor the reward models: intervals are conditional on these. Learning
rates are those of the sweep for GRPO+OS (1e-4) and GRPO+PS (3e-5) with exact rewards; the other arms take them over. Since a faster
policy also leaves a learned reward's home sooner, GRPO+OS with a learned reward is run at GRPO+PS's rate as well.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unified_rl.grids.reproduce import PRESETS as MAIN_PRESETS
from unified_rl.grids.reproduce import START, start_cell
from unified_rl.launch.cells import Cell
from unified_rl.launch.local import run_cells
from unified_rl.launch.resources import cores

NOISE = 0.2
#: reward -> words of its outcome-supervised and of its process-supervised arm
ARMS = {
    "exact": ((), ()),
    "learned": (("reward=model",), ("reward=model",)),
    "noisy": ((f"reward.false_positive={NOISE}", f"reward.false_negative={NOISE}"),) * 2,
}
SUPERVISIONS = {"OS": "grpo", "PS": "grpo_ps"}
SLOW = "learned, slow"
SLOW_WORDS = ("reward=model", "trainer.learning_rate=3e-5")


@dataclass(frozen=True)
class Preset:
    """seeds; and the words added to training and evaluation."""

    seeds: int
    train: tuple[str, ...]
    evaluate: tuple[str, ...]


_SMALL = MAIN_PRESETS["smoke"]
PRESETS = {
    "testing": Preset(
        seeds=2,
        train=(
            *_SMALL.train,
            "reward_model.prompts=16",
            "reward_model.samples_per_prompt=2",
            "reward_model.completions=2",
            "reward_model.epochs=1",
        ),
        evaluate=("samples=4", "problems=8"),
    ),
    "default": Preset(seeds=5, train=("logging.curve_problems=200",), evaluate=("samples=16", "problems=200")),
}


def label(supervision: str, reward: str) -> str:
    return f"GRPO+{supervision}, {reward}"


def cells(preset: Preset) -> list[Cell]:
    """One cell per arm and seed; arms of one supervision differ in nothing but the reward (and the slow arm's rate)."""
    arms = [(supervision, reward, ARMS[reward][place]) for reward in ARMS for place, supervision in enumerate(SUPERVISIONS)] + [
        ("OS", SLOW, SLOW_WORDS)
    ]
    return [_cell(preset, seed, *arm) for seed in range(preset.seeds) for arm in arms]


def _cell(preset: Preset, seed: int, supervision: str, reward: str, words: tuple[str, ...]) -> Cell:
    name = f"{supervision.lower()}-{reward.replace(', ', '-')}-seed{seed}"
    method, name_words = SUPERVISIONS[supervision], (f"seed={seed}", f"label={label(supervision, reward)}")
    return Cell(name, (f"method={method}", *name_words, *words, *preset.train), preset.evaluate)


def contrasts() -> list[tuple[str, str]]:
    """What is compared: process with outcome supervision, each reward with the exact one, learned rewards with the start."""
    supervision = [(label("PS", reward), label("OS", reward)) for reward in ARMS]
    rewards = [(label(s, reward), label(s, "exact")) for s in SUPERVISIONS for reward in ARMS if reward != "exact"]
    start = [(label("OS", SLOW), "SFT"), *((label(s, "learned"), "SFT") for s in SUPERVISIONS)]
    return [*supervision, (label("PS", "learned"), label("OS", SLOW)), *rewards, *start]


def main(words: Sequence[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    if set(given) - {"preset", "out", "workers"} or given.get("preset", "default") not in PRESETS:
        print(f"error: usage: python -m unified_rl.grids.reward_ablation [preset={'|'.join(PRESETS)}] [out=DIR] [workers=N]")
        return 2
    preset = PRESETS[given.get("preset", "default")]
    folder = Path(given.get("out", f"runs/reward_ablation_{given.get('preset', 'default')}"))
    workers = int(given.get("workers", cores()))
    start = start_cell(_as_main(preset))
    if run_cells([start], folder, workers=1, threads=cores()):
        return 1
    failed = run_cells(cells(preset), folder, workers=workers, threads=max(1, cores() // workers))
    tables = folder / "tables"
    pairs = [f"{ours}|{theirs}" for ours, theirs in contrasts()]
    for command in (
        ["unified_rl.statistics.tables", str(folder / "runs"), "--out", str(tables)],
        ["unified_rl.statistics.contrasts", str(folder / "runs"), *pairs, "--out", str(tables)],
        ["unified_rl.plotting.make", "--tables", str(tables), "--out", str(folder / "figures"), "learning_curves", "contrasts"],
    ):
        subprocess.run([sys.executable, "-m", *command], check=True)
    print(f"tables: {tables}   runs: {folder / 'runs'} (the SFT policy: {START})")
    if failed:
        print(f"failed cells: {', '.join(failed)}; mend and run the same command again to complete", file=sys.stderr)
    return 1 if failed else 0


def _as_main(preset: Preset):  # the SFT policy's cell is the main job's
    return MAIN_PRESETS["default"].__class__(preset.seeds, (), preset.train, preset.evaluate)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
