"""Responses around a gold answer: sentences that give it as the answer, and sentences that do not although it stands in them."""

from __future__ import annotations

from random import Random

from tools.grading_mutations.changes import number_of
from tools.grading_mutations.respellings import in_prose

RIGHT = {
    "sentence: answer": (
        "The answer is $GOLD$.",
        "We add the two parts. The final answer is $GOLD$, as required.",
        "So the answer is $GOLD$ (see above).",
        "**Final answer:** $GOLD$",
        "Adding up, we get the result.\n\nFinal Answer: $GOLD$",
        "所以答案是$GOLD$。",
    ),
    "sentence: box": (
        "Therefore we get $\\boxed{GOLD}$.",
        "Hence the answer is \\boxed{GOLD}",
        "First I had \\boxed{77777}. That was a slip; the result is \\boxed{GOLD}.",
        "<think>maybe \\boxed{77777}</think>\n\nThe answer is $\\boxed{GOLD}$.",
        "\\[\\boxed{GOLD}\\]\nI hope it is correct.",
    ),
}
WRONG = {
    "sentence: negation": (
        "The answer is not $GOLD$.",
        "The answer cannot be $GOLD$.",
        "It is wrong to think that the answer is $GOLD$.",
        "A frequent wrong answer is $GOLD$.",
        "The answer is surely not $GOLD$.",
        "The answer isn't $GOLD$.",
        "答案不是$GOLD$。",
        "The answer is anything but $GOLD$.",
        "It is impossible that the answer is $GOLD$.",
        "The answer is different from $GOLD$.",
        "So $GOLD$ cannot be the answer.",
        "答案不可能是$GOLD$。",
    ),
    "sentence: supposition": (
        "Suppose that the answer is $GOLD$. That contradicts the first line.",
        "If the answer is $GOLD$, two of the sides are equal, which they are not.",
        "Is the answer $GOLD$? I cannot tell.",
        "Somebody may say that the answer is $GOLD$.",
        "假设答案是$GOLD$，则矛盾。",
    ),
    "sentence: later box": (
        "A first guess: \\boxed{GOLD}. In the end I get \\boxed{}.",
        "A first guess: \\boxed{GOLD}. In the end I get \\boxed{",
        "A first guess: \\boxed{GOLD}. The final answer is \\boxed{77777}.",
        "The answer is $GOLD$. Let me redo this: \\boxed{77777}",
    ),
}
WRONG_OF_NUMBERS = {
    "sentence: bound": (
        "The answer is more than $GOLD$.",
        "The answer is less than $GOLD$.",
        "The answer is at most $GOLD$.",
        "The answer is larger than $GOLD$.",
        "The answer is no less than $GOLD$.",
        "The answer exceeds $GOLD$.",
        "The answer is below $GOLD$.",
        "答案大于$GOLD$。",
    ),
    "sentence: what follows": (
        "The answer is $GOLD$ thousand.",
        "The answer is $GOLD$ squared.",
        "The answer is $GOLD$ times $n$.",
        "The answer is $GOLD$/$7$.",
        "The answer is $GOLD$ + $5$.",
        "The answer is $GOLD$ million.",
        "The answer is $GOLD$ minus $x$.",
        "The answer is \\boxed{GOLD} million.",
        "The answer is twice $GOLD$.",
        "The answer is the square root of $GOLD$.",
        "The answer is a multiple of $GOLD$.",
        "The answer is $GOLD$ plus a constant.",
    ),
    "sentence: several": (
        "The answer is $GOLD$ or $77777$.",
        "The answer is $77777$ or $GOLD$.",
        "The answer is between $GOLD$ and $77777$.",
        "The roots are $77777$ and $GOLD$.",
    ),
}


def right_response(kind: str, gold: str, chance: Random) -> str | None:
    """A response whose answer is `gold`; None where `gold` is no formula."""
    if in_prose(gold):
        return None
    return chance.choice(RIGHT[kind]).replace("GOLD", gold)


def wrong_response(kind: str, gold: str, chance: Random) -> str | None:
    """A response that names `gold` and does not give it as the answer; None where the sentence would not be wrong of it."""
    if kind in WRONG:
        return chance.choice(WRONG[kind]).replace("GOLD", gold)
    if number_of(gold) in (None, -1, 0, 1, 77777):  # -1 squared may be read as -1
        return None
    return chance.choice(WRONG_OF_NUMBERS[kind]).replace("GOLD", gold)
