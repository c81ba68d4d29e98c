"""How much does a corpus of lower quality cost? A quarter, half and three quarters of it that are not mathematics (Table 1).

Hypothesis: text that is no mathematics costs its share of the tokens, and no more: with a share s of it, half of the steps come
after 1/(1 - s) as many tokens. More would mean that it disturbs, less that it teaches something.

Arms: a corpus of 1.5M tokens of which 0, 25, 50 and 75 % of the documents are general text. Settings: the made-up world; a two-
layer Llama of width 64. Seeds: eight. Budget: 32 runs of about a minute on one core. Defined, not yet run.
Matching rule: equal tokens of the corpus, whatever is in it.

What cannot be matched: documents of other text are as long as they are, so that a quarter of the documents is not a quarter of the
tokens.
What is true by construction: less mathematics is less mathematics. The question is the price beyond that.

Primary contrast: a quarter minus none, by the share of the budget that is left at half of the steps; a twentieth does not
matter.
"""

from unified_rl.grids.definition import PER_SEED, Grid, Primary, equal_source_tokens
from unified_rl.grids.pretraining import COMMON, MARGIN, MARGIN_REASON, MATHEMATICS, alone, default, testing

SHARES = {
    "mathematics alone": 0.0,
    "a quarter is other text": 0.25,
    "half is other text": 0.5,
    "three quarters are other text": 0.75,
}
ARMS = tuple(alone(label, f"pretraining.world.noise={share:g}") for label, share in SHARES.items())
CLEAN, *NOISY = SHARES

GRID = Grid(
    name="corpus_quality",
    title="Quality of the corpus at equal tokens",
    arms=ARMS,
    presets={"testing": testing(ARMS), "default": default()},
    matching=equal_source_tokens(MATHEMATICS),
    baseline=CLEAN,
    contrasts=tuple((label, CLEAN) for label in NOISY),
    primary=(Primary(NOISY[0], CLEAN, metric="left_at_half", margin=MARGIN, reason=MARGIN_REASON),),
    common=COMMON,
    figures=(),
    tuning="all arms have one rate, chosen with the clean corpus for that arm to learn within its budget; no arm was swept",
    starts=PER_SEED,
)
