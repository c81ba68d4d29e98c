"""Does it matter which framework one used? "GRPO" as eight projects' code has it by default, with eight updates of a rollout.

Hypothesis: with several updates per rollout the clip, verl's dual clip, prime-rl's mask and drift and open-instruct's wider upper
clip act, and may separate what is alike on policy.

Arms: the paper's GRPO and seven dialects (docs/dialects.md), each with 4 minibatches x 2 epochs. That is set in
place of the dialect's own numbers.
All at one learning rate, GRPO+OS's 1e-4; and those whose own best rate in this regime is another one (dialect_rates) also at that.
Settings: the tiny stack. Seeds: five, each with an SFT policy of its own. Budget: 80 runs of 48 steps and their evaluation.
Primary: TRL's defaults against the paper's at the one rate and each at its own, by the mean over samples, margin 2 points.
Matching rule: equal steps of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: one rate is not one step size where gradients differ by more than a constant factor (Adam sees no constant
factor). A dialect's own rate is the best of three or four by 400 greedy answers of one seed, so that neighbouring rates often are
within noise of each other.
"""

from unified_rl.grids.dialect_arms import UPDATES, ablation

GRID = ablation("dialects_updates", UPDATES, "with eight updates of a rollout")
