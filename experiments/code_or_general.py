"""Code or general text before mathematics, and what in code it is: values that are shown, comments that tell the problem.

Hypothesis: code helps where it shows results of computations, since that is what is hard to learn, and little by its comments;
general text, which holds no number, helps less than any code. The paper finds code ahead of general text (Table 6) and does not
ask why.

Arms: before 1.5M tokens of mathematics, 4M of general text; of code with half of its programs showing values and half telling
the problem; of code with neither, only the one, only the other; nothing.
Settings: the made-up world; a two-layer Llama of width 64.
Seeds: eight. Budget: 48 runs of minutes on one core, four hours in all on an idle one.
Matching rule: equal tokens of mathematics (1.5M). Total tokens are told: 5.5M, and 1.5M for nothing before.

True by construction: general text has no digit, so what it can teach is words and how text goes on; code without values has no
result of a computation but loads of operands and operators. What is measured is what these are worth, not that they differ.
What cannot be matched: programs that show more are longer, so that fewer of them make 4M tokens.

Primary contrast: code (half and half) minus general text, by the share of the mathematics budget that is left at half of the
steps; a twentieth of the budget either way does not matter.
"""

from unified_rl.grids.definition import PER_SEED, Grid, Primary, equal_source_tokens
from unified_rl.grids.pretraining import COMMON, MARGIN, MARGIN_REASON, MATHEMATICS, after, alone, default, testing

CODE, GENERAL, ALONE = "code, then mathematics", "general, then mathematics", "mathematics alone"
PLAIN, VALUES, TELLING = ("code without values or comments", "code with values", "code with comments")


def _code(label: str, values: float, comments: float):
    return after(label, "code", f"pretraining.world.shows_values={values:g}", f"pretraining.world.paraphrases={comments:g}")


ARMS = (
    after(CODE, "code"),
    after(GENERAL, "general"),
    alone(ALONE),
    _code(PLAIN, 0, 0),
    _code(VALUES, 1, 0),
    _code(TELLING, 0, 1),
)

GRID = Grid(
    name="code_or_general",
    title="Code or general text before mathematics",
    arms=ARMS,
    presets={"testing": testing(ARMS), "default": default()},
    matching=equal_source_tokens(MATHEMATICS),
    baseline=GENERAL,
    contrasts=(
        (CODE, GENERAL),
        (GENERAL, ALONE),
        (CODE, ALONE),
        (PLAIN, GENERAL),
        (VALUES, PLAIN),
        (TELLING, PLAIN),
    ),
    primary=(Primary(CODE, GENERAL, metric="left_at_half", margin=MARGIN, reason=MARGIN_REASON, expected="above"),),
    common=COMMON,
    figures=(),
    tuning="all arms have one rate, chosen with mathematics alone for that arm to learn within its budget; no arm was swept",
    starts=PER_SEED,
)
