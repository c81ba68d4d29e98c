"""What a configuration would do: the equation with this run's choices in it, the axes, the batch arithmetic, the files. No torch.

Starts nothing and reads no model; `unified-rl explain` prints it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unified_rl.config import Config
from unified_rl.methods import ONLINE_SOURCES, SOURCE_IN_WORDS
from unified_rl.reward_model_config import default_reduction

WEIGHTS = {
    "sequence_mean": "1/(N |o|)",
    "prompt_token_mean": "1/(P sum of |o| in the prompt's group)",
    "batch_token_mean": "1/(sum of |o| in the batch)",
    "constant_length": "1/(N {length})",
    "pair_mean": "1/(N_pairs |o|)",
}


def facts(config: Config) -> dict[str, Any]:
    """Everything `explain` prints, as plain data."""
    return {
        "method": config.method,
        "label": config.label,
        "equation": _equation(config),
        "axes": _axes(config),
        "batch": _batch(config),
        "roles": _roles(config),
        "writes": _writes(config),
    }


def render(found: dict[str, Any]) -> str:
    """The facts as text for people."""
    lines = [f"{found['label']}  (method={found['method']})", "", *found["equation"], ""]
    for title in ("axes", "batch", "roles", "writes"):
        lines.append(f"{title}:")
        width = max(len(name) for name in found[title])
        lines += [f"  {name.ljust(width)}  {value}" for name, value in found[title].items()]
        lines.append("")
    return "\n".join(lines)


def _equation(config: Config) -> list[str]:
    coefficient = config.coefficient
    if coefficient.contains_weights:
        weight = "the objective's own average"
    else:
        length = config.aggregation.length or config.generator.max_new_tokens
        weight = WEIGHTS[config.aggregation.name].format(length=length)
    options = {name: value for name, value in vars(coefficient).items() if name != "name"}
    return [
        "grad J = sum over responses and tokens of  w  GC  grad log pi(o_t | q, o_<t)      (Eq. 5)",
        f"  data    {SOURCE_IN_WORDS.get(config.source.name, config.source.name)}",
        f"  w     = {weight}",
        f"  GC    = {coefficient.describe(config.reward.supervision)}   [{coefficient.equation}]",
        f"          with {', '.join(f'{name}={value}' for name, value in options.items())}"
        if options
        else "          no options",
    ]


def _axes(config: Config) -> dict[str, str]:
    decoding = config.generator
    sampled = config.source.name != "demonstrations"
    return {
        "data source": config.source.name
        + (f" at temperature {decoding.temperature:g}, at most {decoding.max_new_tokens} tokens" if sampled else ""),
        "reward": _reward(config),
        "coefficient": f"{config.coefficient.name} (unit {config.coefficient.unit}; needs {_listed(config.coefficient.needs)})",
        "aggregation": f"{config.aggregation.name}, truncated responses: {config.aggregation.truncated}",
    }


def _reward(config: Config) -> str:
    reward = config.reward
    if reward.supervision == "none":
        return "none: answers are graded for the log only"
    place = "one per response" if reward.supervision == "outcome" else "one per step, at its last token"
    if reward.learned:
        says = f"{reward.source}, {place}: {_learned_reward(config)}"
    else:
        right = "the final answer is right" if reward.supervision == "outcome" else "right"
        says = f"{reward.source}, {place}: {reward.correct:g} if {right}, else {reward.incorrect:g}"
    if reward.noisy:
        rates = f"{reward.false_positive:g} (wrong as right) and {reward.false_negative:g} (right as wrong)"
        says += f"; judged wrongly with rates {rates}"
    if reward.overlong:
        says += f"; soft penalty over the last {reward.overlong} tokens before the length limit"
    return says


def _learned_reward(config: Config) -> str:
    """How the reward model's logits s become the reward, and which model it is."""
    reward = config.reward
    value = "sigma(s)" if reward.output == "probability" else "s"
    if reward.supervision == "process":
        formula = (
            f"r_k = {value} of step k (sum form, the paper's)"
            if reward.form == "sum"
            else f"r_k = w_k {value}, w = softmax(-{value}/{reward.temperature:g}) over the steps (min form, PURE)"
        )
    else:
        section = config.reward_model.kind_for(reward.supervision)
        reduction = reward.reduction or ("by the model's kind" if reward.model_path else default_reduction(section))
        formula = {
            "last": f"r = {value} at the response's end",
            "min": f"r = min over steps of {value}",
            "product": "r = product over steps of sigma(s)",
        }.get(reduction, f"r = {value}, reduced {reduction}")
    if reward.source == "mixture":
        formula += f"; r <- {reward.rule_weight:g} rule + {1 - reward.rule_weight:g} r"
    return f"{formula}; {_which_reward_model(config)}"


