"""Does RL, or RL for Pass@K, add what 1,024 samples of the SFT policy do not hold? Pass@K up to 1,024.

Hypothesis: GRPO raises Pass@K at small K and lowers or keeps it at large K; training for Pass@4 keeps more of it.

Arms: the SFT policy, GRPO+OS without its KL term, and the row pass_at_k (groups of 8, Pass@4 of them as the reward), which has
none. Evaluated on 100 problems of a slice on which the SFT policy's Pass@1024 lies between 0.5 and 0.9, chosen on other SFT
draws: chains of 5 or 6 steps (task.options.hard_steps in the evaluation alone, which is of that slice alone). On draws 1000 and
1001 it is 0.60 and 0.64 there; for 6 or 7 steps it is 0.49 and 0.41:
`unified-rl evaluate run=RUN samples=1024 problems=100 split=validation "task.options.hard_steps=[5,6]"`.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 10 runs of 48 steps,
and 1,024 samples of 100 problems of 15 policies.
Primary: Pass@1024 of GRPO+OS against the SFT policy, and of training for Pass@4 against GRPO+OS, margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: rates. Training for Pass@K has GRPO's, which was swept for GRPO with its KL term.
"""

from dataclasses import replace

from unified_rl.grids.definition import PER_SEED, START_LABEL, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, SWEPT, TESTING

MARGIN, REASON = (
    0.05,
    (
        "5 points, 5 of 100 problems: fewer would not be called another reach; with five starts half-widths of 3 to 5 points are "
        "expected"
    ),
)
SLICE = ("slices=[hard]", "task.options.hard_steps=[5,6]")

GRID = Grid(
    name="pass_at_1024",
    title="Pass@K up to 1,024",
    arms=(
        Arm("GRPO+OS, no KL", ("method=grpo", "coefficient.kl_coef=0")),
        Arm("Trained for Pass@4", ("method=pass_at_k", "trainer.learning_rate=1e-4")),
    ),
    presets={
        "testing": replace(TESTING, evaluate=(*TESTING.evaluate, *SLICE)),
        "default": replace(DEFAULT, evaluate=("problems=100", "samples=1024", *SLICE)),
    },
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary("GRPO+OS, no KL", START_LABEL, "pass", MARGIN, REASON, "below"),
        Primary("Trained for Pass@4", "GRPO+OS, no KL", "pass", MARGIN, REASON, "above"),
    ),
    contrasts=(("Trained for Pass@4", "GRPO+OS, no KL"),),
    figures=("learning_curves", "contrasts", "results_table", "maj_pass"),
    tuning=f"both arms have the rate of GRPO+OS (1e-4), the best of {SWEPT}, which had a KL term; they were not swept themselves",
)
