"""Whose samples: RFT on stored samples, Online RFT, and what lies between, a sampling policy refreshed every n steps.

Hypothesis (the paper's 5.2.1): Online RFT beats RFT, and beats it late, once the policy has moved away from the SFT policy that
wrote the stored samples. If staleness is the reason, accuracy falls as n grows from 1 (online) to infinity (the SFT policy).

Arms: Online RFT (n = 1; `refreshed_samples` with refresh_every=1 is the same run, number by number), n = 4, n = 16, n = infinity
(fresh samples of the SFT policy), and stored samples of the SFT policy, drawn again in every epoch. One coefficient (Eq. 10), one
reward (the rule), one learning rate, that of Online RFT; and RFT and Online RFT at the rate that suits the other one's source.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 35 runs of 48 steps
and their evaluation.
Primary: Online RFT over stored samples, at one rate, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order; arms that sample share the noise.

What cannot be matched: the store holds 8 samples per prompt, the very 8 that an update uses, so a prompt that comes back brings no
other responses; n = infinity against it tells how much that costs. The shares of right answers, and so the tokens that carry a
gradient, differ because the policies differ: that is the effect in question.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING


def _refreshed(steps: int) -> tuple[str, ...]:
    return ("method=online_rft", "source=refreshed_samples", f"source.refresh_every={steps}")


GRID = Grid(
    name="online_vs_offline",
    title="Online and offline samples, and what lies between",
    arms=(
        Arm("Online RFT", ("method=online_rft",)),
        Arm("Refreshed every 4", _refreshed(4)),
        Arm("Refreshed every 16", _refreshed(16)),
        Arm("Never refreshed", _refreshed(0)),
        Arm("Stored samples", ("method=online_rft", "source=offline_samples"), note="RFT at Online RFT's learning rate"),
        Arm("RFT", ("method=rft",), note="stored samples at the rate that suits them best"),
        Arm("Online RFT, RFT's rate", ("method=online_rft", "trainer.learning_rate=1e-4"), note="so that rates are crossed"),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("Online RFT", "Stored samples", "avg", MARGIN, MARGIN_REASON, "above"),),
    contrasts=(
        ("Online RFT", "RFT"),
        ("Online RFT", "Stored samples"),
        ("Online RFT, RFT's rate", "RFT"),
        ("Online RFT", "Refreshed every 4"),
        ("Online RFT", "Refreshed every 16"),
        ("Online RFT", "Never refreshed"),
        ("Never refreshed", "Stored samples"),
    ),
    tuning=(
        f"RFT (1e-4) and Online RFT (3e-5) have the best rate of {SWEPT}; refreshed and never refreshed samples were not swept and "
        "take Online RFT's"
    ),
)
