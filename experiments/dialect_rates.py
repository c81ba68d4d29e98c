"""The learning-rate sweep of the dialects: each in each regime at the same rates, judged on the validation split, one seed.

Arms: GRPO as eight projects have it by default, on policy, with 4 minibatches x 2 epochs and at a lag of 4, at 3e-5, 1e-4 and
3e-4 (the lowest rate of lr_sweep, 1e-5, was last for GRPO); with 4 x 2 updates, where 3e-5 was the best of these for every dialect,
also at 1e-5. Settings: the tiny stack; accuracy on 200 validation problems per slice at the fixed last step, greedy. The rate with
the highest mean of both slices is a dialect's own in that regime; tables/lr_sweep.csv has them all. Seeds: one, 1000, and its own
SFT policy: none of those that results are reported on.
Budget: 80 runs of 48 steps.
Matching rule: equal updates of equally many responses.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, equal_updates
from unified_rl.grids.dialect_arms import RATES, label, words
from unified_rl.grids.presets import SWEEP, SWEEP_WORDS
from unified_rl.presets.dialects import NAMES

GRID = Grid(
    name="dialect_rates",
    title="The same learning rates for every dialect",
    arms=tuple(
        Arm(f"{label(dialect, regime)} lr {rate:g}", (*words(dialect, regime, rate), *SWEEP_WORDS))
        for regime, tried in RATES.items()
        for dialect in NAMES
        for rate in tried
    ),
    presets=SWEEP,
    matching=equal_updates(),
    starts=PER_SEED,
    figures=(),
    tuning="this is where the dialects' own rates come from",
)
