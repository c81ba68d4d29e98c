"""Iterative RL (Algorithm 1): what renewing the reward model and the reference adds, together and each alone; both supervisions.

Hypothesis (the paper's 5.2.1, Figure 6): renewal helps, mostly in its first round.

Arms: GRPO with an outcome reward model, two renewals; renewed both, only the reward model, only the reference, or neither. GRPO
with a process reward model, renewed both or neither. In each arm every iteration also goes on with its own old reward model: the
control that the next iteration is compared with.
Settings: the tiny stack; a renewal every 16 steps of 256 responses, then 32 control steps; a renewed reward model is trained on new
samples and 10 % of the old ones. Seeds: five, each with an SFT policy of its own. Budget: 30 iterative runs of 144 steps, controls
included, and up to two renewed reward models each; the first one is shared by a seed's arms of one supervision. There is no
evaluation on the test split; the curves are on validation problems.
Primary: the gain of the first renewal over its control, both renewed, outcome supervision; margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: a renewal costs samples and training that the control does not have, and starts the optimiser anew. The arm
with neither renewed still does the latter, and so tells that apart.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT_ITERATED, GAIN_MARGIN, GAIN_MARGIN_REASON, SWEPT, TESTING_ITERATED


def _arm(label: str, reward_model: str, reference: str, method: str = "grpo") -> Arm:
    words = (f"method={method}", "reward=model", f"iterate.reward_model={reward_model}", f"iterate.reference={reference}")
    return Arm(label, words, command="iterate")


GRID = Grid(
    name="iterative_rl",
    title="Iterative RL: what is renewed",
    arms=(
        _arm("Both renewed", "renewed", "renewed"),
        _arm("Reward model renewed", "renewed", "kept"),
        _arm("Reference renewed", "kept", "renewed"),
        _arm("Both kept", "kept", "kept"),
        _arm("Process, both renewed", "renewed", "renewed", "grpo_ps"),
        _arm("Process, both kept", "kept", "kept", "grpo_ps"),
    ),
    presets={"testing": TESTING_ITERATED, "default": DEFAULT_ITERATED},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("Both renewed", "Both renewed", "gain", GAIN_MARGIN, GAIN_MARGIN_REASON, "above"),),
    contrasts=(
        ("Both renewed", "Both kept"),
        ("Reward model renewed", "Both kept"),
        ("Reference renewed", "Both kept"),
        ("Process, both renewed", "Process, both kept"),
    ),
    figures=("iterations", "paper_figure6"),
    tuning=(
        f"the rates of GRPO+OS (1e-4) and GRPO+PS (3e-5) with exact rewards, the best of {SWEPT}; with reward models they were not "
        "swept"
    ),
)
