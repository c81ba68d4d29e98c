"""Grading many answers: what models wrote is read in killable workers, plain numbers apart; results are kept by content.

An item that is too slow, too large or crashes its worker is not correct, says so in its verdict, and costs no other item anything.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import AnswerCheck, Problem, Verdict
from unified_rl.grading.extract import FORMATS, MAX_ANSWER, MAX_TAIL, Format, may_announce
from unified_rl.grading.numbers import Number, read_number
from unified_rl.grading.policies import GradingPolicy
from unified_rl.isolation import Limits, Outcome, Pool

HANDLER = "unified_rl.grading.worker:serve"
CACHE_ITEMS = 200_000
_NO_WORKER = 128  # answers longer than this are not tried as plain numbers


@dataclass(frozen=True, slots=True)
class Verdicted:
    """One graded record.

    Attributes:
        id: the record's own id, None where it has none.
        extracted: the final answer as it was written, None where none was found.
        verdict: "unparsable": no answer, or one that is too long, takes too much memory, or crashes the worker.
        reason: in a word or two, where the verdict is not plain ("no answer", "too long", "memory", "crashed").
    """

    id: object
    extracted: str | None
    verdict: Verdict
    reason: str = ""

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"


class Reading(NamedTuple):
    """What was found in a text: the answer; or, where reading it failed, the verdict on it."""

    answer: str | None
    failure: tuple[Verdict, str] | None = None


class Grader:
    """Grades answers with a warm pool of workers and a cache.

    Args:
        policy: the settings of what counts as equal.
        limits: per item and deed (reading a text, comparing two answers, naming a class): seconds, memory, output.
        workers: processes; None for one per core. They start when an answer first needs one.
        max_answer: characters; a longer prediction is unparsable.

    Deterministic: a verdict depends on gold, answer and policy alone, but for time limits. Verdicts of items that hit a limit are
    not cached. Use as a context manager, or `close` it; it also ends with the process.
    """

    def __init__(
        self,
        policy: GradingPolicy | None = None,
        limits: Limits | None = None,
        workers: int | None = None,
        max_answer: int = 1500,
    ) -> None:
        self.policy = policy or GradingPolicy()
        self.limits = limits or Limits()
        self.max_answer = min(max_answer, MAX_ANSWER - 1)
        self._pool = Pool(HANDLER, self.limits, workers)
        self._policy = asdict(self.policy)
        self._cache: OrderedDict[bytes, Any] = OrderedDict()

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; the cache stays, and they start again when needed."""
        self._pool.close()

    def read(self, texts: Sequence[str], format: Format = "auto") -> list[Reading]:
        """The final answer of each response; see `extract`."""
        settings = {"format": format, "unmarked": self.policy.unmarked, "boxes": self.policy.boxes}
        return self._readings([{"response": text[-MAX_TAIL:], **settings} for text in texts])

    def bare(self, predictions: Sequence[str]) -> list[Reading]:
        """Each prediction without a box or "the answer is" around it."""
        readings = [Reading(prediction) for prediction in predictions]
        asked = [place for place, prediction in enumerate(predictions) if may_announce(prediction[-MAX_TAIL:])]
        answers = self._readings([{"announced": predictions[place][-MAX_TAIL:]} for place in asked])
        for place, reading in zip(asked, answers, strict=True):
            readings[place] = reading
        return readings

    def _readings(self, payloads: list[dict[str, Any]]) -> list[Reading]:
        outcomes = self._pool.map(payloads)
        return [Reading(one.value) if one.status == "done" else Reading(None, _verdict(one)) for one in outcomes]

    def judge_readings(self, golds: Sequence[str], readings: Sequence[Reading]) -> list[tuple[Verdict, str]]:
        """(verdict, reason) of each reading against its gold answer."""
        judged = iter(self.judge((gold, one.answer) for gold, one in zip(golds, readings, strict=True) if not one.failure))
        return [one.failure or next(judged) for one in readings]

    def judge(self, pairs: Iterable[tuple[str, str | None]]) -> list[tuple[Verdict, str]]:
        """(verdict, reason) of each pair of gold answer and extracted prediction."""
        pairs = list(pairs)
        verdicts: dict[int, tuple[Verdict, str]] = {}
        asked: dict[bytes, list[int]] = {}
        for index, pair in enumerate(pairs):
            if (verdict := self._quick(*pair)) is not None:
                verdicts[index] = verdict
            else:
                asked.setdefault(_content(*pair), []).append(index)
        known: dict[bytes, tuple[Verdict, str]] = {
            content: value for content in asked if (value := self._recall(content)) is not None
        }
        missing = [content for content in asked if content not in known]
        payloads = [self._payload(*pairs[asked[content][0]]) for content in missing]
        for content, outcome in zip(missing, self._pool.map(payloads), strict=True):
            known[content] = self._keep(content, _verdict(outcome), outcome)
        for content, indices in asked.items():
            for index in indices:
                verdicts[index] = known[content]
        return [verdicts[index] for index in range(len(pairs))]

    def classes(self, answers: Sequence[str | None]) -> list[str | None]:
        """The name of each answer's class: equal names are equal answers. None without an answer.

        A name depends on the answer and the policy alone, so the classes are an equivalence relation whatever the order or number
        of answers. An answer whose name cannot be computed in the limits is a class of its own spelling.
        """
        names: list[str | None] = [self._quick_class(answer) if answer else None for answer in answers]
        asked: dict[bytes, list[int]] = {}
        for index, answer in enumerate(answers):
            if answer and names[index] is None:
                asked.setdefault(_content("class", answer), []).append(index)
        known = {content: self._recall(content) for content in asked}
        missing = [content for content, value in known.items() if value is None]
        payloads = [{"answer": answers[asked[content][0]], "policy": self._policy} for content in missing]
        for content, outcome in zip(missing, self._pool.map(payloads), strict=True):
            answer = str(answers[asked[content][0]])
            name = outcome.value if outcome.status == "done" and outcome.value else _spelled(answer)
            known[content] = self._keep(content, name, outcome)
        for content, indices in asked.items():
            for index in indices:
                names[index] = known[content]
        return names

    def explain(self, pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """How each gold answer and prediction was read, and what the verdict rests on; see `unified_rl.grading.explain`."""
        payloads = [{"explained": gold, "prediction": prediction, "policy": self._policy} for gold, prediction in pairs]
        outcomes = self._pool.map(payloads)
        return [one.value if one.status == "done" else {"rests_on": _verdict(one)[1]} for one in outcomes]

    def check_answers(self, golds: Sequence[str], texts: Sequence[str], format: Format = "auto") -> list[AnswerCheck]:
        """Extract, grade and name the class of each response's answer. A right answer's class is the gold answer's.

        Raises:
            ConfigError: an unknown format.
        """
        if format not in FORMATS:
            raise ConfigError(f"format={format!r} is unknown; choose one of {', '.join(FORMATS)}")
        readings = self.read(texts, format)
        answers = [reading.answer for reading in readings]
        verdicts = self.judge_readings(golds, readings)
        right = [verdict == "correct" for verdict, _ in verdicts]
        names = self.classes([gold if good else answer for gold, good, answer in zip(golds, right, answers, strict=True)])
        gold_names = self.classes(list(golds))
        checks = []
        for answer, (verdict, _), name, gold_name in zip(answers, verdicts, names, gold_names, strict=True):
            if verdict in ("unparsable", "timeout"):
                checks.append(AnswerCheck(verdict, answer, None))
            else:  # a class named like the gold answer's, but judged wrong, is kept apart from it
                apart = verdict == "incorrect" and name == gold_name
                checks.append(AnswerCheck(verdict, answer, f"not {name}" if apart else name))
        return checks

    def check_answer(self, problem: Problem, text: str, format: Format = "auto") -> AnswerCheck:
        """Grade one response, as a task does."""
        return self.check_answers([problem.gold], [text], format)[0]

    # --- in this process

    def _quick(self, gold: str, prediction: str | None) -> tuple[Verdict, str] | None:
        """The verdict where it needs no mathematics: nothing extracted, too long, two plain numbers, or the same string."""
        if not prediction or not prediction.strip():
            return "unparsable", "no answer"
        if len(prediction) > self.max_answer or len(gold) > MAX_ANSWER:
            return "unparsable", "too long"
        if prediction == gold:
            return "correct", ""
        left, right = _plain(gold), _plain(prediction)
        if left is None or right is None:
            return None
        if left.value == right.value:
            return "correct", ""
        if left.digits is None and right.digits is None and not self.policy.relative_tolerance:
            return "incorrect", ""
        return None

    def _quick_class(self, answer: str) -> str | None:
        if len(answer) > self.max_answer:
            return _spelled(answer)
        number = _plain(answer)
        return None if number is None else str(number.value)

    def _payload(self, gold: str, prediction: str | None) -> dict[str, Any]:
        return {"gold": gold, "prediction": prediction, "policy": self._policy}

    # --- cache

    def _recall(self, content: bytes) -> Any | None:
        value = self._cache.get(content)
        if value is not None:
            self._cache.move_to_end(content)
        return value

    def _keep(self, content: bytes, value: Any, outcome: Outcome) -> Any:
        if outcome.status in ("done", "failed"):
            self._cache[content] = value
            if len(self._cache) > CACHE_ITEMS:
                self._cache.popitem(last=False)
        return value


def grade(
    records: Iterable[Mapping[str, Any]],
    policy: GradingPolicy | None = None,
    limits: Limits | None = None,
    workers: int | None = None,
    format: Format = "auto",
) -> list[Verdicted]:
    """Grade records, in order.

    Args:
        records: each with `gold` (text or number) and either `prediction` (an answer) or `response` (a text to find it in); `id`
            is passed on. Without `gold` there is only the extraction: "incorrect" where an answer was found.

    Raises:
        DataError: a record has neither `prediction` nor `response`, or a field is not text.
    """
    with Grader(policy, limits, workers) as grader:
        return grade_with(grader, list(records), format)


def grade_with(grader: Grader, records: Sequence[Mapping[str, Any]], format: Format = "auto") -> list[Verdicted]:
    """`grade` with a grader of one's own, kept warm."""
    golds = [_text(place, record, "gold") for place, record in enumerate(records, 1)]
    readings = _read(grader, records, format)
    graded = [place for place, gold in enumerate(golds) if gold is not None]
    verdicts = [_without_gold(reading) for reading in readings]
    judged = grader.judge_readings([str(golds[place]) for place in graded], [readings[place] for place in graded])
    for place, verdict in zip(graded, judged, strict=True):
        verdicts[place] = verdict
    return [
        Verdicted(record.get("id"), reading.answer, verdict, reason)
        for record, reading, (verdict, reason) in zip(records, readings, verdicts, strict=True)
    ]


def _without_gold(reading: Reading) -> tuple[Verdict, str]:
    return reading.failure or (("incorrect", "no gold") if reading.answer else ("unparsable", "no answer"))


def _read(grader: Grader, records: Sequence[Mapping[str, Any]], format: Format) -> list[Reading]:
    """The answer of each record: found in its response, or given as its prediction."""
    readings: list[Reading] = [Reading(None)] * len(records)
    responses: dict[Format, list[tuple[int, str]]] = {}
    predictions: list[tuple[int, str]] = []
    for place, record in enumerate(records):
        prediction, response = _text(place + 1, record, "prediction"), _text(place + 1, record, "response")
        if "prediction" not in record and "response" not in record:
            raise DataError(f"record {place + 1} has neither 'prediction' nor 'response'; add one of them")
        if response is not None:
            responses.setdefault(_format(place + 1, record, format), []).append((place, response))
        elif prediction is not None:
            predictions.append((place, prediction))
    asked = [(items, grader.read([text for _, text in items], kind)) for kind, items in responses.items()]
    asked.append((predictions, grader.bare([text for _, text in predictions])))
    for items, found in asked:
        for (place, _), reading in zip(items, found, strict=True):
            readings[place] = reading
    return readings


def _format(place: int, record: Mapping[str, Any], format: Format) -> Format:
    chosen = record.get("format", format)
    if chosen not in FORMATS:
        raise ConfigError(f"record {place}: format={chosen!r} is unknown; choose one of {', '.join(FORMATS)}")
    return chosen


def _text(place: int, record: Mapping[str, Any], field: str) -> str | None:
    return check_field(f"record {place}", record, field)


def check_field(place: str, record: Mapping[str, Any], field: str) -> str | None:
    """A record's field as text. Raises DataError, naming the place, where it is neither text nor a number."""
    value = record.get(field)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{place}: field {field!r} must be text or a number, and is a {type(value).__name__}")


def _verdict(outcome: Outcome) -> tuple[Verdict, str]:
    if outcome.status == "done":
        return ("correct", "") if outcome.value is True else ("incorrect", "")
    if outcome.status == "timeout":
        return "timeout", "too slow"
    return "unparsable", outcome.status if outcome.status != "failed" else "not readable"


def _spelled(answer: str) -> str:
    """The class of one spelling."""
    return "text:" + hashlib.sha256(answer.strip().encode("utf-8", "replace")).hexdigest()[:20]


def _plain(text: str) -> Number | None:
    """A plain number, a currency sign and LaTeX spacing apart."""
    if len(text) > _NO_WORKER:
        return None
    return read_number(text.strip().strip("$").strip().removeprefix(r"\$").replace(r"\!", "").replace("{,}", ",").rstrip("."))


def _content(gold: str, prediction: str | None) -> bytes:
    return hashlib.sha256(json.dumps([gold, prediction]).encode("ascii")).digest()
