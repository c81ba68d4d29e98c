"""The KL penalty: which estimator in the loss, or in the reward, or none. GRPO and PPO.

Hypothesis: placement and estimator matter little at beta = 0.04 and 48 steps from the reference; k1 in the loss does nothing, since
the expectation of its gradient is zero (of token sums; under 1/|o| only nearly).

Arms of GRPO+OS, beta 0.04: k3 in the loss (the paper), k2, k1, none (beta 0), and the sum of log(pi_old/pi_ref) in the reward
before the group is normalised. Arms of PPO: the token-wise penalty in the reward (Eq. 2; the paper's PPO), and none.
Settings: the tiny stack; 48 updates of 256 responses, one update per rollout: importance-weighted k3 then has k2's gradient, and no
arm of its own. Seeds: five, each with an SFT policy of its own. Budget: 35 runs of 48 steps and their evaluation.
Primary: k3 in the loss against no KL, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: one beta is not one strength. In the loss it weighs a token's term against an advantage of size 1; in the
reward it weighs a response's sum against a reward of size 1, before the division by the group's std; in PPO's reward it is spread
over tokens and passes the value model.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

GRID = Grid(
    name="kl",
    title="Estimator and placement of the KL penalty",
    arms=(
        Arm("k3 in the loss", ("method=grpo",)),
        Arm("k2 in the loss", ("method=grpo", "coefficient.kl_estimator=k2")),
        Arm("k1 in the loss", ("method=grpo", "coefficient.kl_estimator=k1")),
        Arm("KL in the reward", ("method=grpo", "coefficient=grpo_kl_in_reward", "coefficient.kl_coef=0.04")),
        Arm("No KL", ("method=grpo", "coefficient.kl_coef=0")),
        Arm("PPO, KL in the reward", ("method=ppo",)),
        Arm("PPO, no KL", ("method=ppo", "coefficient.kl_coef=0")),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("k3 in the loss", "No KL", "avg", MARGIN, MARGIN_REASON),),
    contrasts=(
        ("k3 in the loss", "No KL"),
        ("k2 in the loss", "No KL"),
        ("k1 in the loss", "No KL"),
        ("KL in the reward", "No KL"),
        ("KL in the reward", "k3 in the loss"),
        ("PPO, KL in the reward", "PPO, no KL"),
    ),
    figures=("learning_curves", "contrasts", "results_table", "dynamics"),
    tuning=f"GRPO+OS with k3 and PPO with KL in the reward (both 1e-4) have the best rate of {SWEPT}; the others take theirs",
)
