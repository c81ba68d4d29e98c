"""Do sign and order survive the size of the policy? The primary contrasts of all_methods at 0.34M, 1M and 3M parameters.

Hypothesis: they do; differences shrink where the larger SFT policy leaves less room.

Arms: RFT, Online RFT, GRPO+OS and GRPO+PS, each row of the method table as it stands. One preset per size: `default` (width 96, 3
layers), `1m` (128, 5 layers) and `3m` (192, 7 layers); a size has SFT policies, and so tables, of its own.
Settings: the tiny stack but for the shape; 48 updates of 256 responses. Learning rates, of SFT and of RL, are the tiny stack's
times 96 / width, and initial weights have std 0.08 times its root: what keeps the size of Adam's updates, relative to the
weights', the same over widths (arXiv 2203.03466). Seeds: 5, 6 and 7 at every size, each with an SFT policy of its own; no result
of RL was reported on them. Budget: 12 runs of 48 steps per size and their evaluation.
Primary: Online RFT over RFT, GRPO+OS over Online RFT, GRPO+PS over GRPO+OS, by the mean over samples, margin 4 points.
Matching rule: equal updates of equally many responses, from the seed's own SFT policy, on the same prompts in the same order.

What is known: all_methods has these contrasts at 0.34M from five starts, seeds 0 to 4, so that any of these seeds would be known
here before it ran. Fresh ones at 0.34M cost an eighth of the ladder, and give its smallest size draws, number of starts and code as
the others have them. All of it in one table, all_methods first, whose signs and order the others are held against:

    unified-rl tables experiments/results/{all_methods,size_ladder,size_ladder_1m,size_ladder_3m} out=experiments/results/sizes
    unified-rl figures sizes tables=experiments/results/sizes out=experiments/results/sizes

What cannot be matched: how far the SFT policy has come. All sizes see the same demonstrations equally often, and the larger ones
learn more from them. What three starts cannot show: a difference of less than some 4 points (see the margin's reason); a sign that
survives is one that both intervals leave 0 out of.
"""

from dataclasses import replace

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Preset, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, TESTING

ROWS = {"RFT": "rft", "Online RFT": "online_rft", "GRPO+OS": "grpo", "GRPO+PS": "grpo_ps"}
#: The tiny stack's, which is 96 wide.
RATES = {"RFT": 1e-4, "Online RFT": 3e-5, "GRPO+OS": 1e-4, "GRPO+PS": 3e-5}
SFT_RATE, INIT_STD, WIDTH = 3e-3, 0.08, 96
SEEDS = (5, 6, 7)
MARGIN, REASON = (
    0.04,
    (
        "4 points, twice that of all_methods, whose half-widths of these contrasts were 1.4 to 4.2 points with five starts and, on "
        "seeds 0 to 2 of them, 3.5 to 9.0 with three: one of these had hardly learned. Three fresh starts may do as badly. So "
        "equivalence will hardly be shown, and a sign only of a large difference; what is asked is whether a sign turns"
    ),
)


def _size(width: int, layers: int, heads: int, inner: int) -> Preset:
    shrunk = WIDTH / width
    shape = (
        f"model.hidden_size={width}",
        f"model.num_layers={layers}",
        f"model.num_heads={heads}",
        f"model.intermediate_size={inner}",
        f"model.init_std={INIT_STD * shrunk**0.5:.3g}",
        f"sft.learning_rate={SFT_RATE * shrunk:.3g}",
    )
    rates = {label: (f"trainer.learning_rate={rate * shrunk:.3g}",) for label, rate in RATES.items()}
    return replace(DEFAULT, seeds=SEEDS, train=(*DEFAULT.train, *shape), arms=rates)


GRID = Grid(
    name="size_ladder",
    title="The primary contrasts at three sizes",
    arms=tuple(Arm(label, (f"method={row}",)) for label, row in ROWS.items()),
    presets={
        "testing": TESTING,
        "default": replace(DEFAULT, seeds=SEEDS),
        "1m": _size(128, 5, 4, 344),
        "3m": _size(192, 7, 6, 512),
    },
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary("Online RFT", "RFT", "avg", MARGIN, REASON, "above"),
        Primary("GRPO+OS", "Online RFT", "avg", MARGIN, REASON, "above"),
        Primary("GRPO+PS", "GRPO+OS", "avg", MARGIN, REASON, "above"),
    ),
    tuning="the tiny stack's best rates, times 96 / width; the larger sizes were not swept",
)
