"""Does it matter which framework one used? "GRPO" as eight projects' code has it by default, on policy.

Hypothesis: on policy only aggregation, std and KL differ, so TRL, verl and OpenRLHF (but for its KL) end alike, and so do
prime-rl and open-instruct (but for its KL).

Arms: the paper's GRPO and seven dialects (docs/dialects.md), each with one update per rollout. That is set in
place of the dialect's own number.
All at one learning rate, GRPO+OS's 1e-4; and those whose own best rate in this regime is another one (dialect_rates) also at that.
Settings: the tiny stack. Seeds: five, each with an SFT policy of its own. Budget: 55 runs of 48 steps and their evaluation.
Primary: TRL's defaults against the paper's at the one rate and each at its own, by the mean over samples, margin 2 points.
Matching rule: equal steps of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: one rate is not one step size where gradients differ by more than a constant factor (Adam sees no constant
factor). A dialect's own rate is the best of three or four by 400 greedy answers of one seed, so that neighbouring rates often are
within noise of each other.
"""

from unified_rl.grids.dialect_arms import ON_POLICY, ablation

GRID = ablation("dialects_on_policy", ON_POLICY, "on policy")
