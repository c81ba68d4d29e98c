"""What differential coefficients add: Online RFT, GRPO, and GRPO with only the positive or only the negative advantages.

Hypothesis (the paper's 5.2.1): GRPO beats Online RFT because it lowers the likelihood of wrong answers and weighs right ones by how
rare they are. If the negative signal is what counts, GRPO without it falls back to Online RFT; if grading is, positives suffice.

Arms: Online RFT (weight 1 on right answers, 0 on wrong ones), GRPO+OS, and GRPO+OS with max(A, 0) or min(A, 0) in place of A, the
KL term as it is. Since GRPO has a KL term and Online RFT has none, also GRPO+OS with kl_coef=0; since their rates differ, also
Online RFT at GRPO's.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 30 runs of 48 steps
and their evaluation.
Primary: GRPO+OS with positives only against GRPO+OS, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: the size of the gradient. Either half leaves out the other's tokens, and Online RFT also follows groups
that are all right, which have no advantage. Adam's steps hardly depend on a constant factor, but on its balance with the KL
term. The two halves' gradients add up to GRPO's with the KL term counted twice.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

GRID = Grid(
    name="negative_signal",
    title="Positive and negative signal",
    arms=(
        Arm("Online RFT", ("method=online_rft",)),
        Arm("GRPO+OS", ("method=grpo",)),
        Arm("GRPO+OS, positives only", ("method=grpo", "coefficient=grpo_positives")),
        Arm("GRPO+OS, negatives only", ("method=grpo", "coefficient=grpo_negatives")),
        Arm("GRPO+OS, no KL", ("method=grpo", "coefficient.kl_coef=0"), note="Online RFT has no KL term either"),
        Arm("Online RFT, GRPO's rate", ("method=online_rft", "trainer.learning_rate=1e-4"), note="so that rates agree"),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("GRPO+OS, positives only", "GRPO+OS", "avg", MARGIN, MARGIN_REASON),),
    contrasts=(
        ("GRPO+OS", "Online RFT"),
        ("GRPO+OS, no KL", "Online RFT, GRPO's rate"),
        ("GRPO+OS, positives only", "GRPO+OS"),
        ("GRPO+OS, negatives only", "GRPO+OS"),
        ("GRPO+OS, positives only", "Online RFT, GRPO's rate"),
        ("GRPO+OS, positives only", "GRPO+OS, negatives only"),
    ),
    tuning=f"Online RFT (3e-5) and GRPO+OS (1e-4) have the best rate of {SWEPT}; the other arms were not swept",
)
