"""When does a renewed reward model help? The initial one's quality is set by a dial, and the share of replayed data is varied.

Hypothesis: where the initial reward model was trained on bad judgements, a renewal with right ones helps, and more the worse it
was; where it was good, nothing is left to gain. Replay carries the old judgements along: it costs where they were bad, and
steadies where they were good.

Arms: GRPO+PS with a process reward model, one renewal of the reward model alone (the reference stays). The initial model is
trained on the exact step checker's labels, of which 0, 10, 20, 30 or 40 % are turned over, wrong taken for right as often as
right for wrong (`reward_model.label_false_positive`, `_negative`); the renewed one is trained on the present policy's samples with
labels that are right, and a replayed tenth of the old data with the old labels. At 0 and at 40 % also nothing and half replayed.
Settings: the tiny stack; the renewal after 16 steps of 256 responses, then 32 control steps. Seeds: five, each with an SFT policy
of its own. Budget: 45 iterative runs of 96 steps, controls included, each with a reward model and its renewal; the initial model
and its samples are shared by a seed's arms of one dial. There is no evaluation on the test split; the curves are on validation
problems.
Primary: the gain of the renewal over its control at 40 %, and how much larger it is than at 0; margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What is measured: renewal_quality.csv has what the dial made of the initial model (accuracy and AUC on held-out responses, over all
and within a problem), since a policy of this size learns little of arithmetic from any labels; a gain is to be read against that,
not against the dial. What cannot be matched: a renewal costs samples and labels that the control does not have, and starts the
optimiser anew; the gain at 0 % has that in it too, which is why the second contrast is against it. Replayed data come on top of
the 8,192 new responses, as in the paper: the renewal makes 256 updates with nothing replayed, 284 with a tenth and 512 with half,
so that arms with more replay differ in the length of that training too.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT_ITERATED, GAIN_MARGIN, GAIN_MARGIN_REASON, SWEPT, TESTING_ITERATED

DIAL = (0.0, 0.1, 0.2, 0.3, 0.4)
ENDS = (DIAL[0], DIAL[-1])
RENEWED = ("iterate.iterations=1", "iterate.reward_model=renewed", "iterate.reference=kept")
COMMON = ("method=grpo_ps", "reward=model", "reward_model.labels=exact", *RENEWED)


def _arm(share: float, replay: float, words: str = "") -> Arm:
    dial = (f"reward_model.label_false_positive={share:g}", f"reward_model.label_false_negative={share:g}")
    return Arm(f"{share:.0%} wrong{words}", (*dial, f"iterate.replay={replay:g}"), command="iterate")


GRID = Grid(
    name="replayed_reward_model",
    title="When a replayed reward model helps",
    common=COMMON,
    arms=(
        *(_arm(share, 0.1) for share in DIAL),
        *(_arm(share, 0.0, ", nothing replayed") for share in ENDS),
        *(_arm(share, 0.5, ", half replayed") for share in ENDS),
    ),
    presets={"testing": TESTING_ITERATED, "default": DEFAULT_ITERATED},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary("40% wrong", "40% wrong", "gain", GAIN_MARGIN, GAIN_MARGIN_REASON, "above"),
        Primary("40% wrong", "0% wrong", "gain", GAIN_MARGIN, GAIN_MARGIN_REASON, "above"),
    ),
    contrasts=(
        *((f"{share:.0%} wrong", "0% wrong") for share in DIAL[1:]),
        *((f"{share:.0%} wrong, {how} replayed", f"{share:.0%} wrong") for share in ENDS for how in ("nothing", "half")),
    ),
    figures=("renewal_quality", "iterations"),
    tuning=f"the rate of GRPO+PS with exact rewards (3e-5), the best of {SWEPT}; with reward models it was not swept",
)
