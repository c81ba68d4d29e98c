"""Outcome or process supervision, with rewards that are never wrong: GRPO and PPO.

Hypothesis (the paper's 5.2.1): GRPO+PS beats GRPO+OS, since it says which steps were wrong.

Arms: GRPO and PPO, each with one reward per response (the final answer's rule) and with one per step (the task's exact step
checker, whose last step is the answer). GRPO's two forms have different best rates, so each is also run at the other's.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 30 runs of 48 steps
and their evaluation.
Primary: GRPO+PS over GRPO+OS, each at its own rate, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: the amount of information per response, which is the point, and the size of the advantages: under process
supervision a token's advantage is a sum over its own and later steps, and so larger early and in long responses (4.1.3).
Learned step rewards are in rule_vs_model.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

_PROCESS = ("reward.source=exact", "reward.supervision=process")

GRID = Grid(
    name="outcome_vs_process",
    title="Outcome and process supervision with exact rewards",
    arms=(
        Arm("GRPO+OS", ("method=grpo",)),
        Arm("GRPO+PS", ("method=grpo_ps",)),
        Arm("GRPO+OS, PS's rate", ("method=grpo", "trainer.learning_rate=3e-5"), note="so that rates are crossed"),
        Arm("GRPO+PS, OS's rate", ("method=grpo_ps", "trainer.learning_rate=1e-4"), note="so that rates are crossed"),
        Arm("PPO", ("method=ppo",)),
        Arm("PPO, process", ("method=ppo", *_PROCESS)),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("GRPO+PS", "GRPO+OS", "avg", MARGIN, MARGIN_REASON, "above"),),
    contrasts=(
        ("GRPO+PS", "GRPO+OS"),
        ("GRPO+PS", "GRPO+OS, PS's rate"),
        ("GRPO+PS, OS's rate", "GRPO+OS"),
        ("PPO, process", "PPO"),
    ),
    tuning=f"GRPO+OS (1e-4), GRPO+PS (3e-5) and PPO (1e-4) have the best rate of {SWEPT}; PPO with step rewards takes PPO's",
)
