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

from unified_rl.grids.dialect_arms import LAG, ablation

GRID = ablation("dialects_lag", LAG, "at a lag of four steps")
