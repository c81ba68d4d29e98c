"""Which rewards mean something: to which coefficient, of how many responses, and whether they tell any apart. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from unified_rl.base.errors import ConfigError
from unified_rl.config.rewards import COMPARING, LENGTH, SEVERAL, RewardConfig, shifted_rate
from unified_rl.config.schema import Config
from unified_rl.grading.forms import form, is_form
from unified_rl.presets import chain
from unified_rl.sources.registry import declared

#: What a corrected judgement may be worth, in rewards of a right answer: beyond it a single response is the whole update.
_MOST_WORTH = 20


def check_rewards(config: Config) -> None:
    """Refuse rewards that say nothing, or that the coefficient does not see or turns round.

    Raises:
        ConfigError: the reason and the remedy.
    """
    _forms(config)
    _correction(config)
    _divided(config)
    _over_mean(config)
    _audited(config)
    _compared(config)
    _says_something(config)
    _accepts_something(config)


def _forms(config: Config) -> None:
    """Forms of responses are known ones."""
    for where, judge in config.reward.judges.items():
        for name in ("loophole", "pattern", "noise_by"):
            if (value := getattr(judge, name)) and (name != "noise_by" or is_form(value)):
                form(value, f"{where}.{name}")
    if config.logging.form:
        form(config.logging.form, "logging.form")


def _divided(config: Config) -> None:
    """What a correction by a response's own rates divides by: next to nothing, where these change far."""
    for where, judge in config.reward.judges.items():
        if judge.correction == "none" or judge.correction_rates != "known":
            continue
        for x in _ends_of(judge, config):
            rates = [_rate_at(judge, rate, x) for rate in (judge.false_positive, judge.false_negative)]
            if 1 - sum(rates) < 1 / _MOST_WORTH:
                raise ConfigError(
                    f"{where}.correction={judge.correction} divides by 1 - {rates[0]:.3g} - {rates[1]:.3g}, what the judge knows "
                    f"of responses whose {where}.noise_by={judge.noise_by} is {x:g}; lower {where}.noise_slope or the rates "
                    f"until that is {1 / _MOST_WORTH:g} or more, or give constant ones (correction_rates=given)"
                )


def _rate_at(judge: RewardConfig, rate: float, x: float) -> float:
    return shifted_rate(rate, judge.noise_slope * (x - judge.noise_centre))


def _ends_of(judge: RewardConfig, config: Config) -> tuple[float, ...]:
    """Least and most of what the rates change along, where that is known before a problem is."""
    if judge.noise_by == LENGTH:
        return (1.0, float(config.generator.max_new_tokens))
    return (0.0, 1.0) if is_form(judge.noise_by) else ()


def _correction(config: Config) -> None:
    if config.reward.corrected and not config.coefficient.reads_reward:
        raise ConfigError(
            f"reward.correction changes what a judgement is worth, but coefficient={config.coefficient.name} reads only which "
            "responses are accepted; set coefficient=policy_gradient (method=reinforce), or method=online_rft coefficient.by=reward"
        )


def _over_mean(config: Config) -> None:
    """Divided by a mean that is not above 0 an advantage changes its sign: what is better would be unlearned."""
    if getattr(config.coefficient, "std", "none") != "mean":
        return
    for setting, remedy in _below_zero(config):
        raise ConfigError(
            f"{setting} makes rewards below 0, but coefficient={config.coefficient.name} divides by the group's mean reward "
            f"(coefficient.std=mean): where that is below 0 it trains backwards; set {remedy}, or coefficient.std=population"
        )


def _below_zero(config: Config) -> Iterator[tuple[str, str]]:
    """What makes rewards below 0, and what to set instead."""
    reward, coefficient = config.reward, config.coefficient
    for where, judge in reward.judges.items():
        if judge.correction != "none":
            yield f"{where}.correction={judge.correction}", f"{where}.correction=none"
        for name in ("correct", "incorrect"):
            if getattr(judge, name) < 0:
                yield f"{where}.{name}={getattr(judge, name):g}", f"{where}.{name} to 0 or more"
        if judge.learned and judge.output == "logit":
            yield f"{where}.output=logit", f"{where}.output=probability"
    for name, part in reward.parts.items():
        if part.weight < 0:
            yield f"reward.parts.{name}.weight={part.weight:g}", f"reward.parts.{name}.weight to 0 or more"
    if reward.overlong:
        yield f"reward.overlong={reward.overlong}", "reward.overlong=0"
    if coefficient.kl_coef and coefficient.kl_in == "reward":
        yield "coefficient.kl_in=reward", "coefficient.kl_in=loss"


def _audited(config: Config) -> None:
    """Rates are counted on as many responses as are asked for, or not at all."""
    if not config.reward.audits:
        return
    stage = config.stages[name := chain.provider(config, chain.RESPONSES)]
    if ":" in stage.kind:  # of a user's own kind nobody knows how many it makes
        return
    section = {**vars(config.reward_model), **stage.settings.get("reward_model", {})}
    stored = section["prompts"] * section["samples_per_prompt"]
    for where, judge in config.reward.judges.items():
        if judge.correction_rates == "estimated" and judge.audited > stored:
            raise ConfigError(
                f"{where}.audited={judge.audited} responses are to be counted on, but stage {name} has {section['prompts']} x "
                f"{section['samples_per_prompt']} = {stored}; set {where}.audited to that or less, or raise reward_model.prompts"
            )


def _compared(config: Config) -> None:
    """A judge of responses by each other has others to compare with."""
    alone = declared(config.source).provides.responses == "one" or config.rollout.responses_per_prompt < 2
    for where, judge in config.reward.judges.items():
        if judge.source in COMPARING and alone:
            raise ConfigError(
                f"{where}.source={judge.source} judges the responses to a prompt by each other, and here each is alone; set "
                "rollout.responses_per_prompt to 2 or more, with a source of groups, or reward.source=rule"
            )


def _says_something(config: Config) -> None:
    """A judge that accepts everything, or nothing, tells no response from another."""
    for where, judge in config.reward.judges.items():
        if said := _constant(judge, where):
            raise ConfigError(f"{said} whatever the response is, so that nothing is learned from it; set another rate")


def _constant(judge: RewardConfig, where: str) -> str:
    """The settings by which a judge says one thing of every response, and which; "" where it does not."""
    rates = f"{where}.false_positive={judge.false_positive:g} with {where}.false_negative={judge.false_negative:g}"
    if (judge.false_positive, judge.false_negative) == (1.0, 0.0):
        return f"{rates} accepts"
    if (judge.false_positive, judge.false_negative) == (0.0, 1.0) and not judge.loophole:
        return f"{rates} rejects"
    if judge.random_rate in (0.0, 1.0):  # where another judge reads it not, it is refused
        return f"{where}.random_rate={judge.random_rate:g} {'accepts' if judge.random_rate else 'rejects'}"
    return ""


def _accepts_something(config: Config) -> None:
    """Several rewards accept what parts of more than half of the weights above 0 accept."""
    reward, coefficient = config.reward, config.coefficient
    if reward.source == SEVERAL and not coefficient.reads_reward and all(part.weight <= 0 for part in reward.parts.values()):
        raise ConfigError(
            f"reward.parts.{next(iter(reward.parts))}.weight and all others are not above 0, so that no response is accepted, and "
            f"coefficient={coefficient.name} reads nothing else of the reward; set a weight above 0, or another coefficient"
        )
