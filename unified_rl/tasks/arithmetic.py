"""A procedural world of multi-step word problems, in which the final answer and every step can be checked exactly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.rng import generator
from unified_rl.base.types import SPLITS, AnswerCheck, Demonstration, Problem, Split, StepCheck
from unified_rl.config.ranges import between
from unified_rl.tasks.made_problems import digest, lines_of, split_of

MEN, WOMEN = ("Tom", "Ben", "Sam", "Max"), ("Ann", "Eve", "Mia", "Zoe")
PEOPLE = tuple((name, "He") for name in MEN) + tuple((name, "She") for name in WOMEN)
OBJECTS = ("apples", "pens", "coins", "cards", "books", "eggs", "nuts", "stamps")
CONTAINERS = ("bags", "boxes", "packs")

# What happens to the running count. "lends" takes away as "sells" does, but is the verb that the demonstrator gets wrong.
VERBS = {"buys": "+", "finds": "+", "wins": "+", "borrows": "+", "sells": "-", "loses": "-", "uses": "-", "lends": "-"}
BULK_VERBS = ("buys", "sells")
CONFUSED_VERBS = ("lends",)

DEFAULT_SLIPS: Mapping[str, float] = {"borrow": 0.45, "carry": 0.3, "product": 0.4, "verb": 0.65}

SMALLEST_START, SMALLEST_OPERAND, MAX_VALUE = 20, 3, 999

# Half-open ranges for "3 bags of 12".
PACK_COUNTS, PACK_SIZES = (2, 6), (11, 20)

# Model output is hostile: it is matched, never evaluated, and longer numbers do not match.
_STEP = re.compile(r"([0-9]{1,9}) ?([-+*]) ?([0-9]{1,9}) ?= ?(-?[0-9]{1,9})")
_ANSWER = re.compile(r"#### ?(-?[0-9]{1,9})")

_VERB_NAMES = tuple(VERBS)
_INVERSE = {"+": "-", "-": "+"}

# Draws in a row without a new problem before a split counts as exhausted, and of slips before a demonstration is made without.
_MAX_REDRAWS = 10_000
_MAX_SLIP_DRAWS = 20


@dataclass(frozen=True, slots=True)
class _Event:
    """One sentence: `count` things, in each of `packs` containers if there are any (0: none), come or go."""

    verb: str
    count: int
    packs: int = 0

    @property
    def op(self) -> str:
        return VERBS[self.verb]

    @property
    def change(self) -> int:
        amount = self.count * max(self.packs, 1)
        return amount if self.op == "+" else -amount

    @property
    def steps(self) -> int:
        return 2 if self.packs else 1


@dataclass(frozen=True, slots=True)
class _Step:
    """One line of a solution."""

    left: int
    op: str
    right: int
    value: int

    def __str__(self) -> str:
        return f"{self.left}{self.op}{self.right}={self.value}\n"


class Arithmetic:
    """Word problems such as

        Tom has 43 apples. He buys 3 bags of 12. He loses 17. How many apples does he have?

    whose solution is one line per step and a last line with the answer:

        3*12=36
        43+36=79
        79-17=62
        #### 62

    Slices: "main" (the default), whose training problems are demonstrated, and "hard". A problem is *long* from `hard_steps[0]`
    steps on. Main problems with numbers above `max_long_operand` are never long; hard problems are long and have at least one
    such number. So demonstrations show each difficulty apart; the hard slice, outside their distribution, joins them.

    What the world builds in by construction:

    - Demonstrations are of uneven quality. In four contexts the demonstrator makes one fixed, systematic slip with the
      probability that `slip_probability` states, independently at each occurrence; the rest of the chain inherits its value:

          borrow   a subtraction whose ones digit borrows   the borrow is forgotten (the result is 10 too large)
          carry    an addition whose ones digit carries     the carry is forgotten (10 too small)
          product  a product whose ones digit carries       the carry is forgotten
          verb     a sentence with "lends"                  taken for an addition (and then done correctly)

      Slips that would lead to a count below 0 or above 999 are drawn again. So a policy that imitates perfectly is wrong in a
      known way, knows the right way too, and prefers the wrong one where the probability is above one half (by default: verb).
    - Errors are of two kinds: these slips, which are systematic, and arithmetic that a small policy has not mastered (carries
      over several digits, products, long chains), which is not.
    - Splits are disjoint by content: a hash of the chain of operations and numbers (not of names or wording, not of the seed,
      not of any argument) assigns each problem to one split. So even worlds with different arguments never train on each
      other's test problems. Within a split and slice no chain occurs twice.

    Args:
        seed: names the sequence of problems and the slips. The same arguments give the same problems.
        main_steps: (fewest, most) steps of a main problem, the answer line not counted.
        hard_steps: the same for hard problems; its lower end is where a problem counts as long.
        max_start: largest starting count.
        max_operand: largest number in a sentence without containers.
        max_long_operand: the same for long main problems.
        bulk_probability: chance that a sentence speaks of containers ("3 bags of 12"), which takes two steps.
        slip_probability: context -> probability; replaces `DEFAULT_SLIPS`, and a context left out has probability 0.

    Raises:
        ConfigError: where an argument is out of range, naming it.
    """

    name = "arithmetic"
    slices = ("main", "hard")

    def __init__(
        self,
        seed: int = 0,
        main_steps: Sequence[int] = (2, 5),
        hard_steps: Sequence[int] = (4, 5),
        max_start: int = 99,
        max_operand: int = 40,
        max_long_operand: int = 25,
        bulk_probability: float = 0.3,
        slip_probability: Mapping[str, float] | None = None,
    ) -> None:
        self.seed = int(seed)
        self.steps = {"main": _step_range("main_steps", main_steps), "hard": _step_range("hard_steps", hard_steps)}
        between("max_start", max_start, SMALLEST_START, MAX_VALUE)
        between("max_operand", max_operand, SMALLEST_OPERAND, MAX_VALUE // 2)
        self.max_start, self.max_operand = int(max_start), int(max_operand)
        if not SMALLEST_OPERAND <= max_long_operand < self.max_operand:
            raise ConfigError(
                f"max_long_operand={max_long_operand} must lie between {SMALLEST_OPERAND} and max_operand - 1 = "
                f"{self.max_operand - 1}: hard problems are long ones with larger numbers than that"
            )
        self.max_long_operand = int(max_long_operand)
        between("bulk_probability", bulk_probability, 0, 1)
        self.bulk_probability = float(bulk_probability)
        slips = DEFAULT_SLIPS if slip_probability is None else slip_probability
        if unknown := sorted(set(slips) - set(DEFAULT_SLIPS)):
            raise ConfigError(f"slip_probability names unknown contexts {unknown}; the contexts are {sorted(DEFAULT_SLIPS)}")
        for context, probability in slips.items():
            between(f"slip_probability.{context}", probability, 0, 1)
        self.slip_probability = {context: float(slips.get(context, 0.0)) for context in DEFAULT_SLIPS}
        self._made: dict[tuple[str, str], tuple[list[Problem], Iterator[Problem]]] = {}

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split and slice; a larger count extends the same sequence."""
        slice = self.slices[0] if slice is None else slice
        if split not in SPLITS:
            raise ConfigError(f"split={split!r} is unknown; choose one of {', '.join(SPLITS)}")
        if slice not in self.slices:
            raise ConfigError(f"slice={slice!r} is unknown to task arithmetic; choose one of {', '.join(self.slices)}")
        if count is None:
            raise ConfigError("task arithmetic makes problems without end: say how many are wanted (count)")
        made, more = self._made.setdefault((split, slice), ([], self._stream(split, slice)))
        while len(made) < count:
            problem = next(more, None)
            if problem is None:
                raise DataError(
                    f"task arithmetic has only {len(made)} different {slice} problems for split {split} and {count} were asked "
                    f"for; raise max_operand or widen {slice}_steps"
                )
            made.append(problem)
        return tuple(made[:count])

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """Solutions, some with slips, of the first `count` main training problems, in their order."""
        return tuple(self._demonstrate(problem, index) for index, problem in enumerate(self.problems("train", count)))

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        """Grade the last non-blank line, which must be `#### N`; any other ending is unparsable. Never raises on garbage."""
        lines = lines_of(text)
        answer = _answer_of(lines[-1][1]) if lines else None
        if answer is None:
            return AnswerCheck("unparsable", None, None)
        return AnswerCheck("correct" if answer == problem.gold else "incorrect", answer, answer)

    def check_steps(self, problem: Problem, text: str) -> list[StepCheck]:
        """Judge every non-blank line as one step, its line break included; the answer line is the last step.

        Line k is correct iff it is step k of the problem: the right operation on the right operands (in either order where the
        operation commutes) with the right result. Values are those of the *problem*: a step that computes faithfully from an
        earlier wrong value is wrong too, and so is everything after a skipped or an added step. The answer line is correct iff
        it is the last line and its value is the problem's answer, whatever the steps before it.

        Never raises on garbage. Raises DataError where `problem` is not one of this task's.
        """
        chain, lines = _solve(*_facts(problem)), lines_of(text)
        checks = []
        for index, (end, line) in enumerate(lines):
            if line.startswith("####"):
                correct = index == len(lines) - 1 and _answer_of(line) == problem.gold
            else:
                correct = index < len(chain) and _is_step(line, chain[index])
            checks.append(StepCheck(end, correct))
        return checks

    @staticmethod
    def solution(problem: Problem) -> str:
        """The right solution, as a demonstrator without slips writes it."""
        return _write(_solve(*_facts(problem)))

    @staticmethod
    def corpus() -> tuple[str, ...]:
        """Texts that together hold every word of the world in every place it can take: what its tokenizer is built from."""
        events = [_Event(verb, 1) for verb in VERBS] + [_Event(verb, 1, 1) for verb in BULK_VERBS]
        questions = [
            _question(person, thing, container, 1, events) for person in PEOPLE for thing in OBJECTS for container in CONTAINERS
        ]
        return (*questions, "0123456789\n", "1+1=1\n1-1=1\n1*1=1\n#### 1")

    def _stream(self, split: Split, slice: str) -> Iterator[Problem]:
        """Problems of one split and slice without repeats; ends where many draws in a row bring nothing new."""
        rng = generator(self.seed, f"arithmetic/{split}/{slice}")
        seen: set[str] = set()
        redraws = 0
        while redraws < _MAX_REDRAWS:
            start, events = self._draw_facts(rng, slice)
            content = _content(start, events)
            redraws += 1
            if split_of(content) == split and content not in seen:
                seen.add(content)
                redraws = 0
                yield self._word(rng, slice, start, events)

    def _draw_facts(self, rng: np.random.Generator, slice: str) -> tuple[int, list[_Event]]:
        """A starting count and what happens to it."""
        while True:
            start = int(rng.integers(SMALLEST_START, self.max_start + 1))
            steps = int(rng.integers(self.steps[slice][0], self.steps[slice][1] + 1))
            long = slice == "main" and steps >= self.steps["hard"][0]
            events = self._draw_events(rng, start, steps, self.max_long_operand if long else self.max_operand)
            if slice == "main" or any(self._is_large(event) for event in events):
                return start, events

    def _is_large(self, event: _Event) -> bool:
        """Whether long demonstrations leave this sentence out."""
        return not event.packs and event.count > self.max_long_operand

    def _draw_events(self, rng: np.random.Generator, count: int, steps: int, max_operand: int) -> list[_Event]:
        """Sentences that take `steps` steps together and keep the running count between 0 and MAX_VALUE."""
        events: list[_Event] = []
        while steps:
            event = self._draw_event(rng, steps, max_operand)
            if 0 <= count + event.change <= MAX_VALUE:
                events.append(event)
                count += event.change
                steps -= event.steps
        return events

    def _draw_event(self, rng: np.random.Generator, steps: int, max_operand: int) -> _Event:
        """A sentence of at most `steps` steps."""
        if steps >= 2 and rng.random() < self.bulk_probability:
            return _Event(
                BULK_VERBS[rng.integers(len(BULK_VERBS))], int(rng.integers(*PACK_SIZES)), int(rng.integers(*PACK_COUNTS))
            )
        return _Event(_VERB_NAMES[rng.integers(len(_VERB_NAMES))], int(rng.integers(SMALLEST_OPERAND, max_operand + 1)))

    def _word(self, rng: np.random.Generator, slice: str, start: int, events: Sequence[_Event]) -> Problem:
        """The facts in words."""
        person = PEOPLE[rng.integers(len(PEOPLE))]
        thing, container = (words[rng.integers(len(words))] for words in (OBJECTS, CONTAINERS))
        info = {
            "slice": slice,
            "steps": sum(event.steps for event in events),
            "start": start,
            "events": [[event.verb, event.count, event.packs] for event in events],
        }
        question = _question(person, thing, container, start, events)
        gold = start + sum(event.change for event in events)
        return Problem(f"arithmetic/{slice}/{digest(_content(start, events))}", question, str(gold), info)

    def _demonstrate(self, problem: Problem, index: int) -> Demonstration:
        """The demonstrator's solution of training problem `index`."""
        rng = generator(self.seed, "arithmetic/slips", index)
        right = self.solution(problem)
        for _ in range(_MAX_SLIP_DRAWS):
            steps = _solve(*_facts(problem), lambda context: rng.random() < self.slip_probability[context])
            if all(0 <= step.value <= MAX_VALUE for step in steps):
                text = _write(steps)
                return Demonstration(problem, text, clean=text == right)
        return Demonstration(problem, right)


