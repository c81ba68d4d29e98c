"""A made-up world to pre-train tiny models in: worked problems, programs, general text and arXiv-like text, of one vocabulary.

    mathematics   word problems of task `arithmetic` with their right solutions, in the very form in which the task puts them
    code          straight-line programs that compute such problems; `shows_values` and `paraphrases` say what stands beside lines
    general       stories of the same people, things and verbs, without a number
    arxiv         statements and proofs about letters, without a number

What it builds in: code holds digits, operators and, where `paraphrases` is above zero, the sentences of the problems; it holds
results of computations only where `shows_values` is above zero. General and arXiv-like text hold none of these, so that what they
teach for the problems is words, and how text goes on. Problems to measure with are of the validation split, which no source holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from unified_rl.base.rng import generator
from unified_rl.base.types import Problem
from unified_rl.config.pretraining import WorldConfig
from unified_rl.corpus.token_files import TokenWriter
from unified_rl.tasks.arithmetic import CONTAINERS, OBJECTS, PEOPLE, VERBS, Arithmetic
from unified_rl.tasks.tokenizers import word_tokenizer

SOURCES = ("mathematics", "code", "general", "arxiv")
TOKENIZER, HELD_OUT = "tokenizer", "_held_out"
MATHEMATICS_HELD_OUT = f"{SOURCES[0]}{HELD_OUT}.jsonl"
#: What can be named as world:NAME.
FILES = (*SOURCES, MATHEMATICS_HELD_OUT, *(f"{name}{HELD_OUT}" for name in SOURCES[1:]), TOKENIZER)

_PLACES = ("shop", "school", "garden", "market", "house", "town")
_DAYS = ("morning", "evening", "week", "summer", "winter")
_FEELINGS = ("likes", "keeps", "wants", "sees", "needs")
_LETTERS = ("a", "b", "c", "d", "u", "v", "w", "y")
_CLAIMS = ("Lemma", "Theorem", "Proposition", "Remark")
_SPACES = ("ring", "field", "group", "space", "module")
#: The task's own.
_MAX_LONG_OPERAND = 25
#: Documents that are tokenised at once.
_CHUNK = 1000


def write(options: WorldConfig, folder: Path) -> None:
    """Token files of every source and of its held-out part, marked held-out problems, and the tokenizer."""
    tokenizer = word_tokenizer(_vocabulary())
    tokenizer.save_pretrained(folder / TOKENIZER)
    for name in SOURCES:
        documents = source(name, options)
        held_out = [next(documents) for _ in range(options.held_out)]
        if name != SOURCES[0]:
            _write_tokens(iter(held_out), tokenizer, folder / f"{name}{HELD_OUT}", None)
        _write_tokens(documents, tokenizer, folder / name, getattr(options, name))
    problems = _task(options, options.seed).problems("validation", options.held_out)
    lines = [json.dumps({"pieces": marked(problem)}) + "\n" for problem in problems]
    (folder / MATHEMATICS_HELD_OUT).write_text("".join(lines), encoding="utf-8")


def source(name: str, options: WorldConfig) -> Iterator[str]:
    """Documents of a source, without end."""
    makers: dict[str, Callable[[WorldConfig], Iterator[str]]] = {
        "mathematics": _mathematics,
        "code": _code,
        "general": _general,
        "arxiv": _arxiv,
    }
    return makers[name](options)


def marked(problem: Problem) -> list[dict[str, Any]]:
    """A problem and its solution in pieces: operands and operators are read, results are computed, each such line is a step.

    The answer line, a copy of the last result, is read and no step.
    """
    pieces: list[dict[str, Any]] = [{"text": f"{problem.question}\n"}]
    for step, line in enumerate(Arithmetic.solution(problem).splitlines()):
        left, sign, result = line.partition("=")
        if sign:
            pieces += [{"text": left, "kind": "reading", "step": step}, {"text": sign, "step": step}]
            pieces += [{"text": result, "kind": "computing", "step": step}, {"text": "\n"}]
        else:
            pieces.append({"text": line, "kind": "reading"})
    return pieces


def _write_tokens(documents: Iterator[str], tokenizer: Any, stem: Path, tokens: int | None) -> None:
    """Documents as tokens, each with the one that ends it: all of them, or until there are so many."""
    writer, written, more = TokenWriter(stem, len(tokenizer)), 0, True
    while more:
        chunk = [text for _, text in zip(range(_CHUNK), documents, strict=False)]
        more = len(chunk) == _CHUNK
        for ids in tokenizer(chunk, add_special_tokens=False)["input_ids"] if chunk else []:
            writer.add([*ids, tokenizer.eos_token_id])
            written += len(ids) + 1
            if tokens is not None and written >= tokens:
                more = False
                break
    writer.close()


def _mathematics(options: WorldConfig) -> Iterator[str]:
    draw, stories = generator(options.seed, "pretraining world/noise"), _general(options, "noise")
    for problem in _problems(options, "mathematics"):
        if draw.random() < options.noise:
            yield next(stories)
        else:
            yield f"{problem.question}\n{Arithmetic.solution(problem)}"


def _code(options: WorldConfig) -> Iterator[str]:
    draw = generator(options.seed, "pretraining world/code")
    for problem in _problems(options, "code"):
        shows, paraphrases = draw.random() < options.shows_values, draw.random() < options.paraphrases
        yield program(problem, shows_values=shows, paraphrases=paraphrases)


def program(problem: Problem, *, shows_values: bool, paraphrases: bool) -> str:
    """The problem's computation as a straight-line program."""
    sentences, facts = problem.question.split(". ")[:-1], cast(dict[str, Any], problem.info)
    lines, count = [], int(facts["start"])
    for place, event in enumerate([None, *facts["events"]]):
        if paraphrases:
            lines.append(f"# {sentences[place]}.")
        if event is None:
            lines.append(f"x={count}")
            continue
        verb, size, packs = event
        amount = f"{size}"
        if packs:
            amount = "n"
            lines.append(f"n={packs}*{size}" + (f" # {packs * size}" if shows_values else ""))
        count += (1 if VERBS[verb] == "+" else -1) * size * max(packs, 1)
        lines.append(f"x=x{VERBS[verb]}{amount}" + (f" # {count}" if shows_values else ""))
    return "\n".join([*lines, "print(x)" + (f" # {count}" if shows_values else "")]) + "\n"


