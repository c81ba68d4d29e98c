"""What a configuration would do: the equation with this run's choices in it, the axes, the batch, the plan, the files. No torch.

Starts nothing and reads no weights; `unified-rl explain` prints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from unified_rl import planning
from unified_rl.config.reward_models import default_reduction
from unified_rl.config.rewards import CONTROLS, LENGTH, NODE_VALUES, SEVERAL, STEP_VALUES, RewardConfig
from unified_rl.config.schema import Config
from unified_rl.grading.forms import is_form
from unified_rl.methods.losses import all_needs, of_policy
from unified_rl.methods.options import Kl
from unified_rl.methods.signals import ROLES, SIGNALS, beside_policy, of_reward, per_rollout
from unified_rl.planning import dialects, problems
from unified_rl.planning import render as render_plan
from unified_rl.presets import chain, loading
from unified_rl.records import curve_points
from unified_rl.sources.pairs import pairs_per_prompt
from unified_rl.sources.registry import declared

WEIGHTS = {
    "sequence_mean": "1/(N |o|)",
    "prompt_token_mean": "1/(P sum of |o| in the prompt's group)",
    "batch_token_mean": "1/(sum of |o| in the batch)",
    "constant_length": "1/(N {length})",
    "pair_mean": "1/(N_pairs |o|)",
}


def facts(config: Config, words: Sequence[str] = ()) -> dict[str, Any]:
    """Everything `explain` prints, as plain data.

    Args:
        words: those of the command line, which the launch command repeats.
    """
    return {
        "method": config.method,
        "label": config.label,
        "equation": _equation(config),
        "axes": _axes(config),
        "dialect": dialects.lines(config),
        "batch": _batch(config),
        "roles": _roles(config),
        "iterations": _iterations(config),
        "writes": _writes(config),
        "plan": planning.plan(config, words),
    }


def render(found: dict[str, Any]) -> str:
    """The facts as text for people."""
    lines = [f"{found['label']}  (method={found['method']})", "", *found["equation"], ""]
    for title in ("axes", "dialect", "batch", "roles", "iterations", "writes"):
        if not found[title]:
            continue
        lines.append(f"{title}:")
        width = max(len(name) for name in found[title])
        lines += [f"  {name.ljust(width)}  {value}" for name, value in found[title].items()]
        lines.append("")
    return "\n".join([*lines, *render_plan.lines(found["plan"])])


def _equation(config: Config) -> list[str]:
    coefficient = config.coefficient
    if coefficient.contains_weights:
        weight = "the objective's own average"
    else:
        length = config.aggregation.length or config.generator.max_new_tokens
        weight = WEIGHTS[config.aggregation.name].format(length=length)
    options = {item.name: getattr(coefficient, item.name) for item in fields(coefficient) if item.name != "name"}
    return [
        "grad J = sum over responses and tokens of  w  GC  grad log pi(o_t | q, o_<t)      (Eq. 5)",
        f"  data    {declared(config.source).in_words.replace('P_sft(Q)', problems.prompts(config))}",
        f"  w     = {weight}",
        f"  GC    = {coefficient.describe(config.reward.supervision)}   [{coefficient.equation}]",
        f"          with {', '.join(f'{name}={value}' for name, value in options.items() if value is not None)}"
        if options
        else "          no options",
        *_importance(config),
        *(f"  + {weight:g} sum w {loss.formula}   [loss {loss.name}]" for loss, weight in of_policy(config.losses).items()),
    ]


def _importance(config: Config) -> list[str]:
    """The correction of the sampler's mismatch, where there is one."""
    options = config.importance
    if options.name == "none":
        return []
    if options.name == "bypass":
        return ["          every ratio is taken to pi_sampler in place of pi_old"]
    ratio = {
        "token": "pi_old/pi_sampler of the token",
        "sequence": "product over the response of pi_old/pi_sampler",
        "geometric": "geometric mean over the response of pi_old/pi_sampler",
    }[options.level]
    factor = {
        "truncated": f"min(s, {options.cap:g})",
        "masked": f"s 1[{options.lowest:g} <= s <= {options.cap:g}]",
        "plain": "s",
        "rejected": "1",
    }[options.name]
    if options.name == "truncated" and options.lowest:
        factor = f"max({options.lowest:g}, {factor})"
    scaled = ", divided by its mean over the batch" if options.normalised == "batch" else ""
    lines = [f"          every term x {factor}, s = {ratio}{scaled}"]
    if options.drops:
        lines.append(f"          what is kept: {_kept(config)}")
    coefficient = config.coefficient
    if options.kl == "outside" and isinstance(coefficient, Kl) and coefficient.kl_in == "loss" and coefficient.kl_coef:
        lines.append(
            "          the KL term is left without the factor, as other trainers have it: its expectation is over the sampler's "
            "responses, a bias; importance.kl=inside removes it"
        )
    return lines


