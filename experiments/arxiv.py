"""Does arXiv-like text help before mathematics? (Tables 8 and 9 of the paper.) Defined, not yet run.

Hypothesis: no. The paper finds nothing, or a loss, on every benchmark.

Arms: before 1.5M tokens of mathematics, 4M of arXiv-like text; of general text; nothing.
Settings: the made-up world; a two-layer Llama of width 64. Seeds: eight. Budget: 24 runs of minutes on one core.
Matching rule: equal tokens of mathematics (1.5M).

What cannot be matched: total tokens, which are told (5.5M, and 1.5M for nothing before).
True by construction: arXiv-like text of this world has letters in place of numbers and no worked problem, so that on it alone
nothing of the problems could be learnt; that is no finding, and no arm. What is asked is whether it helps or harms what comes
after.

Primary contrast: arXiv-like text minus nothing, by the share of the mathematics budget that is left at half of the steps; a
twentieth of the budget either way does not matter.
"""

from unified_rl.grids.definition import PER_SEED, Grid, Primary, equal_source_tokens
from unified_rl.grids.pretraining import COMMON, MARGIN, MARGIN_REASON, MATHEMATICS, after, alone, default, testing

ARXIV, GENERAL, ALONE = "arXiv-like, then mathematics", "general, then mathematics", "mathematics alone"
ARMS = (after(ARXIV, "arxiv"), after(GENERAL, "general"), alone(ALONE))

GRID = Grid(
    name="arxiv",
    title="arXiv-like text before mathematics",
    arms=ARMS,
    presets={"testing": testing(ARMS), "default": default()},
    matching=equal_source_tokens(MATHEMATICS),
    baseline=ALONE,
    contrasts=((ARXIV, ALONE), (GENERAL, ALONE), (ARXIV, GENERAL)),
    primary=(Primary(ARXIV, ALONE, metric="left_at_half", margin=MARGIN, reason=MARGIN_REASON),),
    common=COMMON,
    figures=(),
    tuning="all arms have one rate, chosen with mathematics alone for that arm to learn within its budget; no arm was swept",
    starts=PER_SEED,
)
