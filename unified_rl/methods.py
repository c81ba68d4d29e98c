"""THE table: name -> Method(data source, reward, gradient coefficient). No torch.

    grad J = E_{(q, o) ~ source} [ 1/|o| sum_t  GC(q, o, t, reward)  grad log pi(o_t | q, o_<t) ]        (Eq. 5)

A method is a row. Any other combination of the three columns is configured (`method=grpo source=offline_samples`), and `check`
refuses the ones that mean nothing, with the reason and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.coefficient_config import COEFFICIENTS
from unified_rl.config import Config, ImportanceConfig, RewardConfig, SourceConfig
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

ONLINE_SOURCES = frozenset({"online_samples", "informative_samples", "refreshed_samples", "tree_search"})
#: Sources of text that is kept for good, once a frozen policy has written it.
STORED_SOURCES = frozenset({"offline_samples", "preference_pairs"})

#: Table 10's own words for the six methods of the paper, by source and by (reward, supervision).
SOURCE_IN_WORDS = {
    "demonstrations": "q, o ~ P_sft(Q, O)",
    "offline_samples": "q ~ P_sft(Q), o ~ pi_sft(O|q)",
    "online_samples": "q ~ P_sft(Q), o ~ pi_theta(O|q)",
    "refreshed_samples": "q ~ P_sft(Q), o ~ pi_theta of the last refresh (O|q)",
    "informative_samples": "q ~ P_sft(Q), o ~ pi_theta(O|q), groups whose rewards agree replaced",
    "tree_search": "q ~ P_sft(Q), o ~ pi_theta(O|q, a prefix of another o that ends with a step)",
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


def _mixed_demonstrations(config: Config) -> None:
    if config.source.name == "demonstrations" and config.data.mixed and config.reward.source != "none":
        raise ConfigError(
            f"data.demonstrations and data.batch=rows mix solutions that nobody grades, but reward.source={config.reward.source} "
            "does; set reward=none, or train on the task's own solutions (data.demonstrations=[], data.batch=demonstrations)"
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
    """Filtered sampling (top-p, top-k) makes data for likelihoods, once and for all, and for nothing else.

    An expectation over a policy's samples needs every response that the policy could write, and their log-probs; a filter
    renormalises these over a support that nobody has kept. And while the sampler is the trained policy itself, each step would
    sharpen what the next one samples from, which is no method of the table. A stored set of accepted texts is data like any
    other: its likelihood (rft, sft) or its preferences (dpo) mean the same whoever wrote it.
    """
    decoding, source = config.generator.decoding, config.source.name
    if source == "demonstrations" or decoding.full_support:
        return
    settings = f"generator.temperature={decoding.temperature}, top_p={decoding.top_p}, top_k={decoding.top_k}"
    if decoding.temperature == 0:
        raise ConfigError(
            f"training on samples with {settings} is refused: greedy responses to a prompt are all alike; "
            "set generator.temperature above 0"
        )
    if source in STORED_SOURCES and config.coefficient.any_sampler and config.importance.name == "none":
        return
    raise ConfigError(
        f"training on samples with {settings} is refused with source={source} and coefficient={config.coefficient.name}: the "
        "policy's log-probs are then not those of the sampler; set generator.top_p=1 and generator.top_k=0, or store the samples "
        "once and weigh their likelihood (source=offline_samples coefficient=rft, or method=dpo) with importance=none"
    )


def _tree(config: Config) -> None:
    source = config.source
    if source.name != "tree_search":
        return
    if not config.coefficient.any_sampler or config.importance.name != "none":
        raise ConfigError(
            f"coefficient={config.coefficient.name} with importance={config.importance.name} is about the policy's samples and "
            "their probability, but source=tree_search yields responses that share beginnings and were continued where the search "
            "chose to: nobody knows how likely it was to find each, so no importance weight can correct for it; set "
            "coefficient=rft and importance=none, or source=online_samples"
        )
    if source.roots > config.rollout.responses_per_prompt:
        raise ConfigError(
            f"source.roots={source.roots} exceeds rollout.responses_per_prompt={config.rollout.responses_per_prompt}, which counts "
            "roots and branches together; lower source.roots"
        )
    if config.task.solution == "tool_integrated" or config.task.stop or config.task.template == "few_shot":
        raise ConfigError(
            "source=tree_search goes on from a beginning as if it were a prompt, and would not see a program or a stop text that "
            "straddles the place; set task.solution=chain_of_thought, task.stop=[] and a template other than few_shot, or "
            "source=online_samples"
        )


def _refreshed(config: Config) -> None:
    if config.source.name != "refreshed_samples":
        return
    if config.generator.name != "torch":
        raise ConfigError(
            f"generator={config.generator.name} samples from the current weights, which are pushed to it at every step, but "
            "source=refreshed_samples keeps older ones; set generator=torch, or source=online_samples"
        )
    if config.trainer.name == "deepspeed" and config.deepspeed.zero_stage == 3:
        raise ConfigError(
            "source=refreshed_samples copies the whole policy, of which deepspeed.zero_stage=3 leaves each rank a part; set "
            "deepspeed.zero_stage=2 or less, or source=online_samples"
        )


def _slices(config: Config) -> None:
    if config.data.slices and config.source.name == "demonstrations":
        raise ConfigError(
            f"data.slices={config.data.slices} chooses training prompts, but source=demonstrations comes with its own; leave "
            "data.slices out, or set source=online_samples or source=offline_samples"
        )


def _source_options(config: Config) -> None:
    """An option that the chosen source does not read is refused rather than ignored."""
    source = config.source
    readers = {
        "refresh_every": ("refreshed_samples",),
        **dict.fromkeys(("roots", "branch_rounds", "branch_from", "segmentation"), ("tree_search",)),
    }
    for name, sources in readers.items():
        value = getattr(source, name)
        if value != getattr(SourceConfig, name) and source.name not in sources:
            raise ConfigError(
                f"source.{name}={value} means nothing to source={source.name}; it belongs to source={' or '.join(sources)}: "
                "leave it out, or set that source"
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


def _importance(config: Config) -> None:
    name = config.importance.name
    readers = {"cap": ("truncated", "masked"), "level": ("truncated", "masked"), "floor": ("masked",)}
    for option, names in readers.items():
        value = getattr(config.importance, option)
        if value != getattr(ImportanceConfig, option) and name not in names:
            raise ConfigError(
                f"importance.{option}={value} means nothing to importance={name}; it belongs to importance={' or '.join(names)}: "
                "leave it out, or set that"
            )
    if name == "none":
        return
    if config.source.name == "demonstrations":
        raise ConfigError(
            f"importance={name} weighs responses by pi_old / pi_sampler, but source=demonstrations has no sampler whose log-probs "
            "are known; set importance=none, or source=online_samples or source=offline_samples"
        )
    if "pairs" in config.coefficient.needs:
        raise ConfigError(
            f"importance={name} weighs each response by itself, but coefficient={config.coefficient.name} has one loss per pair, "
            "whose two responses share a margin: weights of their own would make it the gradient of no loss; set importance=none"
        )


def _compiled(config: Config) -> None:
    if config.trainer.compiled and config.trainer.name != "torch":
        raise ConfigError(
            f"trainer.compiled=true is the torch trainer's, but trainer={config.trainer.name} runs its own passes; leave "
            "trainer.compiled out"
        )
    if not config.generator.compiled:
        return
    if config.generator.name != "torch" or config.model.device != "cpu":
        raise ConfigError(
            f"generator.compiled=true is the torch generator on a CPU, but generator={config.generator.name} and "
            f"model.device={config.model.device}; leave generator.compiled out"
        )
    if config.model.dtype != "float32":
        raise ConfigError(f"generator.compiled=true is for model.dtype=float32, not {config.model.dtype}; leave it out")


def _vllm(config: Config) -> None:
    if config.generator.name != "vllm":
        return
    if config.model.device not in ("cpu", "cuda", "cuda:0"):
        raise ConfigError(
            f"generator=vllm takes the first device it sees, but model.device={config.model.device}; set "
            f"CUDA_VISIBLE_DEVICES={config.model.device.rpartition(':')[2]} in the environment, and model.device=cuda"
        )
    if config.vllm.between_rollouts == "asleep" and config.model.device == "cpu":
        raise ConfigError("vllm.between_rollouts=asleep frees a CUDA device's memory, but model.device=cpu; set it to awake")


def _staleness(config: Config) -> None:
    online = config.source.name in ONLINE_SOURCES
    if online and config.rollout.updates > 1 and not config.coefficient.corrects_staleness:
        raise ConfigError(
            f"rollout.epochs x rollout.minibatches = {config.rollout.updates} updates per rollout, but coefficient="
            f"{config.coefficient.name} has no importance weight, so all but the first would follow a wrong gradient; "
            "set both to 1, or a coefficient with an importance weight (grpo, ppo, dr_grpo, dapo)"
        )


def _ahead(config: Config) -> None:
    staleness = config.rollout.staleness
    if not staleness:
        return
    if config.source.name not in ONLINE_SOURCES:
        raise ConfigError(
            f"rollout.staleness={staleness} lets sampling run ahead of training, but source={config.source.name} does not sample "
            "the current policy; set rollout.staleness=0, or source=online_samples"
        )
    if config.importance.name == "none":
        raise ConfigError(
            f"rollout.staleness={staleness} trains on responses of an older policy, but nothing weighs them: the importance weight "
            f"of coefficient={config.coefficient.name} (if any) begins at 1 with each rollout; set importance=truncated or "
            "importance=masked, or rollout.staleness=0"
        )


def _deepspeed(config: Config) -> None:
    if config.trainer.name != "deepspeed":
        return
    options = config.deepspeed
    if options.zero_stage == 0 and config.model.dtype == "bfloat16":
        raise ConfigError(
            "deepspeed.zero_stage=0 with model.dtype=bfloat16 is refused: DeepSpeed's bfloat16 optimiser without ZeRO takes other "
            "steps than AdamW does; set deepspeed.zero_stage=1 or more"
        )
    if options.zero_stage == 3 and config.source.name == "refreshed_samples":
        raise ConfigError(
            "source=refreshed_samples copies the policy's weights, which deepspeed.zero_stage=3 divides among the ranks; set "
            "deepspeed.zero_stage=2, or source=online_samples"
        )
    lowest = {"none": 0, "optimizer": 1, "optimizer_and_parameters": 3}[options.offload]
    if options.zero_stage < lowest:
        raise ConfigError(
            f"deepspeed.offload={options.offload} offloads what each rank holds a part of, but deepspeed.zero_stage="
            f"{options.zero_stage} does not divide it; set deepspeed.zero_stage={lowest} or more, or deepspeed.offload=none"
        )


RULES = (
    _pairs,
    _groups,
    _reward,
    _supervision,
    _reward_options,
    _reward_model,
    _overlong,
    _mixed_demonstrations,
    _value_model,
    _online_likelihood,
    _support,
    _tree,
    _refreshed,
    _slices,
    _source_options,
    _aggregation,
    _importance,
    _compiled,
    _vllm,
    _staleness,
    _ahead,
    _deepspeed,
)
