"""The learning-rate sweep: the same rates for every method, judged on the validation split, one seed.

Arms: every method of the main job at four rates, and GRPO with a learned outcome or process reward. Settings: the tiny stack;
accuracy on 200 validation problems per slice at the fixed last step, greedy. The rate with the highest mean of both slices is the
one to write into the stack's `methods` section, or into the words of arms with learned rewards; tables/lr_sweep.csv has them all.
Seeds: one, 1000, and its own SFT policy: none of those that results are reported on. Budget: 48 runs of 48 steps.
Matching rule: equal updates of equally many responses.

What the recorded sweep lacks alone: `unified-rl grid lr_sweep arms=rloo_*,dr_grpo_*,dapo_*,*_learned_*`.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, equal_updates
from unified_rl.grids.presets import SWEEP, SWEEP_WORDS
from unified_rl.grids.reproduce import FURTHER, PAPER

RATES = (1e-5, 3e-5, 1e-4, 3e-4)
LEARNED = ("grpo", "grpo_ps")


def _arm(method: str, rate: float, kind: str = "", *words: str) -> Arm:
    settings = (f"method={method}", *words, f"trainer.learning_rate={rate}", *SWEEP_WORDS)
    return Arm(f"{method}{kind} lr {rate:g}", settings, folder=f"{method}{kind.replace(' ', '-')}-lr{rate:g}")


GRID = Grid(
    name="lr_sweep",
    title="The same learning rates for every method",
    arms=(
        *(_arm(method, rate) for method in (*PAPER, *FURTHER) for rate in RATES),
        *(_arm(method, rate, " learned", "reward=model") for method in LEARNED for rate in RATES),
    ),
    presets=SWEEP,
    matching=equal_updates(),
    starts=PER_SEED,
    figures=(),
    tuning="this is where learning rates come from",
    start_folder="sft_policy-seed{seed}",
)
