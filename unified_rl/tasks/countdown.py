"""A procedural world of search: make a target from numbers, each used once. Many solutions are right, every step can be checked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.rng import generator
from unified_rl.base.types import SPLITS, AnswerCheck, Demonstration, Problem, Split, StepCheck
from unified_rl.config.ranges import between
from unified_rl.tasks.made_problems import digest, lines_of, split_of

LARGEST_VALUE = 999
SMALLEST_NUMBER = 2
SMALLEST_TARGET, LARGEST_TARGET = 10, 99

#: Kind of problem -> how many numbers it has, and an upper bound of the targets that one set of them can have: of three numbers
#: a sum, a sum or product less or plus the third (4 with signs alone, 6 and 6), all of them multiplied; of four with signs alone,
#: half of the 16 ways to put them; else every target.
KINDS = {"three": (3, 17), "plain": (4, 8), "product": (4, LARGEST_TARGET - SMALLEST_TARGET + 1)}

# Model output is hostile: it is matched, never evaluated, and longer numbers do not match.
_STEP = re.compile(r"([0-9]{1,9}) ?([-+*]) ?([0-9]{1,9}) ?= ?([0-9]{1,9})")
_ANSWER = re.compile(r"#### ?([0-9]{1,9})")
_MAX_REDRAWS = 10_000

#: Numbers that are left, in ascending order.
Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Move:
    """One step: two of the numbers give way to their result. left >= right."""

    left: int
    op: str
    right: int

    @property
    def value(self) -> int:
        return {"+": self.left + self.right, "-": self.left - self.right, "*": self.left * self.right}[self.op]

    def __str__(self) -> str:
        return f"{self.left}{self.op}{self.right}={self.value}\n"


class Countdown:
    """Problems such as

        Make 29 from 8, 3, 7.

    whose solution takes two of the numbers at a time, puts their result in their place, and ends with what is left:

        7*3=21
        21+8=29
        #### 29

    Every number is used once, the values between lie in 0..999, and a difference is never negative. Slices: "main" (the default),
    whose training problems are demonstrated, and "hard". Main problems have, by turns, three numbers, or four that sums and
    differences alone can do; with `mixed_share`, that share of those with four need a product. Hard problems have four numbers and
    need a product. So, as long as `mixed_share` is 0, demonstrations show each difficulty apart, and the hard slice joins them.

    What the world builds in by construction:

    - A problem has many right solutions, and the order of steps is free. A step is right if and only if it is legal and the target
      can still be reached from what it leaves, which is decided by search: this is an exact process reward, the value of the best
      continuation.
    - A right answer is a legal derivation of the target, so that all of its steps are right: CoT-Pass@K is Pass@K here.
    - The demonstrator searches badly. At each step but the last it takes, with `detour_probability`, a random step in place of a
      right one, and goes on with what is left: such a demonstration mostly misses the target, and says so in its last line. A
      policy that imitates it perfectly is right less often than it could be; what it writes is always legal arithmetic. Four
      numbers that sums and differences alone can do, it does with these alone, detours included: no product of four numbers stands
      in a demonstration, right or missed, unless its problem needs one.
    - Votes are of the values that legal derivations reach; a response that is not one has no answer.
    - Of each kind, every pair of numbers and target is equally likely, and none comes twice: a split is a random order of its pool,
      so that its first problems are like its last. One in two main problems has three numbers, wherever they stand.
    - Splits are disjoint by a hash of the numbers alone, whatever the arguments: numbers that a test problem gives are given by no
      training problem, to any target.
    - Few things can be done with few numbers: a policy of random legal steps has a high Pass@K (docs/tiny_world.md).

    A number may be written with leading zeros, as in the first world.

    Args:
        seed: names the sequence of problems and the detours.
        largest: of the numbers that are given; the smallest is 2. By default there are twice as many training problems of three
            numbers as 20,000 demonstrations take.
        detour_probability: see above.
        mixed_share: of the main problems with four numbers, how many need a product as hard ones do: demonstrations then show both
            difficulties together, that often. Hard problems, and those of three numbers, are the same whatever it is; of the others
            those that it does not touch, but for a few that would come twice.

    Raises:
        ConfigError: where an argument is out of range, naming it.
    """

    name = "countdown"
    slices = ("main", "hard")

    def __init__(self, seed: int = 0, largest: int = 30, detour_probability: float = 0.35, mixed_share: float = 0.0) -> None:
        between("largest", largest, 6, 99)
        between("detour_probability", detour_probability, 0, 1)
        between("mixed_share", mixed_share, 0, 1)
        self.mixed_share = float(mixed_share)
        self.seed, self.largest, self.detour_probability = int(seed), int(largest), float(detour_probability)
        self._made: dict[tuple[str, str], tuple[list[Problem], Iterator[Problem]]] = {}

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split and slice; a larger count extends the same sequence."""
        slice = self.slices[0] if slice is None else slice
        if split not in SPLITS:
            raise ConfigError(f"split={split!r} is unknown; choose one of {', '.join(SPLITS)}")
        if slice not in self.slices:
            raise ConfigError(f"slice={slice!r} is unknown to task countdown; choose one of {', '.join(self.slices)}")
        if count is None:
            raise ConfigError("task countdown makes problems without end: say how many are wanted (count)")
        made, more = self._made.setdefault((split, slice), ([], self._stream(split, slice)))
        while len(made) < count:
            problem = next(more, None)
            if problem is None:
                raise DataError(
                    f"task countdown has only {len(made)} different {slice} problems for split {split} and {count} were asked for; "
                    "raise largest"
                )
            made.append(problem)
        return tuple(made[:count])

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """Solutions, some of which miss, of the first `count` main training problems, in their order."""
        return tuple(self._demonstrate(problem, index) for index, problem in enumerate(self.problems("train", count)))

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        """Right if the lines before the last are a legal derivation of the target from all the numbers, and the last is `#### N`.

        A last line of another form is unparsable; a derivation that is not legal, or ends elsewhere than it says, has no answer.
        Never raises on garbage.
        """
        lines = [line for _, line in lines_of(text)]
        answer = _answer_of(lines[-1]) if lines else None
        if answer is None:
            return AnswerCheck("unparsable", None, None)
        numbers, target = _facts(problem)
        left = _after(numbers, lines[:-1])
        if left != (answer,):
            return AnswerCheck("incorrect", None, None)
        return AnswerCheck("correct" if answer == target else "incorrect", str(answer), str(answer))

    def check_steps(self, problem: Problem, text: str) -> list[StepCheck]:
        """Judge every non-blank line as one step, its line break included; the answer line is the last step.

        A step is correct iff it and all before it are legal and the target can still be reached with all that is left. The answer
        line is correct iff it is the last line and says the target, which is what is left. An answer line before the last is no
        legal step, and so nothing after it is correct: the last line is, if and only if the answer is graded correct.

        Never raises on garbage. Raises DataError where `problem` is not one of this task's.
        """
        left, target = _facts(problem)
        now: Numbers | None = left
        lines, checks = lines_of(text), []
        for index, (end, line) in enumerate(lines):
            if index == len(lines) - 1 and line.startswith("####"):
                correct = now == (target,) and _answer_of(line) == target
            else:
                now = None if now is None else _applied(now, line)
                correct = now is not None and target in _reachable(now)
            checks.append(StepCheck(end, correct))
        return checks

    @staticmethod
    def solution(problem: Problem) -> str:
        """A right solution: of every step, the first in the order of `_moves`."""
        numbers, target = _facts(problem)
        return _written(numbers, lambda left: next(move for move in _moves(left) if target in _reachable(_left(left, move))))

    @staticmethod
    def corpus() -> tuple[str, ...]:
        """Texts that together hold every word of the world in every place it can take: what its tokenizer is built from."""
        return (_question((1, 1), 1), "0123456789\n", "1+1=1\n1-1=1\n1*1=1\n#### 1")

    def _stream(self, split: Split, slice: str) -> Iterator[Problem]:
        """Problems of one split and slice without repeats; ends where many draws in a row bring nothing new.

        Each place has a kind and random numbers of its own: what is drawn at one changes others only where it would come twice.
        """
        seen: set[tuple[Numbers, int]] = set()
        for place in itertools.count():
            rng = generator(self.seed, f"countdown/{split}/{slice}", place)
            drawn = _draws(rng, split, self._kind(rng, slice, place), self.largest)
            new = next((facts for facts in drawn if facts not in seen), None)
            if new is None:
                return
            seen.add(new)
            numbers, target = new
            info = {"slice": slice, "numbers": list(numbers), "target": target}
            given = tuple(numbers[turn] for turn in rng.permutation(len(numbers)))
            name = digest(f"{target} from {numbers}")
            yield Problem(f"countdown/{slice}/{name}", _question(given, target), str(target), info)

    def _kind(self, rng: np.random.Generator, slice: str, place: int) -> str:
        """The kind, in `KINDS`, of the problem at a place: of main ones, by turns, three numbers and four."""
        if slice == "hard":
            return "product"
        if place % 2 == 0:
            return "three"
        return "product" if rng.random() < self.mixed_share else "plain"

    def _demonstrate(self, problem: Problem, index: int) -> Demonstration:
        """The demonstrator's solution of training problem `index`."""
        rng = generator(self.seed, "countdown/detours", index)
        numbers, target = _facts(problem)
        # A product among four numbers would tell that the demonstration misses, if problems that need none had it in detours alone.
        products = len(numbers) == KINDS["three"][0] or target not in _reachable(numbers, products=False)

        def choose(left: Numbers) -> _Move:
            moves = _moves(left, products)
            right = [move for move in moves if target in _reachable(_left(left, move), products)]
            lost = not right or (len(left) > 2 and rng.random() < self.detour_probability)
            return (moves if lost else right)[int(rng.integers(len(moves if lost else right)))]

        text = _written(numbers, choose)
        return Demonstration(problem, text, clean=text.endswith(f"#### {target}"))


