"""Right answers by right reasoning: CoT-Pass@K of the SFT policy, Online RFT, GRPO+OS and GRPO+PS, every step checked exactly.

Hypothesis (arXiv 2506.14245, asked of models whose steps another model judged): RL raises CoT-Pass@K also at large K, because it
pays for right answers, which right steps reach more often. Against it: an outcome reward pays for right answers by wrong steps too,
and only GRPO+PS is paid for the steps; then CoT-Pass@K of GRPO+OS gains less than its Pass@K, and GRPO+PS lies above it.

Arms: Online RFT, GRPO+OS and GRPO+PS, each row of the method table as it stands, and the SFT policy that a seed's arms start from.
A sample counts for CoT-Pass@K where its answer is right, it was not cut off, and every step is right by the task's own checker,
which knows each problem's chain: a step that computes faithfully from an earlier wrong value is wrong, and so is a skipped one.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 15 runs of 48 steps
and their evaluation.
Primary: CoT-Pass@64 of GRPO+OS over the SFT policy, and of GRPO+PS over GRPO+OS, margin 5 points.
Matching rule: equal updates of equally many responses, from the seed's own SFT policy, on the same prompts in the same order with
common random numbers.

What is measured besides: cot_pass.csv has both curves in K, and `unsound`, the share of right samples with a wrong step.
What cannot be matched: the checker that judges CoT-Pass@K is the reward of GRPO+PS, so that this arm is paid for what is measured;
the learning rates are each row's own, a third of GRPO+OS's for the others.
"""

from unified_rl.grids.definition import PER_SEED, START_LABEL, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, PASS_MARGIN, PASS_MARGIN_REASON, SWEPT, TESTING

GRID = Grid(
    name="cot_pass",
    title="Right answers by right reasoning",
    arms=(
        Arm("Online RFT", ("method=online_rft",)),
        Arm("GRPO+OS", ("method=grpo",)),
        Arm("GRPO+PS", ("method=grpo_ps",)),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary("GRPO+OS", START_LABEL, "cot_pass", PASS_MARGIN, PASS_MARGIN_REASON, "above"),
        Primary("GRPO+PS", "GRPO+OS", "cot_pass", PASS_MARGIN, PASS_MARGIN_REASON, "above"),
    ),
    contrasts=(("GRPO+OS", "Online RFT"), ("GRPO+PS", "GRPO+OS")),
    figures=("cot_pass", "learning_curves", "contrasts", "results_table"),
    tuning=f"every method's own best rate in {SWEPT}",
)
