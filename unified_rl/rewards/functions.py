"""A reward that is a plain function of texts: `reward(prompt, response, answer) -> float`, or of a whole batch of them.

    def reward(prompt, response, answer): ...        # a number, True or False, or a dict of named numbers; for one response
    def reward(prompts, responses, answers): ...     # a list of them, one for each response of the batch

It takes what it names, of: prompt (the question as the data has it), response (what the policy wrote), answer (the data's own).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import NamedReward, Prompt, Response, Score, Task
from unified_rl.rewards.checked import number_problem
from unified_rl.rewards.rewards import OutcomeReward

ONE = ("prompt", "response", "answer")
BATCH = ("prompts", "responses", "answers")
#: What a factory of rewards is called with, in this order.
FACTORY = ("task", "tokenizer")


class FunctionReward:
    """What a plain function says of each response; the answer is graded beside it, as a fact to log.

    True or False also says whether the response counts as right where a method asks (RFT, pairs); of a number the grader says it.

    Args:
        function: see the module. name: of the setting that chose it, for messages.
    """

    def __init__(self, task: Task, function: Callable[..., Any], name: str) -> None:
        self._graded, self._function, self._name = OutcomeReward(task), function, name
        self._asked = _asked(function, name)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """One score per response.

        Raises:
            DataError: the function fails, or gives another number of values than there are responses.
        """
        flat = [(prompt, one) for prompt, group in zip(prompts, responses, strict=True) for one in group]
        values = iter(self._batch(flat) if self._asked[0] in BATCH else [self._one(*pair) for pair in flat])
        return [[self._scored(score, next(values)) for score in group] for group in self._graded.score(prompts, responses)]

    def _one(self, prompt: Prompt, response: Response) -> Any:
        given = dict(zip(ONE, _texts(prompt, response), strict=True))
        return self._called(
            {name: given[name] for name in self._asked}, f"the response {response.text!r:.60} to {prompt.id!r:.60}"
        )

    def _batch(self, flat: Sequence[tuple[Prompt, Response]]) -> Sequence[Any]:
        columns = [list(column) for column in zip(*(_texts(*pair) for pair in flat), strict=True)] or [[], [], []]
        given = dict(zip(BATCH, columns, strict=True))
        values = self._called({name: given[name] for name in self._asked}, f"a batch of {len(flat)} responses")
        try:
            found = list(values)
        except TypeError:
            found = []
        if len(found) != len(flat) or isinstance(values, (str, Mapping)):
            raise DataError(f"{self._name}: it gave {len(found)} values for {len(flat)} responses; return a list, one for each")
        return found

    def _called(self, given: Mapping[str, Any], what: str) -> Any:
        try:
            return self._function(**given)
        except Exception as error:  # whatever a user's own code raises
            raise DataError(f"{self._name}: it fails on {what} ({type(error).__name__}: {error}); mend it") from error

    def _scored(self, score: Score, value: Any) -> Score:
        """A graded response with what the function said of it; what is no number stays, for `CheckedReward` to name."""
        if isinstance(value, bool):
            return replace(score, reward=float(value), accepted=value)
        if not isinstance(value, Mapping):
            return replace(score, reward=value)
        for part, one in value.items():
            if not isinstance(one, bool) and (wrong := number_problem(f"part {part!r}", one)):
                raise DataError(f"{self._name}: {wrong}")
        parts = tuple(NamedReward(str(part), float(one)) for part, one in value.items())
        return replace(score, reward=sum(part.reward for part in parts), parts=parts)


def is_function(found: Any) -> bool:
    """Whether something is a plain function of texts, rather than a factory called with (task, tokenizer)."""
    return bool({"response", "responses"} & set(_parameters(found)))


def check_callable(found: Any, name: str) -> None:
    """Refuse what is neither a plain function of texts nor a factory. Raises ConfigError with what it should take."""
    if not callable(found):
        raise ConfigError(f"{name} names a {type(found).__name__}, which cannot be called; {_REMEDY}")
    if is_function(found):
        _asked(found, name)
        return
    try:
        inspect.signature(found).bind(*FACTORY)
    except TypeError:
        raise ConfigError(f"{name} takes ({', '.join(_parameters(found))}); {_REMEDY}") from None
    except ValueError:  # a builtin that does not say
        return


_REMEDY = (
    f"a reward function takes of {', '.join(ONE)} what it needs (of a whole batch: {', '.join(BATCH)}), and a factory of rewards "
    f"takes ({', '.join(FACTORY)})"
)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _asked(function: Callable[..., Any], name: str) -> list[str]:
    """The texts that a function names, in its own order. Raises ConfigError where it wants something else as well."""
    parameters = _parameters(function)
    known = BATCH if "responses" in parameters else ONE
    needed = [one for one in parameters.values() if one.default is one.empty]
    wanted = [one.name for one in needed if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    if unknown := [one for one in wanted if one not in known]:
        raise ConfigError(f"{name} takes ({', '.join(parameters)}), of which {unknown[0]!r} is not known; {_REMEDY}")
    return [one for one in parameters if one in known]


def _texts(prompt: Prompt, response: Response) -> tuple[str, str, str]:
    return prompt.problem.question, response.text, prompt.problem.gold
