"""A task learnt in thirty steps: write two letters, heads wanted. Demonstrations toss a fair coin, so SFT is right half the time.

It reaches the library as any user's task does, by path; runs on it take seconds and still have rewards that differ.
"""

from __future__ import annotations

from unified_rl.base import rng
from unified_rl.base.types import AnswerCheck, Demonstration, Problem, StepCheck

STARTS = {"train": 0, "validation": 100_000, "test": 200_000}


class Coin:
    name = "coin"
    slices = ("main", "hard")

    def corpus(self):
        return ("toss 0123456789:\n", "H\nT\n")

    def problems(self, split, count=None, slice=None):
        start = STARTS[split] + (50_000 if slice == "hard" else 0)
        return [Problem(f"coin/{start + i}", f"toss {start + i}", "H") for i in range(count or 64)]

    def demonstrations(self, count=None):
        return [self._demonstrate(problem, i) for i, problem in enumerate(self.problems("train", count))]

    def _demonstrate(self, problem, index):
        first, last = ("HT"[side] for side in rng.generator(0, "coin", index).integers(0, 2, 2))
        extra = "\nH" * (index % 4)  # lengths differ
        return Demonstration(problem, f"{first}{extra}\n{last}", clean=last == "H")

    def check_answer(self, problem, text):
        letter = text.strip().splitlines()[-1] if text.strip() else ""
        if letter not in ("H", "T"):
            return AnswerCheck("unparsable", None, None)
        return AnswerCheck("correct" if letter == problem.gold else "incorrect", letter, letter)

    def check_steps(self, problem, text):
        checks, end = [], 0
        for line in text.splitlines(keepends=True):
            end += len(line)
            checks.append(StepCheck(end, line.strip() == "H"))
        return checks
