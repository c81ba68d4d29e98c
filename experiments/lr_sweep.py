"""The learning-rate sweep: the same rates for every method, judged on the validation split, one seed.

Arms: every method of the main job at four rates. Settings: the tiny stack; accuracy on 200 validation problems per slice at the
fixed last step, greedy. The rate with the highest mean of both slices is the one to write into the stack's `methods` section;
tables/lr_sweep.csv has them all. Seeds: one, 1000, and its own SFT policy: none of those that results are
reported on. Budget: 40 runs of 48 steps.
Matching rule: equal updates of equally many responses.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Preset, equal_updates
from unified_rl.grids.presets import TESTING
from unified_rl.grids.reproduce import FURTHER, PAPER

RATES = (1e-5, 3e-5, 1e-4, 3e-4)
SEED = 1000
#: The curve is read at its last point only.
WORDS = ("logging.curve_split=validation", "logging.curve_every=0")

GRID = Grid(
    name="lr_sweep",
    title="The same learning rates for every method",
    arms=tuple(
        Arm(
            f"{method} lr {rate:g}",
            (f"method={method}", f"trainer.learning_rate={rate}", *WORDS),
            folder=f"{method}-lr{rate:g}",
        )
        for method in (*PAPER, *FURTHER)
        for rate in RATES
    ),
    presets={
        "testing": Preset(seeds=(SEED,), train=TESTING.train, evaluate=None),
        "default": Preset(seeds=(SEED,), train=("logging.curve_problems=200",), evaluate=None),
    },
    matching=equal_updates(),
    starts=PER_SEED,
    figures=(),
    tuning="this is where learning rates come from",
    start_folder="sft_policy-seed{seed}",
)