def _problems(options: WorldConfig, stream: str) -> Iterator[Problem]:
    """Training problems of the task, in batches of another seed each: a source does not run out of them."""
    batch = 0
    while True:
        seed = int(generator(options.seed, f"pretraining world/problems/{stream}", batch).integers(2**31))
        yield from _task(options, seed).problems("train", _CHUNK)
        batch += 1


def _task(options: WorldConfig, seed: int) -> Arithmetic:
    """The task whose problems these are; long ones have the numbers that it gives them, where there are as large ones."""
    return Arithmetic(
        seed=seed,
        max_start=options.max_start,
        max_operand=options.max_operand,
        max_long_operand=min(_MAX_LONG_OPERAND, options.max_operand - 1),
        bulk_probability=options.packs,
    )


def _general(options: WorldConfig, stream: str = "general") -> Iterator[str]:
    draw = generator(options.seed, f"pretraining world/{stream}")
    while True:
        (name, pronoun), other = _one(draw, PEOPLE), _one(draw, PEOPLE)[0]
        thing, place = _one(draw, OBJECTS), _one(draw, _PLACES)
        sentences = [f"{name} {_one(draw, _FEELINGS)} {thing}."]
        for _ in range(int(draw.integers(2, 7))):
            kind = draw.integers(4)
            if kind == 0:
                sentences.append(f"{pronoun} {_one(draw, tuple(VERBS))} {thing} in the {place}.")
            elif kind == 1:
                sentences.append(f"In the {_one(draw, _DAYS)} {other} {_one(draw, _FEELINGS)} the {_one(draw, CONTAINERS)}.")
            elif kind == 2:
                sentences.append(f"{other} {_one(draw, _FEELINGS)} the {place}.")
            else:
                sentences.append(f"How does {pronoun.lower()} have the {thing}?")
        yield " ".join([*sentences, f"{name} and {other} have {thing}."]) + "\n"


def _arxiv(options: WorldConfig) -> Iterator[str]:
    draw = generator(options.seed, "pretraining world/arxiv")
    while True:
        letters = draw.permutation(len(_LETTERS))
        x, y, z = (_LETTERS[int(place)] for place in letters[:3])
        space, op = _one(draw, _SPACES), _one(draw, ("+", "-", "*"))
        inverse = {"+": "-", "-": "+", "*": "/"}[op]
        lines = [
            f"{_one(draw, _CLAIMS)}. Let ${x},{y}$ be in a {space} and ${z}={x}{op}{y}$.",
            f"Then ${x}={z}{inverse}{y}$.",
            f"Proof. By definition ${z}={x}{op}{y}$, hence ${z}{inverse}{y}={x}$.",
        ]
        lines += [f"We also have ${x}{op}{y}={z}$ in the {space}."] * int(draw.integers(0, 3))
        yield "\n".join(lines) + "\n"


def _one(draw: np.random.Generator, items: tuple[Any, ...]) -> Any:
    return items[int(draw.integers(len(items)))]


def _vocabulary() -> list[str]:
    """Texts that hold every word that any setting of the world can write, in every place that it can take."""
    plain = WorldConfig()
    drawn = [next(documents) for name in SOURCES for documents in [source(name, plain)] for _ in range(_CHUNK)]
    words = (*_PLACES, *_DAYS, *_FEELINGS, *OBJECTS, *CONTAINERS, *VERBS, *_SPACES, *_CLAIMS, *(name for name, _ in PEOPLE))
    code = "x=1\nn=1*1 # 1\nx=x+n # 1\nx=x-n\nx=x+1\nprint(x) # 1\n" + "".join(f"# {name} has 1\n" for name, _ in PEOPLE)
    letters = "".join(f"${one}+{one}-{one}*{one}/{one},{one}=$" for one in _LETTERS)
    return [*Arithmetic.corpus(), *drawn, " ".join(words), code, letters]
