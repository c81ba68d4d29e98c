"""How many responses per prompt: groups of 2, 4, 8 and 16 at equal cost. GRPO+OS.

Hypothesis: larger groups have better baselines, and fewer of them have no spread of rewards at all; smaller ones see more prompts.
At equal cost the middle is best.

Arms: 128 prompts x 2 responses, 64 x 4, 32 x 8 and 16 x 16: 256 responses per update in each.
Settings: the tiny stack. Seeds: five, each with an SFT policy of its own. Budget: 20 runs of 440 000 sampled tokens (about 48
steps each) and their evaluation.
Primary: groups of 2 against groups of 8, by the mean over samples, margin 2 points.
Matching rule: equal sampled tokens. A run ends with the step in which it reaches the budget.

What cannot be matched: with responses per update fixed, prompts per update are not, nor how often the pool of 2048 prompts is gone
through (3 times with groups of 2, 0.4 times with 16). Prompts come in the same order, but not in the same steps, and sampling noise
is shared only among equal places in a step.
"""

from dataclasses import replace

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_sampled_tokens
from unified_rl.grids.presets import (
    DEFAULT,
    MARGIN,
    MARGIN_REASON,
    RESPONSES_PER_STEP,
    SAMPLED_TOKENS,
    SWEPT,
    TESTING,
    with_small_arms,
)

GROUP_SIZES = (2, 4, 8, 16)


def _arm(size: int) -> Arm:
    return Arm(f"G = {size}", ("method=grpo", *_shape(size, RESPONSES_PER_STEP)))


def _shape(size: int, responses: int) -> tuple[str, ...]:
    return (f"rollout.prompts_per_step={responses // size}", f"rollout.responses_per_prompt={size}")


GRID = Grid(
    name="group_size",
    title="Group size at equal sampled tokens",
    arms=tuple(_arm(size) for size in GROUP_SIZES),
    presets={
        "testing": with_small_arms(
            TESTING, {f"G = {size}": _shape(size, 32) for size in GROUP_SIZES}, equal_sampled_tokens(2000)
        ),
        "default": replace(DEFAULT, train=(*DEFAULT.train, "trainer.steps=80")),  # an upper limit: the budget ends a run
    },
    matching=equal_sampled_tokens(SAMPLED_TOKENS),
    starts=PER_SEED,
    primary=(Primary("G = 2", "G = 8", "avg", MARGIN, MARGIN_REASON, "below"),),
    contrasts=(("G = 2", "G = 8"), ("G = 4", "G = 8"), ("G = 16", "G = 8")),
    tuning=f"all arms have the rate of GRPO+OS with groups of 8 (1e-4), the best of {SWEPT}; the other sizes were not swept",
)
