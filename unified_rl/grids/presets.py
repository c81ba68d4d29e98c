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

DEFAULT = Preset(seeds=(0, 1, 2, 3, 4), train=("logging.curve_problems=200",), evaluate=("samples=16", "problems=200"))
#: With enough samples per problem for Pass@K and Maj@K at K = 64.
DEFAULT_COVERAGE = Preset(seeds=DEFAULT.seeds, train=DEFAULT.train, evaluate=("samples=64", "problems=200"))
#: Iterative RL: two renewals, each after 16 steps, with a control that goes on with the old reward model.
DEFAULT_ITERATED = Preset(
    seeds=DEFAULT.seeds, train=(*DEFAULT.train, "iterate.steps=16", "iterate.control_steps=32"), evaluate=None
)

#: For a grid's `tuning`: "... the best rate of {SWEPT}".
SWEPT = (
    "one sweep on the validation split with the same rates for every method (1e-5, 3e-5, 1e-4, 3e-4; seed 1000; "
    "experiments/lr_sweep.py, recorded in experiments/results/lr_sweep.csv)"
)


def with_small_arms(preset: Preset, arms: Mapping[str, tuple[str, ...]], matching: Matching | None = None) -> Preset:
    """A testing preset for arms that state sizes of their own: label -> words that make them small, and a budget to match."""
    return replace(preset, arms=dict(arms), matching=matching)