def _solve(start: int, events: Sequence[_Event], slips: Callable[[str], bool] = lambda context: False) -> list[_Step]:
    """The chain of steps. `slips(context)` is asked wherever a step lies in a slip context."""
    steps, count = [], start
    for event in events:
        amount = event.count
        if event.packs:
            steps.append(_work_out(event.packs, "*", event.count, slips))
            amount = steps[-1].value
        op = event.op
        confused = event.verb in CONFUSED_VERBS and slips("verb")
        steps.append(_work_out(count, _INVERSE[op], amount) if confused else _work_out(count, op, amount, slips))
        count = steps[-1].value
    return steps


def _work_out(left: int, op: str, right: int, slips: Callable[[str], bool] = lambda context: False) -> _Step:
    """One operation, the carry or borrow of its ones digits forgotten where `slips` says so."""
    if op == "-":
        context, forgotten, exact = "borrow", -10 * (left % 10 < right % 10), left - right
    elif op == "+":
        context, forgotten, exact = "carry", 10 * (left % 10 + right % 10 >= 10), left + right
    else:
        context, forgotten, exact = "product", left * (right % 10) // 10 * 10, left * right
    return _Step(left, op, right, exact - forgotten if forgotten and slips(context) else exact)


def _write(steps: Sequence[_Step]) -> str:
    return "".join(str(step) for step in steps) + f"#### {steps[-1].value}"


