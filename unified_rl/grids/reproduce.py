"""The main job as a grid: every method from one SFT policy on the tiny world, and iterative RL. `unified-rl reproduce` runs it.

Hypothesis (the paper's 5.2): online sources beat offline ones, graded and signed coefficients beat the plain indicator, process
supervision beats outcome supervision, and RL raises Maj@K rather than Pass@K. Whatever comes out is what the table says.

Arms: the rows of the method table, the SFT policy itself (no steps), which all of them start from, and iterative RL with an outcome
reward model (Algorithm 1), whose labels cost no sampling. Preset full has the methods beyond the paper's too.
Matching rule: equal updates of equally many responses, from the same SFT policy, on the same prompts in the same order (but for
`sft`, which has one demonstration per prompt and so eight times the prompts, and `dapo`, which replaces prompts); learning rates
from one sweep on the validation split (experiments/lr_sweep.py, recorded in the tiny stack's file). Seeds change the RL runs (order
of prompts, sampling), not the SFT policy nor the stored samples: intervals over seeds are conditional on these.
"""

from __future__ import annotations

from dataclasses import replace

from unified_rl.grids.definition import Arm, Grid, Preset, equal_updates
from unified_rl.grids.presets import SWEPT
from unified_rl.methods import METHODS

#: Of the paper; longest first, so that workers end together.
PAPER = ("ppo", "grpo_ps", "grpo", "online_rft", "sft", "rft", "dpo")
FURTHER = ("rloo", "dr_grpo", "dapo")
ITERATED = "GRPO+OS, iterated"


def _arm(method: str) -> Arm:
    return Arm(METHODS[method].label, (f"method={method}",), folder=f"{method}-seed{{seed}}")


def _labels(*methods: str) -> tuple[str, ...]:
    return (*(METHODS[method].label for method in methods), ITERATED)


SMOKE = Preset(
    seeds=(0,),
    only=_labels(*PAPER),
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
    arms={
        # One demonstration per prompt: eight times the prompts, to match the others' responses.
        METHODS["sft"].label: ("rollout.prompts_per_step=64", "data.prompts=192"),
        ITERATED: (
            "reward_model.prompts=8",
            "reward_model.samples_per_prompt=2",
            "reward_model.epochs=1",
            "iterate.iterations=1",
            "iterate.steps=2",
            "iterate.control_steps=1",
            "iterate.agreement_problems=8",
        ),
    },
)
DEFAULT = Preset(
    seeds=(0,),
    only=_labels(*PAPER),
    train=("trainer.steps=32",),
    evaluate=("samples=64", "problems=64"),
    arms={
        ITERATED: (
            "reward_model.prompts=128",
            "iterate.iterations=1",
            "iterate.steps=6",
            "iterate.control_steps=6",
            "logging.curve_every=3",  # iterations are short: each is to have points of its own
        )
    },
)
FULL = replace(
    DEFAULT,
    seeds=(0, 1, 2, 3, 4),
    only=(),
    train=("logging.curve_problems=200",),
    evaluate=("samples=64", "problems=200"),
    arms={ITERATED: ("iterate.steps=16", "iterate.control_steps=32", "logging.curve_every=8")},
)

GRID = Grid(
    name="reproduce",
    title="Every method from one SFT policy, and iterative RL",
    arms=(
        *(_arm(method) for method in (*PAPER, *FURTHER)),
        Arm(ITERATED, ("method=grpo", "reward=model"), command="iterate", folder="seed{seed}"),
    ),
    presets={"smoke": SMOKE, "default": DEFAULT, "full": FULL},
    matching=equal_updates(),
    figures=(
        *("learning_curves", "maj_pass", "sft_vs_rl", "results_table", "dynamics", "iterations"),
        *("paper_figure5", "paper_figure6", "paper_figure7", "table10"),
    ),
    tuning=f"every method's own best rate in {SWEPT}",
    start_folder="sft_policy",
)
