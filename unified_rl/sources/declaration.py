"""What a source of training data declares: what it provides, what it needs, its options, its words and its builder. No torch.

Coefficients, importance corrections and settings of the rollout say what they need of a source (`presets/match.py`), and are never
told which sources there are. A wrapper makes another source of any that provides what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

from unified_rl.base.types import Decoding, Draw, Generator, Prompt, Response, Reward, Source, StatefulSource, Tokenizer

#: What the chain of stages provides to a source of stored samples.
STORED = "stored samples to train on"
#: The same of the reference, which it is compared with.
OF_REFERENCE = "stored samples of the reference"
#: What a task has to have for a source of written pairs: a name of `presets.match.CONDITIONS`.
COMPARED = "compared"


class Writer(Enum):
    """Who wrote the responses. The value is for people."""

    DATA = "nobody's policy"
    FROZEN = "a frozen policy"
    EARLIER = "an earlier policy"
    CURRENT = "the current policy"


@dataclass(frozen=True)
class Provides:
    """What can be relied on.

    writer: who wrote the responses. stored: they were written before the run and are kept.
    responses: to each prompt: "one", a "group" that can be compared, or a "pair", the better one first.
    logp: whether the log-probs of the sampler are known.
    unknown_probability: why the probability of finding a response is not the product of its tokens'; "" = it is.
    pool: whether its prompts are the configured training prompts (and not those that came with the responses).
    demonstrated: whether some of each group's responses are texts that no policy wrote, beside the policy's own samples, whose
    probability is the product of their tokens'.
    tree: whether responses to a prompt share beginnings, each token being drawn by the policy after the tokens before it.
    prompted: whether it answers given prompts (`Prompted`), so that a wrapper may choose them.
    beside: what each group has beside its responses: names of signals (`methods/signals.py`). untrained: how many responses to each
    prompt are sampled for that at each step, and not trained on.
    """

    writer: Writer
    stored: bool = False
    responses: Literal["one", "group", "pair"] = "group"
    logp: bool = True
    unknown_probability: str = ""
    pool: bool = True
    prompted: bool = True
    demonstrated: bool = False
    tree: bool = False
    beside: frozenset[str] = frozenset()
    untrained: int = 0

    @property
    def sampled(self) -> bool:
        """Whether a policy wrote the responses."""
        return self.writer is not Writer.DATA

    @property
    def samples(self) -> bool:
        """Whether a policy wrote at least some of the responses."""
        return self.sampled or self.demonstrated

    @property
    def fresh(self) -> bool:
        """Whether responses are sampled while the run goes on."""
        return not self.stored


class Prompted(Source, Protocol):
    """A source that can be asked for the responses to given prompts of its pool."""

    @property
    def pool(self) -> Any:
        """Its prompts (`sources/prompts.py`)."""

    def sample(self, indices: Sequence[int], draw: int, policy_version: int) -> Draw:
        """A scored group for each of these prompts of the pool; what is random is a function of the seed, `draw` and the place."""


class Around:
    """A wrapper without a state of its own: a checkpoint holds that of the source inside, where it has one."""

    def __init__(self, inside: Source) -> None:
        self._inside = inside

    def save(self, folder: Path) -> None:
        """The state of the source inside."""
        if isinstance(self._inside, StatefulSource):
            self._inside.save(folder)

    def load(self, folder: Path) -> None:
        """Go on as the source inside that was saved would have."""
        if isinstance(self._inside, StatefulSource):
            self._inside.load(folder)


class Given(Protocol):
    """What builders are given.

    config: the run's configuration. generator: samples the current policy. responses: how many to each prompt are wanted; None =
    all that a source has to choose from. context: most tokens a prompt and its response may have together, 0 = no limit.
    """

    @property
    def config(self) -> Any: ...

    @property
    def generator(self) -> Generator: ...

    @property
    def reward(self) -> Reward: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def responses(self) -> int | None: ...

    @property
    def context(self) -> int: ...

    @property
    def begin(self) -> Callable[[], None] | None: ...

    def prompts(self) -> list[Prompt]:
        """The training prompts."""

    def pool(self) -> Any:
        """The training prompts (`sources/prompts.py`)."""

    def stored(self) -> list[list[Response]]:
        """For each prompt of the pool, the stored responses of the policy that training starts from."""

    def of_reference(self) -> list[list[Response]]:
        """For each prompt of the pool, `source.samples_per_prompt` stored responses of the reference."""

    def written(self) -> tuple[Any, list[Response]]:
        """The demonstrated prompts as a pool, and the solution to each as a response."""

    def compared(self) -> tuple[Any, list[tuple[Response, Response]]]:
        """The prompts of written pairs as a pool, and the better and the worse response to each."""

    def mixed(self, label: str) -> Source:
        """The configured mix of demonstrations. label: as in `stored`."""

    def step_ends(self, segmentation: str) -> Callable[[Prompt, Response], Any]:
        """(prompt, response) -> index of each step's last token, ascending, under a named segmentation."""

    def frozen_copy(self) -> tuple[Any, Generator]:
        """A copy of the current policy (`sources/refreshed.py`), and a generator that samples from it."""

    def sampling_from(self, generator: Generator) -> Given:
        """The same, with another generator."""

    def wanting(self, responses: int | None) -> Given:
        """The same, where so many responses to each prompt are wanted; None = all that a source has."""


