"""Iterative RL (Algorithm 1): what renewing the reward model and the reference adds, together and each alone.

Hypothesis (the paper's 5.2.1, Figure 6): renewal helps, mostly in its first round.

Arms: GRPO with an outcome reward model, two renewals; renewed both, only the reward model, only the reference, or neither. In each
arm every iteration also goes on with its own old reward model: the control that the next iteration is compared with.
Settings: the tiny stack; a renewal every 16 steps of 256 responses, then 32 control steps; a renewed reward model is trained on new
samples and 10 % of the old ones. Seeds: five, each with an SFT policy of its own. Budget: 20 iterative runs of 144 steps, controls
included, and up to two renewed reward models each; the first one is shared. There is no evaluation on the test split; the curves
are on validation problems.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: a renewal costs samples and training that the control does not have, and starts the optimiser anew. The arm
with neither renewed still does the latter, and so tells that apart.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, equal_updates
from unified_rl.grids.presets import DEFAULT_ITERATED, SWEPT, TESTING_ITERATED


def _arm(label: str, reward_model: str, reference: str) -> Arm:
    words = ("method=grpo", "reward=model", f"iterate.reward_model={reward_model}", f"iterate.reference={reference}")
    return Arm(label, words, command="iterate")


GRID = Grid(
    name="iterative_rl",
    title="Iterative RL: what is renewed",
    arms=(
        _arm("Both renewed", "renewed", "renewed"),
        _arm("Reward model renewed", "renewed", "kept"),
        _arm("Reference renewed", "kept", "renewed"),
        _arm("Both kept", "kept", "kept"),
    ),
    presets={"testing": TESTING_ITERATED, "default": DEFAULT_ITERATED},
    matching=equal_updates(),
    starts=PER_SEED,
    contrasts=(
        ("Both renewed", "Both kept"),
        ("Reward model renewed", "Both kept"),
        ("Reference renewed", "Both kept"),
    ),
    figures=("iterations",),
    tuning=f"GRPO+OS's rate with the rule (1e-4), the best of {SWEPT}; with a reward model it was not swept",
)
