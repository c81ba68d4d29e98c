"""Does it matter which framework one used? "GRPO" as eight projects' code has it by default, at a lag of four steps.

Hypothesis: with responses of a policy four steps old, clip, masks and corrections act, and may separate what is alike on policy.

Arms: the paper's GRPO and seven dialects (docs/dialects.md), each at a lag of 4 steps with one update per rollout. Dialects
without a correction of their own take every ratio to the sampler (importance=bypass), whose log-probs are the old ones.
All at one learning rate, GRPO+OS's 1e-4; and those whose own best rate in this regime is another one (dialect_rates) also at that.
Settings: the tiny stack. Seeds: five, each with an SFT policy of its own. Budget: 65 runs of 48 steps and their evaluation.
Primary: TRL's defaults against the paper's at the one rate and each at its own, by the mean over samples, margin 2 points.
Matching rule: equal steps of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: one rate is not one step size where gradients differ by more than a constant factor (Adam sees no constant
factor). A dialect's own rate is the best of three or four by 400 greedy answers of one seed, so that neighbouring rates often are
within noise of each other.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.dialect_arms import LAG, SWEEP, contrasts, label, rates, words
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, TESTING

GRID = Grid(
    name="dialects_lag",
    title="GRPO as eight projects have it by default, at a lag of four steps",
    arms=tuple(Arm(label(one, LAG, rate), words(one, LAG, rate)) for one, rate in rates(LAG)),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary("TRL, lag 4", "Paper, lag 4", "avg", MARGIN, MARGIN_REASON),
        Primary("TRL, lag 4 lr 3e-05", "Paper, lag 4 lr 0.0003", "avg", MARGIN, MARGIN_REASON),
    ),
    contrasts=contrasts(LAG),
    figures=("contrasts", "results_table"),
    sweep=SWEEP,
)
