"""Does it matter which framework one used? "GRPO" as eight projects' code has it by default, in three regimes.

Hypothesis: on policy only aggregation, std and KL differ, so TRL, verl and OpenRLHF (but for its KL) end alike, and so do
prime-rl and open-instruct (but for its KL); with several updates per rollout, and with a lag, clip, masks and corrections may
separate them.

Arms: the paper's GRPO and seven dialects (docs/dialects.md), each on policy (one update per rollout), with 4 minibatches x 2
epochs, and at a lag of 4 steps with one update. Regimes set the number of updates, in place of the dialect's own. At a lag,
dialects without a correction of their own take every ratio to the sampler (importance=bypass), whose log-probs are the old ones.
Settings: the tiny stack; one learning rate for all, GRPO+OS's 1e-4. Seeds: five, each with an SFT policy of its own. Budget: 120
runs of 48 steps and their evaluation.
Primary: TRL's defaults against the paper's on policy, by the mean over samples, margin 2 points.
Matching rule: equal steps of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: one rate is not one step size where gradients differ by more than a constant factor (Adam sees no constant
factor). Each dialect's own best rate is what dialect_rates sweeps, which has not been run.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.dialect_arms import REGIMES, label, words
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING
from unified_rl.presets.dialects import DIALECTS, NAMES, PAPER

#: GRPO+OS's.
RATE = 1e-4

GRID = Grid(
    name="dialects",
    title="GRPO as eight projects have it by default",
    arms=tuple(Arm(label(one, regime), words(one, regime, RATE)) for regime in REGIMES for one in NAMES),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("TRL, on policy", "Paper, on policy", "avg", MARGIN, MARGIN_REASON),),
    contrasts=tuple((label(one, regime), label(PAPER, regime)) for regime in REGIMES for one in DIALECTS),
    figures=("contrasts", "results_table"),
    tuning=f"all arms have the rate of GRPO+OS (1e-4), the best of {SWEPT}; no dialect was swept by itself",
)