Build = Callable[[Given], Source]


def no_more(config: Any) -> None:
    """Nothing more to check."""


@dataclass(frozen=True)
class SourceDeclaration:
    """One data source.

    provides: what may be relied on. options: a dataclass of the options it reads, of section `source`; None = it has none.
    in_words: the source as the table of methods writes it. what, by: its responses and their writer, for the documentation.
    needs: what it needs of the rest of the configuration (names of `presets.match.CONDITIONS`).
    offers: config -> most responses to a prompt. check: further ranges that span sections. artefacts: what the chain of stages must
        provide.
    sampler: config -> who samples, for `explain`. build: makes it.
    """

    name: str
    provides: Provides
    in_words: str
    what: str
    by: str
    build: Build
    offers: Callable[[Any], int]
    options: tuple[type, ...] = ()
    needs: frozenset[str] = frozenset()
    check: Callable[[Any], None] = no_more
    artefacts: tuple[str, ...] = ()
    sampler: Callable[[Any], str] = lambda config: "none during training"
    wrappers: tuple[str, ...] = ()

    @property
    def setting(self) -> str:
        """How a configuration asks for it."""
        wrapped = f" source.wrappers=[{','.join(self.wrappers)}]" if self.wrappers else ""
        return f"source={self.name}{wrapped}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of its options."""
        return tuple(option.name for part in self.options for option in fields(part))


@dataclass(frozen=True)
class WrapperDeclaration:
    """What makes another source of a source.

    takes: whether a source that provides this can be wrapped; wants: what is then missing, in words.
    over: what the wrapped source provides. in_words: its words from those of the source inside. what: what it does to responses.
    wrap: makes it, from the builder of the source inside. gives: what it puts beside the responses: names of signals. The rest is
    as in `SourceDeclaration`.
    specialised: (itself, section `source`, all sources) -> the wrapper that this section asks for, where it names another source.
    """

    name: str
    takes: Callable[[Provides], bool]
    wants: str
    over: Callable[[Provides], Provides]
    in_words: Callable[[str], str]
    what: str
    wrap: Callable[[Build, Given], Source]
    gives: frozenset[str] = frozenset()
    options: tuple[type, ...] = ()
    needs: frozenset[str] = frozenset()
    check: Callable[[Any, SourceDeclaration], None] = lambda config, inside: None
    sampler: Callable[[Any], str] | None = None
    artefacts: tuple[str, ...] = ()
    specialised: Callable[[WrapperDeclaration, Any, Mapping[str, SourceDeclaration]], WrapperDeclaration] = (
        lambda itself, source, sources: itself
    )

    def around(self, inside: SourceDeclaration, *, listed: bool = True) -> SourceDeclaration:
        """The declaration of the wrapped source. listed: whether the configuration lists the wrapper by its name."""

        def check(config: Any) -> None:
            inside.check(config)
            self.check(config, inside)

        return replace(
            inside,
            provides=self.over(inside.provides),
            in_words=self.in_words(inside.in_words),
            what=f"{inside.what}; {self.what}",
            build=lambda given: self.wrap(inside.build, given),
            options=tuple(dict.fromkeys((*inside.options, *self.options))),
            needs=inside.needs | self.needs,
            check=check,
            artefacts=tuple(dict.fromkeys((*inside.artefacts, *self.artefacts))),
            sampler=self.sampler or inside.sampler,
            wrappers=(*inside.wrappers, self.name) if listed else inside.wrappers,
        )

    def named(self, name: str, inside: SourceDeclaration, *, what: str, by: str) -> SourceDeclaration:
        """The wrapped source under a name of its own. what, by: as in `SourceDeclaration`."""
        return replace(self.around(inside, listed=False), name=name, what=what, by=by)


def decoding_of(given: Given) -> Decoding:
    """How training samples are drawn."""
    decoding: Decoding = given.config.generator.decoding
    return decoding


def group_size(given: Given) -> int:
    """Responses that are sampled for a prompt."""
    return given.responses or int(given.config.rollout.responses_per_prompt)