def _kept(config: Config) -> str:
    """What rejection keeps, in words."""
    options, found = config.importance, []
    if options.reject != "none":
        of = {"token": "of the token", "sum": "summed", "mean": "averaged", "max": "at most"}[options.reject_over]
        bounds = f"in [{options.reject_floor:g}, " if options.reject == "ratio" else "in [0, "
        of = of if options.reject_over == "token" else f"{of} over the response"
        found.append(f"{options.reject} {of} {bounds}{options.reject_cap:g}]")
    if options.veto:
        found.append(f"no token's pi_old/pi_sampler below {options.veto:g}")
    return f"{' and '.join(found)}; what is dropped is {options.rejected.replace('_', ' ')} of the averages".replace(
        "counted of", "counted in"
    )


def _axes(config: Config) -> dict[str, str]:
    decoding = config.generator
    source = declared(config.source)
    return {
        "data source": " ".join([source.name, *source.wrappers])
        + (
            f" at temperature {decoding.temperature:g}, at most {decoding.max_new_tokens} tokens"
            if source.provides.samples
            else ""
        ),
        **problems.described(config),
        "reward": _reward(config),
        "coefficient": f"{config.coefficient.name} (unit {config.coefficient.unit}; needs {_listed(config.coefficient.needs)})",
        "aggregation": f"{config.aggregation.name}, truncated responses: {config.aggregation.truncated}",
    }


def _reward(config: Config) -> str:
    reward = config.reward
    if reward.supervision == "none":
        return "none: answers are graded for the log only"
    if reward.source == SEVERAL:
        parts = [
            f"{part.weight:g} x {name} ({_one_reward(config, judge)})"
            for (name, part), judge in zip(reward.parts.items(), reward.judges.values(), strict=True)
        ]
        says = f"several, weighted and added up: {'; '.join(parts)}"
    else:
        says = _one_reward(config, reward)
    if reward.overlong:
        says += f"; soft penalty over the last {reward.overlong} tokens before the length limit"
    return says


def _one_reward(config: Config, reward: RewardConfig) -> str:
    """A single reward by its settings."""
    place = "one per response" if reward.supervision == "outcome" else "one per step, at its last token"
    if reward.learned:
        says = f"{reward.source}, {place}: {_learned_reward(config, reward)}"
    elif ":" in reward.source:
        says = f"{reward.source}, {place}"
    elif reward.source == STEP_VALUES:
        says = (
            f"{reward.source}, {place}: V(where it ends) - V(where it begins), V the mean reward ({reward.correct:g} if right, "
            f"else {reward.incorrect:g}) of {reward.completions} completions by the policy; steps by {reward.segmentation}"
        )
    elif reward.source == NODE_VALUES:
        says = (
            f"{reward.source}, {place}: (V(node) - V(root)) + (V(node) - V(parent)), V the mean reward ({reward.correct:g} if "
            f"right, else {reward.incorrect:g}) of the responses that pass through; steps by {reward.segmentation}"
        )
    elif reward.source in CONTROLS:
        accepted = {
            "random": f"with chance {reward.random_rate:g}",
            "format": f"where the response has the form {reward.pattern}",
            "wrong": "where the final answer is there and wrong",
            "majority": "where the final answer is that of most responses to the prompt",
        }[reward.source]
        says = f"{reward.source}, {place}: {reward.correct:g} {accepted}, else {reward.incorrect:g}"
    else:
        right = "the final answer is right" if reward.supervision == "outcome" else "right"
        says = f"{reward.source}, {place}: {reward.correct:g} if {right}, else {reward.incorrect:g}"
    if reward.noisy:
        rates = f"{reward.false_positive:g} (wrong as right) and {reward.false_negative:g} (right as wrong)"
        says += f"; judged wrongly with rates {rates}{_which_errors(reward)}"
    if reward.correction != "none":
        says += f"; {_correction(config, reward)}"
    return says


