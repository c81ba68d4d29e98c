"""The classes of one problem's answers, for majority votes.

The relation: two answers are in one class if both are right, or neither is and their canonical names are equal. The name is a
function of the answer alone (exact value, numbers at fixed points, sorted members of a list ...), so this is an equivalence
relation by construction, the same for any order and number of answers, and costs one computation per distinct answer. Pairwise
comparison would give neither: with tolerances, a = b and b = c do not make a = c.
"""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.grading.grade import Grader


def group(grader: Grader, answers: Sequence[str | None], gold: str | None = None) -> list[str | None]:
    """The class name of every answer; None for no answer.

    Args:
        gold: the right answer: every answer that is graded as equal to it is in its class.
    """
    names = grader.classes(answers)
    if gold is None:
        return names
    gold_name = grader.classes([gold])[0]
    verdicts = grader.judge((gold, answer) for answer in answers)
    return [
        gold_name if verdict == "correct" else None if name is None else f"not {name}" if name == gold_name else name
        for name, (verdict, _) in zip(names, verdicts, strict=True)
    ]