def _draws(rng: np.random.Generator, split: Split, kind: str, largest: int) -> Iterator[tuple[Numbers, int]]:
    """Numbers of the split and a target that they reach in the kind's way, every such pair equally likely; many, not without end.

    All sets of numbers are equally likely, equal numbers included, and one with few targets is often drawn in vain: else some pairs
    would be used up sooner than others, and later problems would be unlike the first.
    """
    count, most = KINDS[kind]
    values = largest - SMALLEST_NUMBER + 1
    for _ in range(_MAX_REDRAWS):
        chosen = np.sort(rng.choice(values + count - 1, count, replace=False)) - np.arange(count)  # a multiset, as a set
        numbers = tuple(SMALLEST_NUMBER + int(number) for number in chosen)
        place = int(rng.integers(most))
        if split_of(f"{numbers}") == split and place < len(targets := _targets(numbers, kind)):
            yield numbers, targets[place]


@lru_cache(maxsize=1 << 17)
def _targets(numbers: Numbers, kind: str) -> tuple[int, ...]:
    """What the numbers can be asked to make in the kind's way, in ascending order."""
    fitting = _reachable(numbers, products=kind != "plain")
    if kind == "product":
        fitting -= _reachable(numbers, products=False)
    return tuple(sorted(value for value in fitting if SMALLEST_TARGET <= value <= LARGEST_TARGET))