def _which_errors(reward: RewardConfig) -> str:
    """What errs together, along what the rates change, and what is always let through."""
    words = "" if reward.noise_unit == "response" else f", all of one {reward.noise_unit} alike"
    if reward.noise_by:
        along = f"1 if {reward.noise_by} else 0" if is_form(reward.noise_by) else reward.noise_by
        words += f", their log-odds rising by {reward.noise_slope:g} ({along} - {reward.noise_centre:g})"
    return words + (f"; a wrong answer of the form {reward.loophole} is always accepted" if reward.loophole else "")


def _correction(config: Config, reward: RewardConfig) -> str:
    """The correction for a judge's errors, and whether the coefficient sees it at all."""
    by = {
        "known": "the rates themselves",
        "given": f"assumed rates {reward.assumed_false_positive:g} and {reward.assumed_false_negative:g}",
        "estimated": f"rates counted on {reward.audited} audited responses of the initial policy",
    }[reward.correction_rates]
    cancels = " (a baseline and a std over the group cancel it: the rates are the same for all of a group)"
    return f"{reward.correction} correction by {by}{cancels if _cancelled(config, reward) else ''}"


def _cancelled(config: Config, reward: RewardConfig) -> bool:
    """Whether what a group is normalised by undoes a correction: its rates are the group's, and nothing is added to the reward."""
    coefficient, whole = config.coefficient, config.reward
    grouped = getattr(coefficient, "baseline", "none") != "none" and getattr(coefficient, "std", "none") not in (
        "none",
        "batch",
    )
    penalised = getattr(coefficient, "kl_coef", 0.0) and coefficient.kl_in == "reward"
    alone = whole.source != SEVERAL and not whole.overlong and not penalised
    same = reward.correction_rates != "known" or not (reward.noise_by == LENGTH or is_form(reward.noise_by))
    return grouped and same and (alone or bool(of_reward(coefficient.needs)))


def _learned_reward(config: Config, reward: RewardConfig) -> str:
    """How the reward model's logits s become the reward, and which model it is."""
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
    if reward.members > 1:
        how = {"minus_std": f"mean - {reward.pessimism_scale:g} std", "soft": f"soft minimum at {reward.pessimism_scale:g}"}
        formula += f"; of {reward.members} models, whose training's seeds differ, {how.get(reward.pessimism, reward.pessimism)}"
    return f"{formula}; {_which_reward_model(config, reward)}"


def _which_reward_model(config: Config, reward: RewardConfig) -> str:
    if reward.model_path:
        return f"the model in {reward.model_path}"
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
    if declared(config.source).provides.responses == "pair":
        pairs = pairs_per_prompt(config)
        made = f"up to {pairs} pairs each = at most {rollout.prompts_per_step * pairs} pairs"
    else:
        made = f"{per_prompt} responses = {responses} responses"
        if untrained := declared(config.source).provides.untrained:
            made += f" (and {untrained} to each that is not trained on)"
    epochs = f", {steps * rollout.prompts_per_step / prompts:.2f} passes over {prompts} prompts" if prompts else ""
    return {
        "per step": f"{rollout.prompts_per_step} prompts x {made}, at most {tokens} response tokens",
        "updates": f"{rollout.epochs} epochs x {rollout.minibatches} minibatches = {rollout.updates} per step, "
        f"{steps * rollout.updates} in all",
        "run": f"{steps} steps{epochs}",
        "learning rate": f"{trainer.learning_rate:g}, {trainer.schedule}, warm-up {trainer.warmup_steps} steps",
        "packing": f"rows of {config.trainer.row_tokens} tokens, micro-batches of {config.trainer.micro_batch_tokens}; at most "
        f"{config.generator.max_concurrent_sequences} responses generated at once",
    }


