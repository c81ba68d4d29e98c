"""Prompts from outside the SFT distribution: does RL on them do what RL on known ones does not? GRPO+OS.

Hypothesis (the paper's 5.2.3, which names it as a likely key): the paper's RL raised Maj@K and not Pass@K, perhaps because its
prompts were those of the SFT data. If so, prompts from elsewhere raise Pass@K on problems from elsewhere.

Arms: training prompts of the main slice (on which the policy was demonstrated), of the hard slice (long problems with large
numbers, which demonstrations show only apart), and half of each.
Settings: the tiny stack; 2048 prompts in each pool; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own.
Budget: 15 runs of 48 steps and their evaluation.
Primary: hard prompts against main prompts by Pass@64, margin 5 points.
Matching rule: equal updates of equally many responses, from the seed's SFT policy.

What cannot be matched: the prompts, which are what differs; so neither their order nor the sampling noise is common. Hard problems
have longer solutions and lower rewards: their updates have more tokens, and more groups without a single right answer.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, PASS_MARGIN, PASS_MARGIN_REASON, SWEPT, TESTING

GRID = Grid(
    name="ood_prompts",
    title="Training prompts inside and outside the SFT distribution",
    arms=(
        Arm("Main prompts", ("method=grpo", "data.slices=[main]")),
        Arm("Hard prompts", ("method=grpo", "data.slices=[hard]")),
        Arm("Half and half", ("method=grpo", "data.slices=[main,hard]")),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("Hard prompts", "Main prompts", "pass", PASS_MARGIN, PASS_MARGIN_REASON, "above"),),
    contrasts=(
        ("Hard prompts", "Main prompts"),
        ("Half and half", "Main prompts"),
        ("Half and half", "Hard prompts"),
    ),
    figures=("learning_curves", "contrasts", "results_table", "maj_pass"),
    tuning=f"all arms have the rate of GRPO+OS on main prompts (1e-4), the best of {SWEPT}; other prompts were not swept",
)
