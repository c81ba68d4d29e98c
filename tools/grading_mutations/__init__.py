"""Changes of gold answers whose verdict is known: what is meant is changed, or the spelling alone; counted where a grader errs.

    python -m tools.grading_mutations [golds=FILE] [seed=0] [count=5000] [policy=math] [workers=1] [examples=3]

prints, for each kind of change, how many were graded and how many verdicts were false. Exits 1 if any was.
With the policy of a benchmark that allows a tolerance (ocw), changes of a digit within it are rightly called correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from tools.grading_mutations.changes import CERTAIN, PROVED, wrong_answer
from tools.grading_mutations.respellings import RESPELLINGS, right_answer
from tools.grading_mutations.sentences import RIGHT, WRONG, WRONG_OF_NUMBERS, right_response, wrong_response

Maker = Callable[[str, Random], str | None]

#: (kind, field of the record, whether the verdict is "correct", maker)
KINDS: tuple[tuple[str, str, bool, Maker], ...] = (
    *((kind, "prediction", False, partial(wrong_answer, kind)) for kind in (*PROVED, *CERTAIN)),
    *((kind, "prediction", True, partial(right_answer, kind)) for kind in (*RESPELLINGS, "several at once")),
    *((kind, "response", False, partial(wrong_response, kind)) for kind in (*WRONG, *WRONG_OF_NUMBERS)),
    *((kind, "response", True, partial(right_response, kind)) for kind in RIGHT),
)
_OF_A_GOLD = 8  # mutations in one round


@dataclass(frozen=True, slots=True)
class Mutation:
    """A gold answer and a changed one (`field`: "prediction"), or a response with it ("response"); `right` is the true verdict."""

    kind: str
    gold: str
    field: str
    text: str
    right: bool

    def record(self) -> dict[str, str]:
        return {"gold": self.gold, self.field: self.text}


def mutations(golds: Sequence[str], seed: int, count: int) -> Iterator[Mutation]:
    """`count` different mutations, or fewer where the golds give no more; the same for the same golds and seed.

    Golds come in random order; each gives eight mutations in a round, of the kinds that are fewest so far.
    """
    chance = Random(seed)
    sizes: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for _ in range(20):  # rounds: the changes within a gold are drawn anew
        for gold in chance.sample(list(golds), len(golds)):
            for mutation in _of_gold(gold, chance, sizes, seen):
                if len(seen) > count:
                    return
                yield mutation


def _of_gold(gold: str, chance: Random, sizes: Counter[str], seen: set[tuple[str, str]]) -> Iterator[Mutation]:
    """New mutations of one gold; `sizes` and `seen` count them."""
    made = 0
    for kind, field, right, maker in sorted(KINDS, key=lambda entry: sizes[entry[0]]):
        text = maker(gold, chance)
        if text is not None and (gold, text) not in seen:
            made += 1
            sizes[kind] += 1
            seen.add((gold, text))
            yield Mutation(kind, gold, field, text, right)
        if made == _OF_A_GOLD:
            return
