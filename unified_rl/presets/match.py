"""One match of what the other axes need against what the source provides. No torch.

Every need is a question about `Provides`, so a new source is legal wherever its declaration says so. What to set instead is found
by asking the same questions of the other sources, coefficients and rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

from unified_rl.base.errors import ConfigError
from unified_rl.config.rewards import COMPARING
from unified_rl.config.schema import Config
from unified_rl.methods import COEFFICIENTS, METHODS, Coefficient
from unified_rl.methods.signals import of_source, per_prompt
from unified_rl.presets.own_data import PREFERENCES
from unified_rl.sources.ahead import WRAPPER as AHEAD
from unified_rl.sources.declaration import COMPARED, Provides, SourceDeclaration
from unified_rl.sources.registry import SOURCES, WRAPPERS, declared
from unified_rl.sources.settings import SourceConfig

#: Most alternatives of one kind that a refusal names.
NAMED = 4


@dataclass(frozen=True)
class Need:
    """met: whether a source that provides this will do. refusal: why the present one will not, up to "; set ...".

    instead: what to set if neither the source nor the coefficient is to change; "" = nothing would help.
    """

    met: Callable[[Provides], bool]
    refusal: str
    instead: str = ""


@dataclass(frozen=True)
class Condition:
    """What a source may need of the rest of the configuration. refusal: with {source}, whole, its remedy in it."""

    met: Callable[[Config], bool]
    refusal: Callable[[Config, str], str]


def check_source(config: Config) -> None:
    """Refuse a source that does not provide what the other axes need, or that needs what the configuration does not give.

    Raises:
        ConfigError: what is needed, what the source provides, and what to set instead.
    """
    source = declared(config.source)
    for need in needs(config, source):
        if not need.met(source.provides):
            raise ConfigError(f"{need.refusal}; set {alternatives(config, need)}")
    for name in sorted(source.needs):
        if not CONDITIONS[name].met(config):
            raise ConfigError(CONDITIONS[name].refusal(config, source.setting))


def needs(config: Config, source: SourceDeclaration) -> list[Need]:
    """All that this configuration needs of its source, `source` being the one that refusals speak of."""
    return [
        *_of_coefficient(config, source),
        *_of_decoding(config, source),
        *_of_data(config, source),
        *_of_importance(config, source),
        *_of_rollout(config, source),
    ]


def legal(config: Config) -> bool:
    """Whether the source provides all that is needed, and has what it needs."""
    source = declared(config.source)
    return all(need.met(source.provides) for need in needs(config, source)) and all(
        CONDITIONS[name].met(config) for name in source.needs
    )


def alternatives(config: Config, need: Need) -> str:
    """What to set instead, the kind with the fewest choices first."""
    kinds = [
        [f"source={name}" for name in SOURCES if legal(replace(config, source=SourceConfig(name=name)))],
        [f"coefficient={name}" for name in COEFFICIENTS if name != config.coefficient.name and _other(config, name)],
        [need.instead] if need.instead else [],
    ]
    found = [" or ".join(kind[:NAMED]) for kind in sorted(kinds, key=len) if kind]
    return ", or ".join(found) or f"another row of the table: {' or '.join(islice(_rows(config), NAMED))}"


def _other(config: Config, name: str) -> bool:
    """Whether another coefficient would do with the same source."""
    options = COEFFICIENTS[name]
    if ("reward_parts" in options.needs and not config.reward.parts) or (options.by_losses and not any(config.losses.values())):
        return False
    return config.reward.supervision in options.supervisions and legal(replace(config, coefficient=_by_default(name)))


def _rows(config: Config) -> Iterator[str]:
    """Rows of the table that would do under the other settings."""
    for name, row in METHODS.items():
        reward = replace(config.reward, source=row.reward, supervision=row.supervision)
        source, coefficient = SourceConfig(name=row.source), _by_default(row.coefficient)
        if legal(replace(config, source=source, coefficient=coefficient, reward=reward)):
            yield f"method={name}"


@cache
def _by_default(coefficient: str) -> Coefficient:
    """A coefficient of the table with its default options."""
    return COEFFICIENTS[coefficient](name=coefficient)


def _of_coefficient(config: Config, source: SourceDeclaration) -> Iterable[Need]:
    coefficient = config.coefficient
    who = f"coefficient={coefficient.name}"
    if "pairs" in coefficient.needs:
        yield Need(
            lambda has: has.responses == "pair",
            f"{who} compares a chosen with a rejected response, but {source.setting} does not yield pairs",
        )
    else:
        yield Need(
            lambda has: has.responses != "pair",
            f"{source.setting} yields pairs, which {who} cannot use (a pair is not a sample of any policy)",
        )
    if "groups" in coefficient.needs:
        yield Need(
            lambda has: has.responses != "one",
            f"{who} compares the responses to one prompt, but {source.setting} has one each, so every advantage would be 0",
        )
    if coefficient.constant:
        yield Need(
            lambda has: not has.fresh,
            f"{who} is {coefficient.formula} for every response; on the policy's own samples, which {source.setting} yields, its "
            "expected gradient is exactly zero (the score function has mean 0)",
        )
    if coefficient.needs & {"values", "samples"}:
        does = "estimates advantages of" if "values" in coefficient.needs else "weighs"
        yield Need(
            lambda has: has.sampled, f"{who} {does} the policy's own actions, but {source.setting} holds somebody else's"
        )
    yield from _of_company(config, source, who)


def _of_company(config: Config, source: SourceDeclaration, who: str) -> Iterable[Need]:
    """What a coefficient needs beside the responses, or of how they came about."""
    coefficient = config.coefficient
    both, tree = "demonstrated" in coefficient.needs, "tree" in coefficient.needs
    if both:
        yield Need(
            lambda has: has.demonstrated,
            f"{who} learns from demonstrations beside samples of the policy, in one group, which {source.setting} does not have",
            "source.wrappers=[mixed] and source.mixed_with=demonstrations",
        )
    if any(signal.passes for signal in per_prompt(coefficient.needs)):
        yield Need(
            lambda has: has.fresh,
            f"{who} keeps track of the policy's success on each prompt, but the responses of {source.setting} were written before",
        )
    if tree:
        yield Need(
            lambda has: has.tree,
            f"{who} learns from responses that branch off from each other, but those of {source.setting} share the prompt alone",
        )
    for signal in of_source(coefficient.needs):
        there = signal.name in source.provides.beside
        yield Need(
            lambda has, name=signal.name: name in has.beside,  # type: ignore[misc]
            f"{who} compares with the prompt's {signal.output.replace('_', ' ')}, which {source.setting} does not have",
            "" if there else _wrapped(config, signal.name, source),
        )
    if not coefficient.any_sampler:
        yield Need(
            lambda has: not has.unknown_probability or (both and has.demonstrated) or (tree and has.tree),
            f"{who} is about the policy's samples and their probability, but {source.setting} "
            f"{source.provides.unknown_probability}",
        )


def _wrapped(config: Config, signal: str, source: SourceDeclaration) -> str:
    """What gives a source something beside its responses: a wrapper, around this one or around others that would do."""
    wrapper = next(one for one in WRAPPERS.values() if signal in one.gives)
    around = [*source.wrappers, wrapper.name]
    if wrapper.takes(source.provides) and legal(replace(config, source=replace(config.source, wrappers=around))):
        return f"source.wrappers=[{','.join(around)}]"
    sections = [SourceConfig(name=name, wrappers=[wrapper.name]) for name in SOURCES if wrapper.takes(SOURCES[name].provides)]
    fitting = [one.name for one in sections if legal(replace(config, source=one))][:NAMED]
    return f"source={' or source='.join(fitting)}, with source.wrappers=[{wrapper.name}]" if fitting else ""


def _of_decoding(config: Config, source: SourceDeclaration) -> Iterable[Need]:
    """Filtered sampling (top-p, top-k) makes data for likelihoods, once and for all, and for nothing else.

    An expectation over a policy's samples needs every response that the policy could write, and their log-probs; a filter
    renormalises these over a support that nobody has kept. And while the sampler is the trained policy itself, each step would
    sharpen what the next one samples from, which is no method of the table. A stored set of accepted texts is data like any
    other: its likelihood (rft, sft) or its preferences (dpo) mean the same whoever wrote it.
    """
    if config.generator.decoding.full_support:
        return
    likelihood = config.coefficient.any_sampler and config.importance.name == "none"
    yield Need(
        lambda has: not has.samples or (has.stored and likelihood),
        f"training on samples with {decoding_words(config)} is refused with {source.setting}, coefficient="
        f"{config.coefficient.name} and importance={config.importance.name}: the policy's log-probs are then not those of the "
        "sampler, which only the likelihood of samples that are stored once does without",
        "generator.top_p=1 and generator.top_k=0",
    )


def decoding_words(config: Config) -> str:
    """The settings that say from which distribution samples are drawn."""
    decoding = config.generator.decoding
    return f"generator.temperature={decoding.temperature}, top_p={decoding.top_p}, top_k={decoding.top_k}"


def _of_data(config: Config, source: SourceDeclaration) -> Iterable[Need]:
    if config.data.slices:
        yield Need(
            lambda has: has.pool,
            f"data.slices={config.data.slices} chooses training prompts, but {source.setting} comes with its own",
            "data.slices=[]",
        )


def _of_importance(config: Config, source: SourceDeclaration) -> Iterable[Need]:
    who = f"importance={config.importance.name}"
    if config.importance.name == "none":
        return
    if "pairs" in config.coefficient.needs:
        yield Need(
            lambda has: has.responses != "pair",
            f"{who} weighs each response by itself, but coefficient={config.coefficient.name} has one loss per pair, whose two "
            "responses share a margin: weights of their own would make it the gradient of no loss",
            "importance=none",
        )
    yield Need(
        lambda has: has.logp,
        f"{who} weighs responses by pi_old / pi_sampler, but {source.setting} has no sampler whose log-probs are known",
        "importance=none",
    )
    yield Need(
        lambda has: not has.unknown_probability,
        f"{who} weighs responses by their probability under the sampler, but {source.setting} "
        f"{source.provides.unknown_probability}",
        "importance=none",
    )


def _of_rollout(config: Config, source: SourceDeclaration) -> Iterable[Need]:
    rollout, coefficient = config.rollout, config.coefficient
    if rollout.updates > 1 and not coefficient.corrects_staleness:
        yield Need(
            lambda has: not has.fresh or has.responses == "pair",
            f"rollout.epochs x rollout.minibatches = {rollout.updates} updates per rollout, but coefficient={coefficient.name} has "
            f"no importance weight, so on the samples of {source.setting} all but the first would follow a wrong gradient",
            "both to 1",
        )
    if not rollout.staleness:
        return
    yield Need(
        AHEAD.takes,
        f"rollout.staleness={rollout.staleness} lets sampling run ahead of training, but {source.setting} does not sample "
        "the current policy",
        "rollout.staleness=0",
    )


def _no_copy(config: Config, source: str) -> str:
    if config.generator.name != "torch":
        return (
            f"generator={config.generator.name} samples from the current weights, which are pushed to it at every step, but "
            f"{source} keeps older ones; set generator=torch, or {_without('frozen_copy', config)}"
        )
    return (
        f"{source} copies the whole policy, of which deepspeed.zero_stage=3 leaves each rank a part; set deepspeed.zero_stage=2 or "
        f"less, or {_without('frozen_copy', config)}"
    )


def _no_continuation(config: Config, source: str) -> str:
    return (
        f"{source} goes on from a beginning as if it were a prompt, and would not see a program or a stop text that straddles the "
        "place; set task.solution=chain_of_thought, task.stop=[] and a template other than few_shot, or "
        f"{_without('continuations', config)}"
    )


def _without(name: str, config: Config) -> str:
    """The sources that would do and do not need it."""
    fitting = [other for other, one in SOURCES.items() if name not in one.needs]
    return " or ".join(f"source={other}" for other in fitting if legal(replace(config, source=SourceConfig(name=other))))


CONDITIONS: Mapping[str, Condition] = {
    "reward": Condition(
        lambda config: config.reward.source != "none",
        lambda config, source: f"{source} chooses by the reward, but reward.source=none; set reward.source=rule",
    ),
    "frozen_copy": Condition(
        lambda config: (
            config.generator.name == "torch" and not (config.trainer.name == "deepspeed" and config.deepspeed.zero_stage == 3)
        ),
        _no_copy,
    ),
    "judged_alone": Condition(
        lambda config: not any(judge.source in COMPARING for judge in config.reward.judges.values()),
        lambda config, source: (
            f"{source} has one response to a prompt judged by itself, but reward.source={' or '.join(sorted(COMPARING))} judges "
            "responses by each other; set reward.source=rule, or leave the wrapper out"
        ),
    ),
    COMPARED: Condition(
        lambda config: config.task.name == PREFERENCES or ":" in config.task.name,
        lambda config, source: (
            f"{source} reads pairs that were written, but task={config.task.name} has none; set task={PREFERENCES} and data.path "
            "to a file with prompt, chosen and rejected, or leave the source out"
        ),
    ),
    "continuations": Condition(
        lambda config: (
            not (config.task.solution == "tool_integrated" or config.task.stop or config.task.template == "few_shot")
        ),
        _no_continuation,
    ),
}
