"""Who judges: the rule, a reward model, a mixture of both, or a rule that errs. GRPO.

Hypothesis (the paper's 5.2.1 and 5.2.3): a reward that can be wrong costs accuracy, and more the longer the policy is trained
against it; a little of the rule repairs much of it.

Arms of GRPO+OS: the rule; an outcome reward model; a process reward model (steps labelled as by Math-Shepherd), the minimum of its
step scores being the reward; rule and outcome model mixed half and half, and one part in ten; the rule with a tenth and with a
fifth of its judgements turned over, each response always alike. Arms of GRPO+PS: the exact step checker and the process reward
model. A faster policy leaves a learned reward's home sooner, so the outcome model is also run at a lower rate.
Settings: the tiny stack; 48 updates of 256 responses; reward models trained on 4 samples each of 2048 problems by the SFT policy.
Seeds: five, each with an SFT policy of its own. Budget: 50 runs of 48 steps and their evaluation, and two reward models per
seed.
Primary: the outcome model against the rule, by the mean over samples, margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise, from the
seed's SFT policy and with the reward models made from it.

What cannot be matched: a reward model costs samples, labels and training of its own, which no rule counts here.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, LEARNED_MARGIN, LEARNED_MARGIN_REASON, SWEPT, TESTING_LEARNED

#: Which judgements are turned over is drawn anew for every seed.
JUDGE = "reward.noise_seed={seed}"


def _noise(share: float) -> tuple[str, ...]:
    return ("method=grpo", f"reward.false_positive={share:g}", f"reward.false_negative={share:g}", JUDGE)


def _mixture(rule_weight: float) -> tuple[str, ...]:
    return ("method=grpo", "reward=mixture", f"reward.rule_weight={rule_weight:g}")


GRID = Grid(
    name="rule_vs_model",
    title="Rules, reward models, mixtures and noise",
    arms=(
        Arm("Rule", ("method=grpo",)),
        Arm("ORM", ("method=grpo", "reward=model")),
        Arm("PRM, minimum", ("method=grpo", "reward=model", "reward_model.kind=process")),
        Arm("Mixture, half rule", _mixture(0.5)),
        Arm("Mixture, a tenth rule", _mixture(0.1)),
        Arm("Rule, 10 % wrong", _noise(0.1)),
        Arm("Rule, 20 % wrong", _noise(0.2)),
        Arm("ORM, slow", ("method=grpo", "reward=model", "trainer.learning_rate=3e-5"), note="GRPO+PS's rate"),
        Arm("Step checker", ("method=grpo_ps",)),
        Arm("PRM, steps", ("method=grpo_ps", "reward=model")),
    ),
    presets={"testing": TESTING_LEARNED, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("ORM", "Rule", "avg", LEARNED_MARGIN, LEARNED_MARGIN_REASON, "below"),),
    contrasts=(
        ("ORM", "Rule"),
        ("PRM, minimum", "Rule"),
        ("Mixture, half rule", "Rule"),
        ("Mixture, half rule", "ORM"),
        ("Mixture, a tenth rule", "ORM"),
        ("Rule, 10 % wrong", "Rule"),
        ("Rule, 20 % wrong", "Rule"),
        ("ORM, slow", "ORM"),
        ("PRM, steps", "Step checker"),
        ("PRM, steps", "ORM, slow"),
    ),
    tuning=(
        f"GRPO+OS with the rule (1e-4) and GRPO+PS with the step checker (3e-5) have the best rate of {SWEPT}; the arms with other "
        "rewards were not swept and take theirs"
    ),
)
