"""Which combinations of settings mean something. No torch.

What a source must provide is matched in `match.py`; here are the rules about everything else.
"""

from __future__ import annotations

from unified_rl.base.errors import ConfigError
from unified_rl.config.axes import ImportanceConfig
from unified_rl.config.pretraining import WORLD, WORLD_TASK
from unified_rl.config.reward_models import check_settings, default_reduction
from unified_rl.config.rewards import CONTROLS, NODE_VALUES, SEVERAL, STEP_VALUES, RewardConfig
from unified_rl.config.schema import Config
from unified_rl.methods.losses import check_losses, needs
from unified_rl.methods.signals import check_needs, of_reward
from unified_rl.presets import match
from unified_rl.presets.reward_rules import check_rewards
from unified_rl.presets.step_rewards import check_step_rewards
from unified_rl.sources.registry import SOURCES, declared
from unified_rl.sources.settings import SourceConfig
from unified_rl.tasks import PROCEDURAL


def check(config: Config) -> None:
    """Refuse a combination of axes that means nothing.

    Raises:
        ConfigError: names the fields at fault, says why, and what to set instead.
    """
    for rule in RULES:
        rule(config)


def _source_options(config: Config) -> None:
    """An option that the chosen source does not read is refused rather than ignored."""
    source, found = config.source, declared(config.source)
    for name, option in SourceConfig.__dataclass_fields__.items():
        if name in ("name", "wrappers", *found.reads) or getattr(source, name) == option.default:
            continue
        readers = [other for other, one in SOURCES.items() if name in one.reads]
        raise ConfigError(
            f"source.{name}={getattr(source, name)} means nothing to {found.setting}; it belongs to "
            f"source={' or '.join(readers)}: leave it out, or set that source"
        )
    found.check(config)