def _written(numbers: Numbers, choose: Callable[[Numbers], _Move]) -> str:
    """A derivation step by step, by whoever chooses the moves, and what is left at its end."""
    left, lines = numbers, []
    while len(left) > 1:
        move = choose(left)
        lines.append(str(move))
        left = _left(left, move)
    return "".join(lines) + f"#### {left[0]}"


@lru_cache(maxsize=1 << 17)
def _moves(left: Numbers, products: bool = True) -> tuple[_Move, ...]:
    """Every legal step from what is left, once each, in a fixed order."""
    pairs = {(left[j], left[i]) for i in range(len(left)) for j in range(i + 1, len(left))}
    moves = (_Move(larger, op, smaller) for larger, smaller in sorted(pairs) for op in ("+-*" if products else "+-"))
    return tuple(move for move in moves if move.value <= LARGEST_VALUE)


def _left(left: Numbers, move: _Move) -> Numbers:
    """What a legal step leaves."""
    rest = list(left)
    rest.remove(move.left)
    rest.remove(move.right)
    return tuple(sorted([*rest, move.value]))


@lru_cache(maxsize=1 << 17)
def _reachable(left: Numbers, products: bool = True) -> frozenset[int]:
    """The values that all of the numbers together can give."""
    if len(left) == 1:
        return frozenset(left)
    return frozenset().union(*(_reachable(_left(left, move), products) for move in _moves(left, products)))


def _applied(left: Numbers, line: str) -> Numbers | None:
    """What a written step leaves; None where it is not legal: numbers that are not there, a wrong result, a value out of range."""
    match = _STEP.fullmatch(line)
    if match is None:
        return None
    a, op, b, value = int(match[1]), match[2], int(match[3]), int(match[4])
    larger, smaller = (a, b) if op == "-" else (max(a, b), min(a, b))
    move = _Move(larger, op, smaller)
    has_both = left.count(a) > (a == b) and left.count(b) > 0
    return _left(left, move) if has_both and move.value == value and 0 <= value <= LARGEST_VALUE else None


def _after(numbers: Numbers, lines: Sequence[str]) -> Numbers | None:
    """What all the written steps leave; None where one is not legal."""
    left: Numbers | None = numbers
    for line in lines:
        left = None if left is None else _applied(left, line)
    return left


def _question(numbers: Numbers, target: int) -> str:
    return f"Make {target} from {', '.join(map(str, numbers))}."


def _facts(problem: Problem) -> tuple[Numbers, int]:
    """The numbers in ascending order and the target, from `problem.info`."""
    info: Mapping[str, Any] = problem.info
    try:
        return tuple(sorted(int(number) for number in info["numbers"])), int(info["target"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"problem {problem.id!r} has no readable 'numbers' and 'target' in its info, so it is not one of task countdown's; "
            "check it with the task that made it"
        ) from error


def _answer_of(line: str) -> int | None:
    """The number of an answer line, None if it is not one."""
    match = _ANSWER.fullmatch(line)
    return int(match[1]) if match else None
