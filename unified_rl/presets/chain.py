"""The chain of stages before a run: kinds declare what they need and provide, the configuration says which reads which. No torch.

A kind is a module of `unified_rl/stages/kinds` with a `KIND`, or a user's own, and is found by its name. Here the chain is checked
and asked for its stages by what they provide, never by what they are called. `unified_rl.stages.chain` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean, import_by_path
from unified_rl.config.schema import Config
from unified_rl.records.artifacts import Artifact, Stage
from unified_rl.sources.declaration import OF_REFERENCE, STORED
from unified_rl.sources.registry import declared

KINDS_FOLDER = Path(__file__).parents[1] / "stages" / "kinds"
#: As an input: the stage that the run starts from.
START = "init"

# What stages provide.
POLICY = "a policy"
RESPONSES = "responses of a policy"
STEP_FACTS = "facts of the responses' steps"
REWARD = "a reward model"


#: Length of a response, as a share of its limit, where only the work is wanted: about that of the worlds that make their problems.
RESPONSE_SHARE = 0.4
#: Inner steps of a response, where only the work is wanted.
STEPS = 3


#: n responses to a prompt are sampled at the cost of n ** 0.6: they share their beginnings (`sampling/prefixes.py`). The tiny
#: world's SFT policies decode 0.38 of the tokens of 8 samples and 0.12 of 64 at T = 0.7, 0.48 of 8 and 0.37 of 16 at T = 1.
DISTINCT = 0.6


def response_tokens(limit: int) -> float:
    """About how long a response is."""
    return RESPONSE_SHARE * limit


def decoded_tokens(prompts: float, each: float, limit: int) -> float:
    """About how many tokens are decoded for `each` responses to every one of `prompts`."""
    return prompts * each**DISTINCT * response_tokens(limit)


@dataclass(frozen=True)
class Work:
    """What making something takes, roughly: response tokens that are decoded, and tokens that are read forward and backward."""

    sampled: float = 0.0
    trained: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.sampled + other.sampled, self.trained + other.trained)


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    Attributes:
        provides: what a stage of it makes. needs: role -> what the input must provide.
        stage: from the stage's configuration (`loading.stage_config`) and its inputs to the stage, or to what was brought.
        brought: whether the user brings the result, so that nothing is made.
        reads: role -> stage of what a stage reads, where the kind's own section has a say in it.
        as_run: for what is trained: from the run's configuration to that of the training as a run of its own. Sections of the
            stage's settings, such as trainer, then come on top.
        work: what making it takes, from the stage's configuration. words: what `explain` says the result is.
    """

    provides: str
    stage: Callable[[Config, Mapping[str, Stage | Artifact]], Stage | Artifact]
    needs: Mapping[str, str] = field(default_factory=dict)
    reads: Callable[[Config, dict[str, str]], dict[str, str]] = lambda config, inputs: inputs
    brought: Callable[[Config], bool] = lambda config: False
    as_run: Callable[[Config], Config] | None = None
    work: Callable[[Config], Work] = lambda config: Work()
    words: Callable[[Config], str] = lambda config: ""


def kind_of(config: Config, name: str) -> Kind:
    """The kind of the stage called `name`. Raises ConfigError where there is no such stage or kind."""
    if name not in config.stages:
        raise ConfigError(f"stage {name!r} is not in the chain (section stages){did_you_mean(name, config.stages)}")
    kind = config.stages[name].kind
    field_name = f"stages.{name}.kind"
    if ":" not in kind and not (KINDS_FOLDER / f"{kind}.py").is_file():
        known = sorted(path.stem for path in KINDS_FOLDER.glob("[!_]*.py"))
        raise ConfigError(f"{field_name}={kind!r} is not known{did_you_mean(kind, known)}")
    found = import_by_path(kind if ":" in kind else f"unified_rl.stages.kinds.{kind}:KIND", field_name)
    if not isinstance(found, Kind):
        raise ConfigError(f"{field_name}={kind} must name a unified_rl.presets.chain.Kind, found {type(found).__name__}")
    return found