def _group_size(config: Config) -> None:
    if "groups" in config.coefficient.needs and config.rollout.responses_per_prompt < 2:
        raise ConfigError(
            f"coefficient={config.coefficient.name} compares the responses to one prompt, but rollout.responses_per_prompt=1 makes "
            "every advantage 0; set rollout.responses_per_prompt to 2 or more"
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


def _supervision(config: Config) -> None:
    supervision = config.reward.supervision
    if supervision not in config.coefficient.supervisions:
        raise ConfigError(
            f"coefficient={config.coefficient.name} is defined for reward.supervision in "
            f"{sorted(config.coefficient.supervisions)}, not for {supervision!r}: its formula is {config.coefficient.formula}; "
            f"set reward.supervision={_other_supervision(config)}"
        )
    if supervision == "process" and all(judge.source in ("rule", *CONTROLS) for judge in config.reward.judges.values()):
        where, judge = next(iter(config.reward.judges.items()))
        raise ConfigError(
            f"{where}.source={judge.source} judges the final answer only and has no step rewards, but "
            "reward.supervision=process; set "
            "reward.source=exact (tasks with an exact step checker), reward.source=model (a process reward model), "
            f"reward.source={STEP_VALUES} (completions of the policy) or reward.supervision=outcome"
        )


def _other_supervision(config: Config) -> str:
    """What to set in place of a supervision that the coefficient is not defined for."""
    if "outcome" in config.coefficient.supervisions:
        return "outcome, or a coefficient that grades steps (grpo, ppo)"
    if "process" in config.coefficient.supervisions:
        return f"process with a reward that judges steps (reward.source=exact or {STEP_VALUES}), or coefficient=grpo"
    return "none"


def _reward_options(config: Config) -> None:
    """An option that the chosen source does not read is refused rather than ignored."""
    if config.reward.parts and config.reward.source != SEVERAL:
        raise ConfigError(
            f"reward.parts means nothing to reward.source={config.reward.source}; it belongs to reward.source={SEVERAL}: leave it "
            "out, or set that source"
        )
    _check_options(config.reward, "reward")
    for name, judge in config.reward.judges.items():
        _check_options(judge, name)
    if config.reward.source == SEVERAL and config.reward.supervision == "outcome":
        for name, judge in config.reward.judges.items():
            if judge.supervision == "process":
                raise ConfigError(f"{name} judges steps, but reward.supervision=outcome; set reward.supervision=process")


#: Option -> the one with which it is read.
READ_WITH = {"noise_centre": "noise_by", "correction_rates": "correction", "pessimism_scale": "pessimism"}


def _check_options(reward: RewardConfig, where: str) -> None:
    """Refuse an option that this one reward does not read; `where` it is set."""
    if ":" in reward.source:
        return
    readers = {
        **dict.fromkeys(("correct", "incorrect"), ("rule", "exact", STEP_VALUES, NODE_VALUES, *CONTROLS)),
        "completions": (STEP_VALUES,),
        "segmentation": (STEP_VALUES, NODE_VALUES),
        "noise_seed": ("rule", "exact", "random"),
        **dict.fromkeys(("false_positive", "false_negative", "noise_unit", "noise_by"), ("rule", "exact")),
        **dict.fromkeys(("loophole", "correction"), ("rule", "exact")),
        "pattern": ("format",),
        "random_rate": ("random",),
        **dict.fromkeys(("model_path", "output", "reduction", "form", "temperature"), ("model", "mixture")),
        **dict.fromkeys(("members", "pessimism"), ("model", "mixture")),
        "rule_weight": ("mixture",),
    }
    for name, sources in readers.items():
        value = getattr(reward, name)
        if value != getattr(RewardConfig, name) and reward.source not in sources:
            raise ConfigError(
                f"{where}.{name}={value} means nothing to {where}.source={reward.source}; it belongs to {where}.source="
                f"{' or '.join(sources)}: leave it out, or set that source"
            )
    for name, read in {
        "correction_rates": reward.correction != "none",
        **dict.fromkeys(("assumed_false_positive", "assumed_false_negative"), reward.correction_rates == "given"),
        "audited": reward.correction_rates == "estimated",
        "pessimism_scale": reward.pessimism in ("minus_std", "soft"),
        "noise_centre": bool(reward.noise_by),
    }.items():
        if getattr(reward, name) != getattr(RewardConfig, name) and not read:
            raise ConfigError(
                f"{where}.{name}={getattr(reward, name)} is read by nothing here; leave it out, or set "
                f"{where}.{READ_WITH.get(name, 'correction_rates')}"
            )
    if reward.loophole and reward.supervision == "process":
        raise ConfigError(
            f"{where}.loophole={reward.loophole} lets final answers through, and under reward.supervision=process single steps are "
            "judged, which no form lets through; leave it out, or set reward.supervision=outcome"
        )
    if where != "reward" and reward.overlong:
        raise ConfigError(f"{where}.overlong is of the whole reward; set reward.overlong, which is a part by itself")


def _reward_model(config: Config) -> None:
    kind = config.reward_model.kind_for(config.reward.supervision)
    for reward in config.reward.judges.values():
        if reward.made:  # the kind of a model given by its path is read from its card, before the run
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
    if not declared(config.source).provides.sampled and config.data.mixed and config.reward.source != "none":
        raise ConfigError(
            f"data.demonstrations and data.batch=rows mix solutions that nobody grades, but reward.source={config.reward.source} "
            "does; set reward=none, or train on the task's own solutions (data.demonstrations=[], data.batch=demonstrations)"
        )


def _needs(config: Config) -> None:
    check_needs(needs(config), config.coefficient, config)
    if of_reward(config.coefficient.needs) and not config.reward.several and ":" not in config.reward.source:
        raise ConfigError(
            f"coefficient={config.coefficient.name} normalises several rewards apart, but reward.source={config.reward.source} "
            f"is one; set reward.source={SEVERAL} and reward.parts, or coefficient=grpo"
        )


def _aggregation(config: Config) -> None:
    if config.coefficient.contains_weights:
        return
    pairs, pair_mean = "pairs" in config.coefficient.needs, config.aggregation.name == "pair_mean"
    if pairs and config.aggregation.truncated != "keep":
        raise ConfigError(
            f"aggregation.truncated={config.aggregation.truncated} would take one response out of a pair; set "
            "aggregation.truncated=keep"
        )
    if pairs != pair_mean:
        raise ConfigError(
            f"aggregation={config.aggregation.name} does not fit coefficient={config.coefficient.name}: a pair loss is a mean over "
            "pairs (a mean over its 2N sequences would halve it); set aggregation="
            + ("pair_mean" if pairs else "sequence_mean")
        )


def _importance(config: Config) -> None:
    """An option that the chosen correction does not read is refused rather than ignored."""
    options, name = config.importance, config.importance.name
    if config.coefficient.by_losses and name != "none":
        raise ConfigError(
            f"importance={name} weighs the terms of a coefficient, of which coefficient={config.coefficient.name} has none; set "
            "importance=none"
        )
    readers = {
        "cap": ("truncated", "masked"),
        "floor": ("masked", "truncated"),
        "level": ("truncated", "masked", "plain"),
        "normalised": ("truncated", "masked", "plain"),
        "kl": ("truncated", "masked", "plain", "rejected"),
        "reject": ("truncated", "masked", "plain", "rejected"),
        "veto": ("truncated", "masked", "plain", "rejected"),
    }
    for option, names in readers.items():
        value = getattr(options, option)
        if value != getattr(ImportanceConfig, option) and name not in names:
            raise ConfigError(
                f"importance.{option}={value} means nothing to importance={name}; it belongs to importance={' or '.join(names)}: "
                "leave it out, or set that"
            )


def _rejection(config: Config) -> None:
    """What is rejected, by which measure; and whether anything is."""
    options, name = config.importance, config.importance.name
    for option in ("reject_over", "reject_cap", "reject_floor"):
        value = getattr(options, option)
        of_ratio = option == "reject_floor"
        if value != getattr(ImportanceConfig, option) and options.reject != "ratio" and (of_ratio or options.reject == "none"):
            raise ConfigError(
                f"importance.{option}={value} means nothing to importance.reject={options.reject}; leave it out, or set "
                f"importance.reject=ratio{'' if of_ratio else ', k2 or k3'}"
            )
    if options.rejected != "counted" and not options.drops:
        raise ConfigError(
            f"importance.rejected={options.rejected} is about tokens that are rejected, but nothing rejects any; set "
            "importance.reject or importance.veto, or leave it out"
        )
    if name == "rejected" and not options.drops:
        raise ConfigError(
            "importance=rejected rejects nothing by itself; set importance.reject=ratio, k2 or k3, or importance.veto"
        )


def _bypass(config: Config) -> None:
    if config.importance.name == "bypass" and not config.coefficient.corrects_staleness:
        raise ConfigError(
            f"importance=bypass takes the coefficient's ratio to the sampler, but coefficient={config.coefficient.name} has none; "
            "set importance=truncated"
        )


def _letters(config: Config) -> None:
    if config.task.solution == "letter_likelihood":
        raise ConfigError("task.solution=letter_likelihood is a way to evaluate; train with another task.solution")


def _greedy(config: Config) -> None:
    if config.generator.temperature == 0 and declared(config.source).provides.samples:
        raise ConfigError(
            f"training on samples with {match.decoding_words(config)} is refused: greedy responses to a prompt are all alike; "
            "set generator.temperature above 0"
        )


def _curve(config: Config) -> None:
    if config.logging.curve_samples and config.evaluation.temperature == 0:
        raise ConfigError(
            f"logging.curve_samples={config.logging.curve_samples} samples at evaluation.temperature=0 are one greedy answer, over "
            "and over; set evaluation.temperature above 0, or logging.curve_samples=0"
        )


def _compiled(config: Config) -> None:
    if config.trainer.compiled and config.trainer.name == "deepspeed" and config.deepspeed.zero_stage == 3:
        raise ConfigError(
            "trainer.compiled=true needs the weights of a whole pass, which deepspeed.zero_stage=3 gathers layer by layer; leave "
            "trainer.compiled out, or set deepspeed.zero_stage=2"
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


def _lora(config: Config) -> None:
    for setting, asked in {
        "trainer.compiled": config.trainer.compiled,
        "generator.compiled": config.generator.compiled,
    }.items():
        if config.model.lora.rank and asked:
            raise ConfigError(
                f"{setting}=true compiles a model as its architecture has it, and model.lora.rank={config.model.lora.rank} puts an "
                f"adapter into it; leave {setting} out, or set model.lora.rank=0"
            )


def _pages(config: Config) -> None:
    """The made-up world of pre-training is one task's; a procedural task is not another one's by any option."""
    task, tokenizer = config.task.name, config.model.tokenizer
    if tokenizer.startswith(WORLD) and task in PROCEDURAL and task != WORLD_TASK:
        raise ConfigError(
            f"task={task} has no pages of pre-training: the made-up world (model.tokenizer={tokenizer}) tells problems of "
            f"task={WORLD_TASK}, in its words alone; set task={WORLD_TASK}, or pre-train on token files of your own with a "
            "tokenizer of theirs (docs/pretraining.md)"
        )


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


def _ahead(config: Config) -> None:
    if config.rollout.staleness and config.importance.name == "none":
        raise ConfigError(
            f"rollout.staleness={config.rollout.staleness} trains on responses of an older policy, but nothing weighs them: the "
            f"importance weight of coefficient={config.coefficient.name} (if any) begins at 1 with each rollout; set "
            "importance=truncated or importance=masked, or rollout.staleness=0"
        )


def _deepspeed(config: Config) -> None:
    if config.trainer.name != "deepspeed":
        return
    options = config.deepspeed
    if config.model.dtype == "float16":
        raise ConfigError(
            "model.dtype=float16 with engine=deepspeed is refused: DeepSpeed leaves out the updates whose gradients overflow, so "
            "its runs would make fewer than others; set trainer=torch, or model.dtype=bfloat16"
        )
    if options.zero_stage == 0 and config.model.dtype == "bfloat16":
        raise ConfigError(
            "deepspeed.zero_stage=0 with model.dtype=bfloat16 is refused: DeepSpeed's bfloat16 optimiser without ZeRO takes other "
            "steps than AdamW does; set deepspeed.zero_stage=1 or more"
        )
    lowest = {"none": 0, "optimizer": 1, "optimizer_and_parameters": 3}[options.offload]
    if options.zero_stage < lowest:
        raise ConfigError(
            f"deepspeed.offload={options.offload} offloads what each rank holds a part of, but deepspeed.zero_stage="
            f"{options.zero_stage} does not divide it; set deepspeed.zero_stage={lowest} or more, or deepspeed.offload=none"
        )


RULES = (
    check_losses,
    _needs,
    match.check_source,
    _source_options,
    _group_size,
    _reward,
    _supervision,
    check_step_rewards,
    _reward_options,
    check_rewards,
    _reward_model,
    _overlong,
    _mixed_demonstrations,
    _aggregation,
    _importance,
    _rejection,
    _bypass,
    _letters,
    _curve,
    _greedy,
    _compiled,
    _lora,
    _pages,
    _vllm,
    _ahead,
    _deepspeed,
)
