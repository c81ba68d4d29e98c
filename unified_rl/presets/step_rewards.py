"""Which rewards of what steps gain mean something: what they need of supervision, source and task. No torch."""

from __future__ import annotations

from unified_rl.base.errors import ConfigError
from unified_rl.config.rewards import NODE_VALUES, STEP_VALUES
from unified_rl.config.schema import Config
from unified_rl.presets import match
from unified_rl.sources.declaration import Writer
from unified_rl.sources.registry import declared


def check_step_rewards(config: Config) -> None:
    """Refuse rewards of what steps gain where nothing is judged step by step, or where there is nothing to estimate it with.

    Raises:
        ConfigError: the reason and the remedy.
    """
    for judge in config.reward.judges.values():
        if judge.source in (STEP_VALUES, NODE_VALUES) and judge.supervision != "process":
            _of_steps_only(config, judge.source)
    if config.reward.completed:
        _completions(config)


def _completions(config: Config) -> None:
    """Step values are the present policy's: of its own responses, gone on with as from a prompt."""
    who = f"reward.source={STEP_VALUES}"
    source = declared(config.source)
    if source.provides.unknown_probability:
        raise ConfigError(
            f"{who} samples completions beside the responses, but those of {source.setting} have others that begin alike; set "
            f"reward.source={NODE_VALUES}, or source=online_samples"
        )
    if source.provides.writer is not Writer.CURRENT:
        raise ConfigError(
            f"{who} estimates values under the policy that wrote the responses, by completions of the present policy, but "
            f"{source.setting} has those of {source.provides.writer.value}; set source=online_samples, or reward.source=exact"
        )
    if not match.CONDITIONS["continuations"].met(config):
        raise ConfigError(
            f"{who} goes on from a step's end as if it were a prompt, and would not see a program or a stop text that straddles "
            "the place; set task.solution=chain_of_thought, task.stop=[] and a template other than few_shot, or reward.source=exact"
        )


def _of_steps_only(config: Config, source: str) -> None:
    """Refuse a reward that says what steps are worth where outcomes are judged."""
    raise ConfigError(
        f"reward.source={source} says what each step gains, but reward.supervision={config.reward.supervision} asks for one reward "
        "per response, which is the rule's; set reward.supervision=process, or reward.source=rule"
    )