def _which_reward_model(config: Config) -> str:
    if config.reward.model_path:
        return f"the model in {config.reward.model_path}"
    section = replace(config.reward_model, kind=config.reward_model.kind_for(config.reward.supervision))
    return (
        f"a {section.kind} model trained on {section.prompts} x {section.samples_per_prompt} responses of the initial policy, "
        f"labels {section.trained_labels}"
    )


def _batch(config: Config) -> dict[str, str]:
    rollout, trainer, steps = config.rollout, config.trainer, config.trainer.steps
    prompts = config.data.prompts
    responses = rollout.prompts_per_step * rollout.responses_per_prompt
    tokens = responses * config.generator.max_new_tokens
    per_prompt = rollout.responses_per_prompt
    if config.source.name == "preference_pairs":
        made = (
            f"up to {max(1, per_prompt // 2)} pairs each = at most {rollout.prompts_per_step * max(1, per_prompt // 2)} pairs"
        )
    else:
        made = f"{per_prompt} responses = {responses} responses"
    epochs = f", {steps * rollout.prompts_per_step / prompts:.2f} passes over {prompts} prompts" if prompts else ""
    return {
        "per step": f"{rollout.prompts_per_step} prompts x {made}, at most {tokens} response tokens",
        "updates": f"{rollout.epochs} epochs x {rollout.minibatches} minibatches = {rollout.updates} per step, "
        f"{steps * rollout.updates} in all",
        "run": f"{steps} steps{epochs}",
        "learning rate": f"{trainer.learning_rate:g}, {trainer.schedule}, warm-up {trainer.warmup_steps} steps",
        "memory": f"micro-batches of {config.trainer.micro_batch_tokens} tokens; at most "
        f"{config.generator.max_concurrent_sequences} responses generated at once",
    }


def _roles(config: Config) -> dict[str, str]:
    needs = config.coefficient.needs
    start = "the base model" if config.init == "base" else f"the SFT policy ({config.sft.steps} steps on demonstrations)"
    model = config.model.path or (
        f"a Llama from scratch: {config.model.num_layers} layers, width {config.model.hidden_size}, {config.model.num_heads} heads"
    )
    return {
        "policy": f"{model}; starts from {start}",
        "reference": (config.reference or "the initial policy, frozen") if "ref_logp" in needs else "not needed",
        "reward model": _which_reward_model(config) if config.reward.learned else "not needed",
        "value model": "a copy of the initial policy with a scalar head" if "values" in needs else "not needed",
        "old log-probs": "one pass before each rollout's updates"
        if "old_logp" in needs or config.rollout.updates > 1
        else "those of the only update",
        "sampler": "the current policy" if config.source.name in ONLINE_SOURCES else "none during training",
    }


def _writes(config: Config) -> dict[str, str]:
    stages = ["base"] * (not config.model.path) + ["sft"] * (config.init == "sft")
    stages += ["reward_samples", "step_labels", "reward_model"] * (config.reward.learned and not config.reward.model_path)
    stages += ["offline_samples"] * (config.source.name in ("offline_samples", "preference_pairs"))
    return {
        "run directory": config.run_dir or "(run_dir is not set)",
        "shared artefacts": f"{config.artifacts}/ {{{', '.join(stages)}}}" if stages else "none",
        "checkpoints": f"every {config.logging.checkpoint_every} steps, the last {config.logging.keep_checkpoints} kept",
        "learning curve": f"every {config.logging.curve_every} steps, {config.logging.curve_problems} "
        f"{config.logging.curve_split} problems per slice",
    }


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing else"
