"""One stage or two: code first and then mathematics, or both mixed, at equal tokens of mathematics (Tables 6 and 7 of the paper).

Hypothesis: what code teaches comes before mathematics rather than beside it, so that two stages need fewer tokens of
mathematics to half of the steps than one. The paper finds two stages ahead without tools (21.9 against 17.6 on GSM8K), in one
run each.

Arms: 4M tokens of code and then 1.5M of mathematics; the same mixed in one stage; mathematics alone. Of the first two also with
a constant rate.
Settings: the made-up world, half of its programs showing values and half of them telling the problem; a two-layer Llama of
width 64.
Seeds: eight. Budget: 40 runs of minutes on one core, three hours in all on an idle one.
Matching rule: equal tokens of mathematics (1.5M). Total tokens are told: 5.5M of both, 1.5M alone.

What cannot be matched: two stages restart the schedule, so that mathematics is met at the peak of the rate and then under all
of its decay, while in one stage code is under the decay too. The two arms with a constant rate have no schedule to restart:
where they differ as the others do, it is not the schedule. Mathematics comes late in two stages by definition.

Primary contrast: two stages minus one stage, by the share of the mathematics budget that is left at half of the steps; a
twentieth of the budget either way does not matter.
"""

from unified_rl.grids.definition import PER_SEED, Grid, Primary, equal_source_tokens
from unified_rl.grids.pretraining import (
    COMMON,
    MARGIN,
    MARGIN_REASON,
    MATHEMATICS,
    after,
    alone,
    default,
    mixed,
    mixed_words,
    testing,
)

TWO, ONE, ALONE = "code, then mathematics", "code and mathematics", "mathematics alone"
TWO_CONSTANT, ONE_CONSTANT = f"{TWO}, constant rate", f"{ONE}, constant rate"
CONSTANT = "pretraining.schedule=constant"

ARMS = (
    after(TWO, "code"),
    mixed(ONE, "code"),
    alone(ALONE),
    after(TWO_CONSTANT, "code", CONSTANT, settings=", schedule: constant"),
    mixed(ONE_CONSTANT, "code", CONSTANT),
)
SMALL = dict.fromkeys((ONE, ONE_CONSTANT), mixed_words("code", 2048, 2048))

GRID = Grid(
    name="one_or_two_stage",
    title="One stage or two, at equal tokens of mathematics",
    arms=ARMS,
    presets={"testing": testing(ARMS, SMALL), "default": default()},
    matching=equal_source_tokens(MATHEMATICS),
    baseline=ONE,
    contrasts=((TWO, ONE), (TWO, ALONE), (ONE, ALONE), (TWO_CONSTANT, ONE_CONSTANT)),
    primary=(Primary(TWO, ONE, metric="left_at_half", margin=MARGIN, reason=MARGIN_REASON, expected="above"),),
    common=COMMON,
    figures=(),
    tuning="all arms have one rate, chosen with mathematics alone for that arm to learn within its budget; no arm was swept",
    starts=PER_SEED,
)
