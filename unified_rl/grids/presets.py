"""The sizes in which the ablations are run: what every grid's presets are made of.

`testing` is a world so small that a whole grid takes a minute or two on one core: it shows that a grid runs, and nothing else.
`default` is the tiny stack (unified_rl/presets/configs/stack/tiny.yaml): 48 steps of 256 responses, five seeds. With
`starts="per_seed"`, as all ablations have it, a seed changes everything that is drawn: the weights at the beginning, the order of
the demonstrations, with these the SFT policy, its stored samples and reward models, the order of prompts, and sampling. What stays
is the world: its problems, its demonstrations, and the sampling noise of the evaluation, which belongs to the problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from unified_rl.grids.definition import Matching, Preset

#: Responses of one update in the default preset: rollout.prompts_per_step x rollout.responses_per_prompt.
RESPONSES_PER_STEP = 256
#: About what 48 steps of 256 responses cost: 35 to 36 tokens a response, as the runs in experiments/results/ sampled them.
SAMPLED_TOKENS = 440_000

_SMALL_WORLD = (
    "sft.steps=60",
    "sft.demonstrations=2000",
    "trainer.steps=2",
    "data.prompts=24",
    "rollout.prompts_per_step=4",
    "logging.curve_every=1",
    "logging.curve_problems=8",
)
_SMALL_REWARD_MODEL = (
    "reward_model.prompts=16",
    "reward_model.samples_per_prompt=2",
    "reward_model.completions=2",
    "reward_model.epochs=1",
)

TESTING = Preset(seeds=(0,), train=_SMALL_WORLD, evaluate=("samples=4", "problems=8"))
TESTING_LEARNED = Preset(seeds=(0,), train=(*TESTING.train, *_SMALL_REWARD_MODEL), evaluate=TESTING.evaluate)
#: Of `unified-rl iterate`, which has no evaluation of its own.
TESTING_ITERATED = Preset(
    seeds=(0,),
    train=(
        *TESTING_LEARNED.train,
        "iterate.iterations=1",
        "iterate.steps=1",
        "iterate.control_steps=1",
        "iterate.agreement_problems=8",
    ),
    evaluate=None,
)

#: Means over 1,000 problems and 8 samples of each; Pass@K and Maj@K up to K = 64 of the first 200, which have 64.
EVALUATION = ("problems=1000", "samples=8", "coverage_problems=200", "coverage_samples=64")
DEFAULT = Preset(seeds=(0, 1, 2, 3, 4), train=("logging.curve_problems=200",), evaluate=EVALUATION)
#: Iterative RL: two renewals, each after 16 steps, with a control that goes on with the old reward model. Gains are read off the
#: curves, hence their many problems; points at the renewals and the controls' ends are enough for that, and keep the price.
DEFAULT_ITERATED = Preset(
    seeds=DEFAULT.seeds,
    train=("logging.curve_problems=1000", "logging.curve_every=16", "iterate.steps=16", "iterate.control_steps=32"),
    evaluate=None,
)

# Margins of primary contrasts, and why. By the mean over samples: greedy answers are one draw per problem, and wider by half.
# What half-widths are expected is read off the shipped tables whose every seed has a start of its own: experiments/results of
# all_methods, dialects_on_policy, negative_signal, online_vs_offline and outcome_vs_process (grid_contrasts.csv), 36 contrasts
# between arms on a slice.
MARGIN = 0.02
MARGIN_REASON = (
    "2 points: the paper's own differences between methods are 0.2 to 2.3 points, so a smaller one is no larger than what it "
    "argues about; with five starts and 1,000 problems half-widths between arms on main were at most 1.0 point where these ended "
    "within a point of each other, else 0.6 to 6.8, in the median 2.9 (all_methods: 3.7 in the median of all): equivalence can be "
    "shown of arms that end alike, and of others the sign rather than the size"
)
LEARNED_MARGIN = 0.05
LEARNED_MARGIN_REASON = (
    "5 points: a third of the 15.5 points [4.8, 26.1] that GRPO+OS with the exact rule gains on main problems, so a judge that "
    "costs less still leaves most of the gain; rewards that are learned or err were run from one start only, with half-widths of "
    "0.5 to 4.8 points, and starts of their own spread further (with exact rewards up to 6.8 between arms): an interval within the "
    "margin is likely of arms that end alike alone"
)
PASS_MARGIN = 0.05
PASS_MARGIN_REASON = (
    "5 points, 10 of 200 problems: two draws of the SFT policy had Pass@64 of 76 and 84 % on hard problems, so a change below this "
    "is within what another start brings; with five starts half-widths of Pass@64 on hard were 0.8 to 5.1 points between arms and "
    "2.1 to 6.4 against the SFT policy, in the median 2.5 and 4.3"
)
GAIN_MARGIN = 0.05
GAIN_MARGIN_REASON = (
    "5 points: as much as a learned reward may cost before it matters, so a renewal that gains less brings back less than that. In "
    "earlier runs (one start, three seeds, 200 greedy problems) the first renewal's gain had half-widths of 18.7 points on main "
    "and 6.7 on hard with outcome supervision, 2.3 and 1.8 with process supervision. The same spread over five seeds would be 9 "
    "and 3, to which starts of their own add, and 1,000 problems take out the problems' part alone: with outcome supervision "
    "'cannot tell' is to be expected on main unless renewals agree better"
)

#: Of sweeps of learning rates: none of the seeds that results are reported on, and a curve that is read at its last point only.
SWEEP_SEED = 1000
SWEEP_WORDS = ("logging.curve_split=validation", "logging.curve_every=0")
SWEEP = {
    "testing": Preset(seeds=(SWEEP_SEED,), train=TESTING.train, evaluate=None),
    "default": Preset(seeds=(SWEEP_SEED,), train=DEFAULT.train, evaluate=None),
}

#: For a grid's `tuning`: "... the best rate of {SWEPT}".
SWEPT = (
    "one sweep on the validation split with the same rates for every method (1e-5, 3e-5, 1e-4, 3e-4; seed 1000; "
    "experiments/lr_sweep.py, recorded in experiments/results/lr_sweep.csv)"
)


def with_small_arms(preset: Preset, arms: Mapping[str, tuple[str, ...]], matching: Matching | None = None) -> Preset:
    """A testing preset for arms that state sizes of their own: label -> words that make them small, and a budget to match."""
    return replace(preset, arms=dict(arms), matching=matching)
