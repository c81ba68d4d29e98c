"""The facts that flow from floor to floor, and the protocols by which the parts meet. No torch at run time.

    prompts -> source -> responses -> reward -> coefficient -> policy update -> run directory

Responses are token ids from the sampler to the update; `text` is for graders and people and is never tokenised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np

T = TypeVar("T")

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Finish = Literal["stop", "length"]
Verdict = Literal["correct", "incorrect", "unparsable", "timeout"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with a checkable answer, before any template or tokenizer has touched it."""

    id: str
    question: str
    gold: str
    info: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A problem with one written solution. `clean` is False where the demonstrator is known to have slipped."""

    problem: Problem
    solution: str
    clean: bool = True


@dataclass(frozen=True, slots=True)
class Prompt:
    """A problem as the policy sees it: template applied, tokenised."""

    problem: Problem
    token_ids: tuple[int, ...]

    @property
    def id(self) -> str:
        return self.problem.id


@dataclass(frozen=True, slots=True)
class Decoding:
    """How responses are sampled.

    `temperature` 0 is greedy. `top_k` 0 and `top_p` 1 switch those filters off. `max_new_tokens` counts the EOS token.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 128

    @property
    def full_support(self) -> bool:
        """Whether every token could be drawn, which training on the samples requires."""
        return self.temperature > 0 and self.top_p >= 1.0 and self.top_k == 0


@dataclass(frozen=True, slots=True)
class Response:
    """One response to one prompt, with everything needed to know where it came from.

    Attributes:
        token_ids: int64 [T]. Includes the EOS token when `finish` is "stop"; nothing after it.
        behaviour_logp: float32 [T], log-probability of each token under the sampler's own distribution (temperature and, where
            used, top-p/top-k applied). NaN where the sampler is unknown (demonstrations), 0 on tool output, which nobody drew.
        finish: "stop" when an EOS token ended it, "length" when it was cut off at `max_new_tokens` (truncated).
        policy_version: number of updates behind the weights that sampled it; -1 for text no policy wrote.
        decoding: settings of the sampler, None for demonstrations.
        seed: the request's seed.
        text: decoded tokens without special ones, for graders and people.
        response_mask: bool [T], False on tokens the policy did not write (tool output); None means all True.
    """

    token_ids: np.ndarray
    behaviour_logp: np.ndarray
    finish: Finish
    policy_version: int
    decoding: Decoding | None
    seed: int
    text: str
    response_mask: np.ndarray | None = None

    @property
    def truncated(self) -> bool:
        return self.finish == "length"

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class NamedReward:
    """One of several rewards of a response: its value before it is weighted, and its weight in their sum."""

    name: str
    reward: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """What a reward says of one response: raw facts, kept apart so that every statistic can be derived later.

    Attributes:
        reward: scalar outcome reward.
        verdict: the grader's word on the final answer.
        answer: the extracted final answer, None where there is none.
        answer_class: name of the answer's equivalence class among responses to the same prompt (for Maj@K); None without answer.
        step_rewards: float32 [K], one per step, None unless the supervision is by process.
        step_ends: int64 [K], index into the response's tokens of each step's last token, strictly increasing.
        accepted: the reward's own judgement that the answer is right, where it may differ from the grader's (a reward model, a
            noisy reward); None where it is the grader's.
        steps_right: bool [K], the exact checker's word on each step, where it is asked. steps_accepted: bool [K], the reward's own,
            where it may differ from it.
        step_values: float32 [K], what the reward takes the state to be worth in which each step began, where it estimates that.
        sampled_tokens: those that the present policy wrote so that this response could be judged.
        parts: the rewards that add up to `reward`, weighted, by name and in one order for all responses of a run; () where there
            is one reward only.
    """

    reward: float
    verdict: Verdict
    answer: str | None
    answer_class: str | None
    step_rewards: np.ndarray | None = None
    step_ends: np.ndarray | None = None
    accepted: bool | None = None
    steps_right: np.ndarray | None = None
    steps_accepted: np.ndarray | None = None
    step_values: np.ndarray | None = None
    sampled_tokens: int = 0
    parts: tuple[NamedReward, ...] = ()

    @property
    def judged_correct(self) -> bool:
        """Whether the reward takes the answer for right: what training may know. `verdict` is for the record alone."""
        return self.verdict == "correct" if self.accepted is None else self.accepted


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    response: Response
    score: Score


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt and the responses that are compared with each other. In a pair, the chosen response comes first.

    Attributes:
        greedy: a greedy response to the prompt, scored as the others are; it is not trained on and belongs to no statistic of the
            group. None where the source draws none.
        reference_rewards: of stored responses of the reference to the prompt; None where the source has none.
    """

    prompt: Prompt
    responses: tuple[ScoredResponse, ...]
    greedy: ScoredResponse | None = None
    reference_rewards: tuple[float, ...] | None = None

    @property
    def greedy_reward(self) -> float | None:
        """The reward of the greedy response, where there is one."""
        return None if self.greedy is None else self.greedy.score.reward

    def with_responses(self, responses: Sequence[ScoredResponse]) -> Group:
        return replace(self, responses=tuple(responses))


@dataclass(frozen=True, slots=True)
class StepCheck:
    """One step of a solution: the index of its last character (exclusive) in the text, and whether it is right."""

    end_char: int
    correct: bool


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    verdict: Verdict
    answer: str | None
    answer_class: str | None


class Task(Protocol):
    """Problems with checkable answers. Splits are disjoint; the same arguments give the same problems.

    `slices` names the difficulty slices; the first is the default, on which training happens.
    """

    name: str
    slices: tuple[str, ...]

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split and slice. Raises DataError if there are fewer.

        `count` None means all of them, and is refused (ConfigError) by a procedural task, which has no end.
        """

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """Training problems with solutions."""

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        """Grade the final answer of a response."""

    def check_steps(self, problem: Problem, text: str) -> Sequence[StepCheck]:
        """Judge each step exactly. Raises ConfigError where the task has no exact step checker."""


