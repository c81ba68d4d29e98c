"""THE table: name -> Method(data source, reward, gradient coefficient). No torch.

    grad J = E_{(q, o) ~ source} [ 1/|o| sum_t  GC(q, o, t, reward)  grad log pi(o_t | q, o_<t) ]        (Eq. 5)

A method is a row. Any other combination of the three columns is configured (`method=grpo source=offline_samples`), and `check`
refuses the ones that mean nothing, with the reason and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.coefficient_config import COEFFICIENTS
from unified_rl.config import Config, RewardConfig
from unified_rl.errors import ConfigError
from unified_rl.reward_model_config import check_settings, default_reduction


@dataclass(frozen=True)
class Method:
    """One row.

    source: where (q, o) come from (config.SOURCES). reward: who judges (config.REWARD_SOURCES). supervision: "none", "outcome" or
    "process". coefficient: a name in config.COEFFICIENTS, or FILE.py:CLASS. label: how figures and tables call it.
    """

    source: str
    reward: str
    supervision: str
    coefficient: str
    label: str


#                           data source            reward  supervision  coefficient  label
METHODS: dict[str, Method] = {
    "sft": Method("demonstrations", "none", "none", "sft", "SFT (continued)"),
    "rft": Method("offline_samples", "rule", "outcome", "rft", "RFT"),
    "dpo": Method("preference_pairs", "rule", "outcome", "dpo", "DPO"),
    "online_rft": Method("online_samples", "rule", "outcome", "rft", "Online RFT"),
    "ppo": Method("online_samples", "rule", "outcome", "ppo", "PPO"),
    "grpo": Method("online_samples", "rule", "outcome", "grpo", "GRPO+OS"),
    "grpo_ps": Method("online_samples", "exact", "process", "grpo", "GRPO+PS"),
    "rloo": Method("online_samples", "rule", "outcome", "rloo", "RLOO"),
    "dr_grpo": Method("online_samples", "rule", "outcome", "dr_grpo", "Dr. GRPO"),
    "dapo": Method("informative_samples", "rule", "outcome", "dapo", "DAPO"),
}

ONLINE_SOURCES = frozenset({"online_samples", "informative_samples"})

#: Table 10's own words for the six methods of the paper, by source and by (reward, supervision).
SOURCE_IN_WORDS = {
    "demonstrations": "q, o ~ P_sft(Q, O)",
    "offline_samples": "q ~ P_sft(Q), o ~ pi_sft(O|q)",
    "online_samples": "q ~ P_sft(Q), o ~ pi_theta(O|q)",
    "informative_samples": "q ~ P_sft(Q), o ~ pi_theta(O|q), groups whose rewards agree replaced",
    "preference_pairs": "q ~ P_sft(Q), o+, o- ~ pi_sft(O|q)",
}


def table() -> list[dict[str, str]]:
    """The table as plain rows, for `unified-rl methods` and for figures."""
    return [
        {
            "method": name,
            "label": method.label,
            "source": method.source,
            "source_in_words": SOURCE_IN_WORDS[method.source],
            "reward": method.reward,
            "supervision": method.supervision,
            "coefficient": method.coefficient,
            "formula": COEFFICIENTS[method.coefficient].formula,
            "equation": COEFFICIENTS[method.coefficient].equation,
        }
        for name, method in METHODS.items()
    ]


def check(config: Config) -> None:
    """Refuse a combination of axes that means nothing.

    Raises:
        ConfigError: names the fields at fault, says why, and what to set instead.
    """
    for rule in RULES:
        rule(config)


def _pairs(config: Config) -> None:
    wants, has = "pairs" in config.coefficient.needs, config.source.name == "preference_pairs"
    if wants and not has:
        raise ConfigError(
            f"coefficient={config.coefficient.name} compares a chosen with a rejected response, but source={config.source.name} "
            "does not yield pairs; set source=preference_pairs, or another coefficient"
        )
    if has and not wants:
        raise ConfigError(
            f"source=preference_pairs yields pairs, which coefficient={config.coefficient.name} cannot use "
            "(a pair is not a sample of any policy); set source=offline_samples or source=online_samples, or coefficient=dpo"
        )
    if has and config.source.samples_per_prompt < 2:
        raise ConfigError("source=preference_pairs needs source.samples_per_prompt of at least 2 to choose from")


def _groups(config: Config) -> None:
    if "groups" not in config.coefficient.needs:
        return
    name = config.coefficient.name
    if config.source.name == "demonstrations":
        raise ConfigError(
            f"coefficient={name} compares the responses to one prompt, but source=demonstrations has one each, so every advantage "
            "would be 0; set source=online_samples or source=offline_samples, or coefficient=sft or coefficient=rft"
        )
    if config.rollout.responses_per_prompt < 2:
        raise ConfigError(
            f"coefficient={name} compares the responses to one prompt, but rollout.responses_per_prompt=1 makes every advantage 0; "
            "set rollout.responses_per_prompt to 2 or more"
        )


def _reward(config: Config) -> None:
    none = config.reward.source == "none"
    if none != (config.reward.supervision == "none"):
        raise ConfigError(
            f"reward.source={config.reward.source} and reward.supervision={config.reward.supervision} contradict each other; "
            "both or neither of them are 'none'"
        )
    if none and "none" not in config.coefficient.supervisions:
        raise ConfigError(
            f"coefficient={config.coefficient.name} is a function of the reward, but reward.source=none; set reward.source=rule"
        )
    if none and config.source.name in ("preference_pairs", "informative_samples"):
        raise ConfigError(f"source={config.source.name} chooses by the reward, but reward.source=none; set reward.source=rule")


def _supervision(config: Config) -> None:
    supervision = config.reward.supervision
    if supervision not in config.coefficient.supervisions:
        raise ConfigError(
            f"coefficient={config.coefficient.name} is defined for reward.supervision in "
            f"{sorted(config.coefficient.supervisions)}, not for {supervision!r}: its formula is {config.coefficient.formula}; "
            "set reward.supervision=outcome, or a coefficient that grades steps (grpo, ppo)"
        )
    if supervision == "process" and config.reward.source == "rule":
        raise ConfigError(
            "reward.source=rule judges the final answer only and has no step rewards, but reward.supervision=process; set "
            "reward.source=exact (tasks with an exact step checker), reward.source=model (a process reward model) or "
            "reward.supervision=outcome"
        )


def _reward_options(config: Config) -> None:
    """An option that the chosen source does not read is refused rather than ignored."""
    reward = config.reward
    if ":" in reward.source:
        return
    readers = {
        **dict.fromkeys(("correct", "incorrect"), ("rule", "exact")),
        **dict.fromkeys(("false_positive", "false_negative", "noise_seed"), ("rule", "exact")),
        **dict.fromkeys(("model_path", "output", "reduction", "form", "temperature"), ("model", "mixture")),
        "rule_weight": ("mixture",),
    }
    for name, sources in readers.items():
        value = getattr(reward, name)
        if value != getattr(RewardConfig, name) and reward.source not in sources:
            raise ConfigError(
                f"reward.{name}={value} means nothing to reward.source={reward.source}; it belongs to reward.source="
                f"{' or '.join(sources)}: leave it out, or set that source"
            )


def _reward_model(config: Config) -> None:
    reward, kind = config.reward, config.reward_model.kind_for(config.reward.supervision)
    if reward.learned and not reward.model_path:  # the kind of a model given by its path is read from its card, before the run
        check_settings(
            kind,
            reward.supervision,
            reward.output,
            reward.reduction or default_reduction(kind),
            reward.form,
            reward.temperature,
        )


def _overlong(config: Config) -> None:
    if not config.reward.overlong:
        return
    if config.reward.supervision == "process":
        raise ConfigError(
            "reward.overlong lowers the reward of the whole response, which reward.supervision=process does not use; set "
            "reward.overlong=0 or reward.supervision=outcome"
        )
    if config.reward.overlong > config.generator.max_new_tokens:
        raise ConfigError(
            f"reward.overlong={config.reward.overlong} exceeds generator.max_new_tokens="
            f"{config.generator.max_new_tokens}; set it lower"
        )


def _value_model(config: Config) -> None:
    missing = [name for name in ("value_learning_rate", "value_epochs") if not hasattr(config.coefficient, name)]
    if "values" in config.coefficient.needs and missing:
        raise ConfigError(
            f"coefficient={config.coefficient.name} needs values, but has no option {' nor '.join(missing)} for the value model's "
            "companion update; set them as fields of its dataclass (see PpoCoefficient in unified_rl/coefficient_config.py)"
        )


def _online_likelihood(config: Config) -> None:
    if config.coefficient.name == "sft" and config.source.name in ONLINE_SOURCES:
        raise ConfigError(
            "coefficient=sft is 1 for every response; on the policy's own samples its expected gradient is exactly zero "
            "(the score function has mean 0); set source=demonstrations or source=offline_samples, or coefficient=rft"
        )
    if config.coefficient.name == "ppo" and config.source.name == "demonstrations":
        raise ConfigError(
            "coefficient=ppo estimates advantages of the policy's own actions, but source=demonstrations holds somebody else's; "
            "set source=online_samples or source=offline_samples"
        )


def _support(config: Config) -> None:
    if config.source.name != "demonstrations" and not config.generator.decoding.full_support:
        raise ConfigError(
            f"training on samples with generator.temperature={config.generator.temperature}, top_p={config.generator.top_p}, "
            f"top_k={config.generator.top_k} is refused: the policy's log-probs are then not those of the sampler; "
            "set generator.temperature above 0, generator.top_p=1 and generator.top_k=0"
        )


def _aggregation(config: Config) -> None:
    if config.coefficient.contains_weights:
        return
    pairs, pair_mean = "pairs" in config.coefficient.needs, config.aggregation.name == "pair_mean"
    if pairs and config.aggregation.truncated == "drop":
        raise ConfigError("aggregation.truncated=drop would take one response out of a pair; set aggregation.truncated=keep")
    if pairs != pair_mean:
        raise ConfigError(
            f"aggregation={config.aggregation.name} does not fit coefficient={config.coefficient.name}: a pair loss is a mean over "
            "pairs (a mean over its 2N sequences would halve it); set aggregation="
            + ("pair_mean" if pairs else "sequence_mean")
        )


def _staleness(config: Config) -> None:
    online = config.source.name in ONLINE_SOURCES
    if online and config.rollout.updates > 1 and not config.coefficient.corrects_staleness:
        raise ConfigError(
            f"rollout.epochs x rollout.minibatches = {config.rollout.updates} updates per rollout, but coefficient="
            f"{config.coefficient.name} has no importance weight, so all but the first would follow a wrong gradient; "
            "set both to 1, or a coefficient with an importance weight (grpo, ppo, dr_grpo, dapo)"
        )


RULES = (
    _pairs,
    _groups,
    _reward,
    _supervision,
    _reward_options,
    _reward_model,
    _overlong,
    _value_model,
    _online_likelihood,
    _support,
    _aggregation,
    _staleness,
)
