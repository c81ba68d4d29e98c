"""Outcome or process supervision, with exact, learned and noisy rewards: GRPO on the tiny world.

Hypothesis (the paper's 5.2): process supervision beats outcome supervision; a reward that can be wrong costs accuracy, and a
learned reward is one that can be wrong.

Arms: {GRPO+OS, GRPO+PS} x {exact: the rule or the step checker; learned: an outcome or a process reward model trained on samples of
the SFT policy, step labels as in Math-Shepherd; noisy: the exact reward with a fifth of its judgements turned over, each response
always alike}. Since a faster policy also leaves a learned reward's home sooner, GRPO+OS with a learned reward is run at GRPO+PS's
rate as well. Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 35
runs of 48 steps and their evaluation.
Primary: learned rewards, process over outcome supervision at one rate, by the mean over samples, margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order, from the seed's SFT policy and with
the reward models made from it.

`rule_vs_model` and `outcome_vs_process` ask the same with more arms; this one has the labels of the tables in
results/reward_ablation, which are of one SFT policy for all seeds.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Preset, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, LEARNED_MARGIN, LEARNED_MARGIN_REASON, SWEPT, TESTING_LEARNED

#: Which judgements are turned over is drawn anew for every seed.
NOISE = ("reward.false_positive=0.2", "reward.false_negative=0.2", "reward.noise_seed={seed}")
LEARNED = ("reward=model",)
SLOW = "GRPO+OS, learned, slow"

GRID = Grid(
    name="reward_ablation",
    title="Outcome or process supervision, with exact, learned and noisy rewards",
    arms=(
        Arm("GRPO+OS, exact", ("method=grpo",)),
        Arm("GRPO+PS, exact", ("method=grpo_ps",)),
        Arm("GRPO+OS, learned", ("method=grpo", *LEARNED)),
        Arm("GRPO+PS, learned", ("method=grpo_ps", *LEARNED)),
        Arm("GRPO+OS, noisy", ("method=grpo", *NOISE)),
        Arm("GRPO+PS, noisy", ("method=grpo_ps", *NOISE)),
        Arm(SLOW, ("method=grpo", *LEARNED, "trainer.learning_rate=3e-5"), note="GRPO+PS's rate"),
    ),
    presets={
        "testing": Preset(seeds=(0, 1), train=TESTING_LEARNED.train, evaluate=TESTING_LEARNED.evaluate),
        "default": DEFAULT,
    },
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("GRPO+PS, learned", "GRPO+OS, learned, slow", "avg", LEARNED_MARGIN, LEARNED_MARGIN_REASON),),
    contrasts=(
        *((f"GRPO+PS, {reward}", f"GRPO+OS, {reward}") for reward in ("exact", "learned", "noisy")),
        ("GRPO+PS, learned", SLOW),
        *((f"GRPO+{s}, {reward}", f"GRPO+{s}, exact") for s in ("OS", "PS") for reward in ("learned", "noisy")),
        *((label, "SFT") for label in (SLOW, "GRPO+OS, learned", "GRPO+PS, learned")),
    ),
    tuning=(
        f"GRPO+OS (1e-4) and GRPO+PS (3e-5) with exact rewards have the best rate of {SWEPT}; the other arms take them over, and "
        "GRPO+OS with a learned reward is also run at GRPO+PS's"
    ),
)
