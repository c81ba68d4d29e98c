"""Which rewards mean something to which coefficient, by what it reads of them. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from unified_rl.base.errors import ConfigError
from unified_rl.config.schema import Config


def check_rewards(config: Config) -> None:
    """Refuse rewards that the coefficient does not see, or turns round.

    Raises:
        ConfigError: the reason and the remedy.
    """
    _correction(config)
    _over_mean(config)


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