class BatchGraded(Protocol):
    """What a task may have beside `Task`: grading of many responses at once, where one by one would be slow."""

    def check_answers(self, pairs: Sequence[tuple[Problem, str]]) -> list[AnswerCheck]:
        """`check_answer` of each (problem, response text), in order."""


class ProgramResult(Protocol):
    """What became of a program. status: "ok" where it ended by itself without an error, else what stopped it, in a word.

    `stderr`, where a result has it, is shown to the policy in place of a missing output.
    """

    @property
    def stdout(self) -> str: ...

    @property
    def status(self) -> str: ...


class ProgramRunner(Protocol):
    """Runs programs that a model wrote, each in a clean state and without harm to the rest of the machine."""

    def run(self, programs: Sequence[str]) -> Sequence[ProgramResult]:
        """One result per Python program, in order. A program's failure is a result, never an exception."""


class Tokenizer(Protocol):
    """The part of transformers' tokenizers that the library relies on, as they declare it."""

    @property
    def eos_token_id(self) -> Any:
        """The id that ends a text, None where there is none."""

    @property
    def all_special_ids(self) -> list[int]: ...

    def __len__(self) -> int:
        """The number of tokens, special ones included."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, token_ids: list[int], skip_special_tokens: bool = ...) -> Any:
        """The text of the ids. (Theirs takes lists of lists too, and then returns a list.)"""


@dataclass(frozen=True, slots=True)
class GeneratorInfo:
    """What a generator tells of the policy that it samples from.

    Attributes:
        context: the most tokens that a prompt and its response may have together; None where nothing limits them.
        context_name: the setting of the model that limits them.
        vocabulary: token ids are 0 .. vocabulary - 1.
        eos_token_ids: those that end a response, ascending.
    """

    context: int | None
    context_name: str
    vocabulary: int
    eos_token_ids: tuple[int, ...]


class Generator(Protocol):
    """Samples responses from the current policy."""

    @property
    def info(self) -> GeneratorInfo:
        """What it can be asked for."""

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        """`len(seeds[i])` responses to prompt i, each a function of the weights, the prompt, `decoding` and its own seed."""


class Reward(Protocol):
    """Scores responses. A process reward fills in step rewards beside the outcome."""

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """One score per response; `responses[i]` answer `prompts[i]`."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One step's data. `sampled_tokens` counts response tokens the current policy wrote for it, discarded responses included."""

    groups: list[Group]
    sampled_tokens: int = 0


class Source(Protocol):
    """Where a training step's data comes from."""

    def draw(self, step: int, policy_version: int) -> Draw:
        """The groups of one step, as a function of the source's seed, `step` and (for online sources) the weights."""


@runtime_checkable
class StatefulSource(Protocol):
    """What a source has beside `Source` where its next draw depends on more: a part of every checkpoint."""

    def save(self, folder: Path) -> None:
        """Write the state, if there is any yet, to `folder`, which does not exist yet."""

    def load(self, folder: Path) -> None:
        """Take up the state that `save` wrote there, if it wrote any."""


class Ranks(Protocol):
    """The processes that run one job together, each with the whole data. `rank` counts from 0 to `size` - 1."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""

    def gather(self, item: T) -> list[T]:
        """Everyone's item, in the order of the ranks, on every rank."""

    def sum(self, tensors: Sequence[Any]) -> None:
        """Replace torch tensors (of one dtype and device) by their sums over the ranks."""

    def barrier(self) -> None:
        """Wait until every rank is here."""

    def apart(self) -> Ranks:
        """The same processes, whose gathering and waiting another thread may do at the same time. Called by all together."""


class OneRank:
    """A job of one process."""

    rank, size, first = 0, 1, True

    def gather(self, item: T) -> list[T]:
        return [item]

    def sum(self, tensors: Sequence[Any]) -> None:
        """One rank's tensors are their own sums."""

    def barrier(self) -> None:
        """Nobody to wait for."""

    def apart(self) -> Ranks:
        return self


ONE_RANK: Ranks = OneRank()
