"""The command line: grades mutations and prints the false verdicts of each kind."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

from tools.grading_mutations import Mutation, mutations
from tools.grading_mutations.golds import ordinary, read_golds
from unified_rl.grading import Grader, benchmark_policy
from unified_rl.grading.grade import Verdicted, grade_with

DEFAULTS = {"golds": "", "seed": "0", "count": "5000", "policy": "math", "workers": "1", "examples": "3"}


def main(words: list[str]) -> int:
    settings = DEFAULTS | dict(word.split("=", 1) for word in words)
    if unknown := sorted(set(settings) - set(DEFAULTS)):
        print(f"{unknown[0]} is no setting; there are {', '.join(DEFAULTS)}", file=sys.stderr)
        return 2
    golds = read_golds(Path(settings["golds"])) if settings["golds"] else ordinary()
    if not golds:
        print(f"{settings['golds']} has no golds; give JSON records with answer or gold, or one gold a line", file=sys.stderr)
        return 2
    made = list(mutations(golds, int(settings["seed"]), int(settings["count"])))
    start = time.perf_counter()
    with Grader(benchmark_policy(settings["policy"]), workers=int(settings["workers"])) as grader:
        graded = grade_with(grader, [mutation.record() for mutation in made])
    print(f"{len(made)} mutations of {len(golds)} golds, seed {settings['seed']}: {time.perf_counter() - start:.1f} s")
    return report(list(zip(made, graded, strict=True)), int(settings["examples"]))


def report(pairs: list[tuple[Mutation, Verdicted]], examples: int) -> int:
    """One line for each kind, false positives first, with examples; 1 if a verdict is false."""
    kinds: dict[tuple[bool, str], list[tuple[Mutation, Verdicted]]] = defaultdict(list)
    for mutation, one in pairs:
        kinds[mutation.right, mutation.kind].append((mutation, one))
    for (right, kind), of_kind in sorted(kinds.items()):
        false = [(mutation, one) for mutation, one in of_kind if one.correct != right]
        print(f"{'spelling' if right else 'meaning '}  {kind:24} {len(of_kind):6} graded {len(false):5} false verdicts")
        for mutation, one in false[:examples]:
            print(f"    {mutation.gold!r}  {mutation.text!r}  {one.verdict}, extracted {one.extracted!r}")
    positives, negatives = (sum(m.right == right for m, _ in pairs) for right in (True, False))
    missed = sum(m.right and not one.correct for m, one in pairs)
    fooled = sum(one.correct and not m.right for m, one in pairs)
    print(f"changes of meaning called correct: {fooled} of {negatives}; of spelling called wrong: {missed} of {positives}")
    return int(missed + fooled > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