def _question(person: tuple[str, str], thing: str, container: str, start: int, events: Sequence[_Event]) -> str:
    name, pronoun = person
    sentences = [f"{name} has {start} {thing}."]
    for event in events:
        amount = f"{event.packs} {container} of {event.count}" if event.packs else f"{event.count}"
        sentences.append(f"{pronoun} {event.verb} {amount}.")
    return " ".join([*sentences, f"How many {thing} does {pronoun.lower()} have?"])


def _facts(problem: Problem) -> tuple[int, list[_Event]]:
    """The starting count and the events, from `problem.info`."""
    info: Mapping[str, Any] = problem.info
    try:
        return info["start"], [_Event(*event) for event in info["events"]]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"problem {problem.id!r} has no readable 'start' and 'events' in its info, so it is not one of task arithmetic's; "
            "check it with the task that made it"
        ) from error


def _content(start: int, events: Sequence[_Event]) -> str:
    """What makes two problems the same: numbers and operations, whatever the words."""
    return str(start) + "".join(f" {event.op}{event.packs or 1}*{event.count}" for event in events)


def _answer_of(line: str) -> str | None:
    """The canonical integer of an answer line, None if it is not one."""
    match = _ANSWER.fullmatch(line)
    return str(int(match[1])) if match else None


def _is_step(line: str, step: _Step) -> bool:
    match = _STEP.fullmatch(line)
    if match is None:
        return False
    left, op, right, value = int(match[1]), match[2], int(match[3]), int(match[4])
    operands = (left, right) == (step.left, step.right) or (op in "+*" and (right, left) == (step.left, step.right))
    return op == step.op and operands and value == step.value


def _step_range(field: str, steps: Sequence[int]) -> tuple[int, int]:
    if len(steps) != 2 or not 1 <= steps[0] <= steps[1] <= 20:
        raise ConfigError(f"{field}={list(steps)} must be two numbers [fewest, most] between 1 and 20")
    return int(steps[0]), int(steps[1])