def _roles(config: Config) -> dict[str, str]:
    needs = all_needs(config)
    named = config.architecture.name and f"{config.architecture.name} (model.path=DIR says where it is)"
    sizes = f"{config.model.num_layers} layers, width {config.model.hidden_size}, {config.model.num_heads} heads"
    model = config.model.path or named or f"a Llama from scratch: {sizes}"
    kept = {role.label: role.words(config) for role in beside_policy(needs)}
    frozen = {role.label: kept.get(role.label, "not needed") for role in ROLES.values() if role.frozen}
    companions = {role.label: kept.get(role.label, "not needed") for role in ROLES.values() if role.options}
    wanted = per_rollout(needs, config)
    return {
        "policy": f"{model}; starts from {_start(config)}",
        **frozen,
        "reward model": "; ".join(_which_reward_model(config, one) for one in config.reward.models) or "not needed",
        **companions,
        **{one.words[0]: one.words[1] if one in wanted else one.spared for one in SIGNALS.values() if one.words[0]},
        "sampler": declared(config.source).sampler(config),
    }


def _start(config: Config) -> str:
    """The policy that training starts from, and the trained stages behind it."""
    words: list[str] = []
    name = config.init
    while not words or chain.kind_of(config, name).as_run:
        words.append(chain.kind_of(config, name).words(loading.stage_config(config, name)) or f"the policy of stage {name}")
        if not chain.kind_of(config, name).as_run:
            break
        name = chain.begins_with(config, name)
    return ", made from ".join(words)


def _iterations(config: Config) -> dict[str, str]:
    """What `unified-rl iterate` would make of this configuration; {} where it would refuse it or has nothing to renew."""
    options = config.iterate
    renewed = options.reward_model == "renewed"
    if config.trainer.schedule != "constant" or config.reference or not config.reward.learned:
        return {}
    section, steps, control = config.reward_model, options.steps, options.control_steps
    per_step = config.rollout.prompts_per_step * config.rollout.responses_per_prompt
    runs = options.iterations + 1
    fresh = section.prompts * section.samples_per_prompt
    replayed = round(fresh * options.replay / (1 - options.replay))
    kind = section.kind_for(config.reward.supervision)
    of_each = [
        f"{index}: {index * steps + 1}-{(index + 1) * steps}, on to {(index + 1) * steps + control}" for index in range(runs)
    ]
    return {
        "runs": f"{runs}, each but the first from the policy of the one before after {steps} of its steps",
        "steps": "; ".join(of_each) if control else ", ".join(step.partition(", on")[0] for step in of_each),
        "control": f"each goes on for {control} steps with the reward model it has, beside the next one's renewed"
        if control
        else "none (iterate.control_steps=0)",
        "renewals": f"reference {options.reference}, reward model {options.reward_model}, {options.iterations} times",
        "samples": f"{runs} x {steps + control} steps x {per_step} responses = {runs * (steps + control) * per_step}",
        "reward data": f"per renewal {section.prompts} prompts x {section.samples_per_prompt} = {fresh} responses of the present "
        f"policy and {replayed} replayed ({options.replay:.0%} of the mix), {options.epochs} epoch(s), labels "
        f"{replace(section, kind=kind).trained_labels}"
        if renewed
        else "no renewal",
        "comparison": f"{options.agreement_problems} validation problems x 4 responses of the SFT policy, scored by every reward "
        "model",
    }


def _writes(config: Config) -> dict[str, str]:
    needed = chain.with_ancestors(config, chain.read_by(config))
    stages = [name for name in needed if not chain.kind_of(config, name).brought(config)]
    return {
        "run directory": config.run_dir or "(run_dir is not set)",
        "shared artefacts": f"{config.artifacts}/ {{{', '.join(stages)}}}" if stages else "none",
        "checkpoints": f"every {config.logging.checkpoint_every} steps, the last {config.logging.keep_checkpoints} kept",
        "learning curve": _curve(config),
    }


def _curve(config: Config) -> str:
    logging, fields = config.logging, {}
    if logging.curve_samples:
        fields = curve_points.sampled_fields(logging.curve_samples, config.evaluation.decoding)
    each = f", {curve_points.answers_of(fields)} of each" if fields else ""
    return f"every {logging.curve_every} steps, {logging.curve_problems} {logging.curve_split} problems per slice{each}"


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing else"
