"""How much of GRPO over Online RFT is the effective learning rate? Matched by gradient norm, by KL moved, by accuracy reached.

Hypothesis: much of it. GRPO's gradient is two to three times as long, its best rate is three times Online RFT's, and it ends
higher in mean accuracy without ending higher greedily: what a larger step on the same path would do. Against it: GRPO lowers
wrong answers, which no rate of Online RFT does; then something is left at equal KL.

Arms: Online RFT and GRPO+OS, each at 3e-5, 1e-4 and 3e-4 (their own best rates, 3e-5 and 1e-4, among them); GRPO+OS without its KL
term, which Online RFT does not have; and these three at 1e-4 with every gradient cut to one length.
Settings: the tiny stack; 48 updates of 256 responses; every run logs its KL to the start (`logging.reference_kl`), which Online
RFT does not need otherwise; the learning curve every 4 updates, by the mean over 8 samples of 200 problems per slice, since the gap
that is to be explained is in the mean over samples and hardly in greedy answers. Seeds: five, each with an SFT policy of its own.
Budget: 50 runs of 48 steps and their evaluation.
Primary: at gradients of one length and one rate, GRPO+OS without KL over Online RFT, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with common random numbers.

Known before this run, since four arms repeat training that all_methods and negative_signal did on the same seeds, and are tested
on the same problems: at its end GRPO+OS at 1e-4 is 5.4 points above Online RFT at 3e-5 in mean accuracy on main (0.6 greedy);
without its KL term it differs from Online RFT at 1e-4 by -0.3 [-1.0, +0.3]. What these four end with is no finding of this grid.
New are the comparisons matched by KL and by accuracy, of these arms too, the arms of one length, and the other rates.

Matched by gradient norm: trainer.max_grad_norm=0.002, a quarter of the shortest gradient that an update of these arms has had in
earlier runs of these seeds (0.0086 of Online RFT, 0.029 of GRPO+OS without KL and 0.031 with it, each at the seed whose SFT policy
had learned least), so that every update's gradient has exactly that length in all three; `cut_share` in effective_rate.csv says of
how many updates that is true. AdamW would take out a constant factor by itself; what this takes out besides is that the lengths
change differently during training.
Matched by KL moved: accuracy at the largest KL to the start that both runs of a seed reach, and its mean over all smaller ones.
Matched by accuracy reached: KL and updates that each took to the level halfway between the start and the lower of the two highest
points. All three in effective_rate.csv, by the learning curve on validation problems, for every contrast below.

What cannot be matched: direction. Equal KL or length says nothing of where a policy went, which is the rest that is asked for. KL
is measured on each policy's own samples, per token, up to the update before the last; Adam's state makes steps and KL differ at one
gradient norm; at a level of accuracy the two have seen different numbers of responses.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

LADDER = ("3e-5", "1e-4", "3e-4")
ROWS = {"Online RFT": "online_rft", "GRPO+OS": "grpo"}
ONE_LENGTH = ("trainer.learning_rate=1e-4", "trainer.max_grad_norm=0.002")
NO_KL = "coefficient.kl_coef=0"


def _at(label: str, rate: str) -> Arm:
    return Arm(f"{label}, {rate}", (f"method={ROWS[label]}", f"trainer.learning_rate={rate}"))


GRID = Grid(
    name="effective_rate",
    title="GRPO over Online RFT, matched by gradient norm, KL and accuracy",
    common=("logging.reference_kl=true", "logging.curve_every=4", "logging.curve_samples=8"),
    arms=(
        *(_at(label, rate) for label in ROWS for rate in LADDER),
        *(Arm(f"{label}, one length", (f"method={row}", *ONE_LENGTH)) for label, row in ROWS.items()),
        Arm("GRPO+OS, no KL", ("method=grpo", NO_KL), note="Online RFT has no KL term either"),
        Arm("GRPO+OS, no KL, one length", ("method=grpo", NO_KL, *ONE_LENGTH)),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("GRPO+OS, no KL, one length", "Online RFT, one length", "avg", MARGIN, MARGIN_REASON),),
    contrasts=(
        ("GRPO+OS, 1e-4", "Online RFT, 3e-5"),
        *((f"GRPO+OS, {rate}", f"Online RFT, {rate}") for rate in LADDER),
        ("GRPO+OS, 1e-4", "Online RFT, 3e-4"),
        ("GRPO+OS, no KL, one length", "Online RFT, one length"),
        ("GRPO+OS, one length", "GRPO+OS, no KL, one length"),
        ("GRPO+OS, no KL", "GRPO+OS, 1e-4"),
        ("GRPO+OS, no KL", "Online RFT, 1e-4"),
    ),
    figures=("effective_rate", "learning_curves", "contrasts", "results_table", "dynamics"),
    tuning=f"3e-5 of Online RFT and 1e-4 of GRPO+OS are the best rates of {SWEPT}; the others are the ladder",
)