def start(config: Config) -> str:
    """The stage that the run starts from: `init`, or the last one of the chain that makes a policy."""
    return config.init or provider(config, POLICY)


def root(config: Config) -> str:
    """The stage whose policy is not made from another one."""
    return next(name for name in config.stages if (kind := kind_of(config, name)).provides == POLICY and not kind.needs)


def provider(config: Config, what: str) -> str:
    """The last stage of the chain that provides something. Raises ConfigError where none does."""
    found = [name for name in config.stages if kind_of(config, name).provides == what]
    if not found:
        raise ConfigError(f"no stage of the chain provides {what}; add one to section stages (docs/stages.md)")
    return found[-1]


def inputs(config: Config, name: str) -> dict[str, str]:
    """Role -> stage of what a stage reads."""
    named = kind_of(config, name).reads(config, dict(config.stages[name].inputs))
    return {role: start(config) if source == START else source for role, source in named.items()}


def begins_with(config: Config, name: str) -> str:
    """The stage whose policy the training of stage `name` begins with. Raises ConfigError where it reads no policy."""
    needs, sources = kind_of(config, name).needs, inputs(config, name)
    found = [sources[role] for role, what in needs.items() if what == POLICY and role in sources]
    if not found:
        raise ConfigError(f"stage {name} is trained, but reads no policy to begin with; set stages.{name}.inputs")
    return found[0]


def with_ancestors(config: Config, names: list[str]) -> list[str]:
    """These stages and all that they are made from, in the chain's order; nothing before what the user brings."""
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [] if kind_of(config, name).brought(config) else inputs(config, name).values()
    return [name for name in config.stages if name in needed]


def read_by(config: Config) -> list[str]:
    """The stages that a run of this configuration reads itself."""
    names = [start(config)]
    if config.reward.made:
        names.append(provider(config, REWARD))
    if config.reward.audits:
        names.append(provider(config, RESPONSES))
    artefacts = declared(config.source).artefacts
    if STORED in artefacts or (OF_REFERENCE in artefacts and not config.reference):
        names.append(provider(config, STORED))
    return names


def check(config: Config) -> None:
    """Refuse a chain that cannot be made. Raises ConfigError with the stage, the reason and the remedy."""
    first = start(config)
    _check_known(config, first, "init")
    if kind_of(config, first).provides != POLICY:
        makes = [name for name in config.stages if kind_of(config, name).provides == POLICY]
        raise ConfigError(
            f"init={first!r} is a stage that provides {kind_of(config, first).provides}, and training starts from a policy; "
            f"choose one of: {', '.join(makes)}"
        )
    for name in config.stages:
        _check_inputs(config, name)
    for name in config.stages:
        _check_cycles(config, name, [])


def _check_known(config: Config, name: str, field_name: str) -> None:
    if name not in config.stages:
        raise ConfigError(f"{field_name}={name!r} is no stage of the chain{did_you_mean(name, config.stages)}")


def _check_inputs(config: Config, name: str) -> None:
    needs, given = kind_of(config, name).needs, config.stages[name].inputs
    for role in given.keys() - needs.keys():
        raise ConfigError(
            f"stages.{name}.inputs.{role} is not known{did_you_mean(role, needs) if needs else '; it reads nothing'}"
        )
    for role in needs.keys() - given.keys():
        raise ConfigError(
            f"stage {name} reads {needs[role]} as its {role}; set stages.{name}.inputs.{role} to the stage that makes it"
        )
    for role, source in inputs(config, name).items():
        _check_known(config, source, f"stages.{name}.inputs.{role}")
        provided = kind_of(config, source).provides
        if provided != needs[role]:
            raise ConfigError(
                f"stages.{name}.inputs.{role}={source} provides {provided}, and stage {name} needs {needs[role]} there"
            )


def _check_cycles(config: Config, name: str, path: list[str]) -> None:
    if name in path:
        raise ConfigError(f"stages {' -> '.join([*path[path.index(name) :], name])} read each other in a circle; cut it open")
    for source in inputs(config, name).values():
        _check_cycles(config, source, [*path, name])
