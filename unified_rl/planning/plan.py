"""From a configuration to its plan: which models lie where, how much a step computes, how long it may take, how to start it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from unified_rl.config.schema import Config
from unified_rl.methods.losses import all_needs, of_policy
from unified_rl.methods.signals import beside_policy, passes, per_prompt, within_update
from unified_rl.planning import memory, work
from unified_rl.planning.gpus import Gpu, find_gpu
from unified_rl.planning.memory import PHASES, Part, Sharding
from unified_rl.planning.shapes import ModelShape, shape_of
from unified_rl.planning.utilisation import utilisation
from unified_rl.presets.chain import STEPS
from unified_rl.sources.registry import declared
from unified_rl.tasks import PROCEDURAL

_OFFLOAD_ASSUMES = "{:g} GB/s to the host (plan.host_bandwidth); the host's own Adam arithmetic not counted"


def plan(config: Config, words: Sequence[str] = ()) -> dict[str, Any]:
    """What `unified-rl explain` says of memory, work, time and the launch, as plain data (bytes, tokens, FLOPs, seconds).

    Args:
        words: those of the command line, which the launch command repeats.

    Raises:
        ConfigError: an unknown GPU, or a model of an unknown family. DataError: a damaged config.json.
    """
    shape, origin = shape_of(config)
    gpu = find_gpu(config.plan.gpu) if config.plan.gpu else None
    tokens = step_tokens(config)
    parts = memory_parts(config, shape, tokens, gpu)
    return {
        "model": {
            "shape": origin,
            "parameters": shape.parameters,
            "adapter": adapter_parameters(config, shape),
            "layers": shape.num_layers,
            "hidden_size": shape.hidden_size,
            "vocabulary": shape.vocabulary,
            "kv_bytes_per_token": shape.kv_bytes(precision(config)),
        },
        "memory": _memory(config, parts, gpu, shape),
        "work": _work(config, shape, tokens),
        "time": _time(config, shape, tokens, gpu),
        "launch": launch_command(config, words),
    }


def adapter_parameters(config: Config, shape: ModelShape) -> int:
    """Of the adapter that is trained in place of all weights; 0 where there is none."""
    return shape.adapter_parameters(config.model.lora) if config.model.lora.rank else 0


def ranks(config: Config) -> int:
    """Data-parallel processes: one per GPU."""
    return config.plan.gpus * config.plan.nodes


def precision(config: Config) -> int:
    """Bytes per weight."""
    return 4 if config.model.dtype == "float32" else 2


def checkpointing(config: Config) -> str:
    """Of activations: "none" or "layers"."""
    return config.deepspeed.activation_checkpointing if config.trainer.name == "deepspeed" else "none"


def sharding_of(config: Config) -> Sharding:
    """How the configured trainer lays a trained model out.

    torch's keeps all of it on every GPU. Gradients are added up in float32, and so are the master weights of lower precision.
    """
    options, size = config.deepspeed, precision(config)
    if config.trainer.name == "torch":
        return Sharding(ranks(config), 0, "none", size, gradient=4, optimizer=12 if size == 2 else 8, gradient_copy=0)
    optimizer = 12 if options.zero_stage or size == 2 else 8
    return Sharding(ranks(config), options.zero_stage, options.offload, size, 4, optimizer, options.bucket_elements)


def step_tokens(config: Config) -> work.StepTokens:
    """The tokens of one step under the plan's lengths; demonstrations that fill rows count as rows."""
    rollout, lengths, provides = config.rollout, config.plan, declared(config.source).provides
    if not provides.sampled and config.data.batch == "rows":
        context = config.data.context_tokens
        return work.StepTokens(rollout.prompts_per_step, 1, 0, context, 1, sampled=False)
    response = lengths.response_tokens or config.generator.max_new_tokens
    per_prompt = 1 if provides.responses == "one" else rollout.responses_per_prompt
    share = work.sharing(per_prompt, lengths.prompt_tokens, response, config.trainer.row_tokens)
    responses = rollout.prompts_per_step * per_prompt
    beside = rollout.prompts_per_step * provides.untrained + judging_responses(config, responses)
    return work.StepTokens(responses, per_prompt, lengths.prompt_tokens, response, share, provides.fresh, beside)


def judging_responses(config: Config, responses: int) -> float:
    """What is sampled to judge this many responses, in whole ones: from each prompt, and from inner steps' ends half of one."""
    begun = config.rollout.prompts_per_step + responses * STEPS / 2
    return sum(judge.completions * begun for judge in config.reward.completed)


def memory_parts(config: Config, shape: ModelShape, tokens: work.StepTokens, gpu: Gpu | None) -> list[Part]:
    """Every part of the memory table of one GPU."""
    sharding, size, needs = sharding_of(config), precision(config), all_needs(config)
    micro_batch = max(config.trainer.micro_batch_tokens, tokens.prompt + tokens.response)
    row = max(config.trainer.row_tokens, tokens.prompt + tokens.response)
    several = tokens.read / config.rollout.minibatches / ranks(config) > micro_batch
    parts = _trained("policy", shape.parameters, config, shape, several)
    if buckets := memory.bucket_bytes(sharding):
        parts.append(Part("communication buckets", buckets, ("layers", "step"), f"2 x {sharding.bucket_elements:,} numbers"))
    for role in beside_policy(needs):
        if not role.frozen:
            parts += _trained(role.label, shape.scalar_parameters, config, shape, several)
        elif adapter_parameters(config, shape) and role.weights is not None and not role.weights(config):
            parts.append(Part(f"{role.label}: weights", 0.0, PHASES, "the policy, its adapter switched off"))
        else:
            parts.append(Part(f"{role.label}: weights", float(size * shape.parameters), PHASES, f"{size} B x P"))
    parts += [
        Part("reward model: weights", float(size * shape.scalar_parameters), PHASES, f"{size} B x its P")
        for _ in range(config.reward.num_models)
    ]
    more = any(loss.differentiates for loss in of_policy(config.losses)) + 2 * len(within_update(needs))
    still = adapter_parameters(config, shape) > 0
    parts += memory.pass_parts(
        shape, micro_batch, row, size, checkpointing(config), more_chunks=more, accumulated=several, still=still
    )
    return parts + (generator_parts(config, shape, tokens, gpu) if tokens.sampled else [])


def _trained(name: str, parameters: int, config: Config, shape: ModelShape, several: bool) -> list[Part]:
    """The parts of a trained model: all of it, or an adapter (and a scalar head) on its weights, which companions share."""
    sharding, adapter = sharding_of(config), adapter_parameters(config, shape)
    if not adapter:
        return memory.trained_model(name, parameters, shape, sharding, accumulated=several)
    policy = parameters == shape.parameters
    under = parameters if policy or sharding.zero_stage == 3 else 0
    own = adapter if policy else adapter + shape.hidden_size + 1
    return memory.adapted_model(name, under, own, shape, sharding, accumulated=several)


def generator_parts(config: Config, shape: ModelShape, tokens: work.StepTokens, gpu: Gpu | None) -> list[Part]:
    """The sampler's own weights (vLLM's; torch's generator samples from the policy itself) and its KV cache."""
    size, at_once = precision(config), sequences_at_once(config, shape, tokens, gpu)
    length = tokens.prompt + tokens.response
    cache = memory.kv_cache_bytes(shape, at_once, length, size)
    if config.generator.name == "torch":
        return [Part("KV cache", cache, ("rollout",), f"{at_once} responses of {length} tokens at once")]
    weights = float(size * shape.parameters)
    if gpu is not None:
        cache = max(cache, gpu.memory * config.vllm.gpu_memory_share - weights)
    phases = ("rollout",) if config.vllm.between_rollouts == "asleep" else PHASES
    return [
        Part("sampler: weights", weights, phases, f"{size} B x P, vLLM {config.vllm.between_rollouts} between rollouts"),
        Part("KV cache", cache, phases, f"vllm.gpu_memory_share; {at_once} responses of {length} tokens at once"),
    ]


def sequences_at_once(config: Config, shape: ModelShape, tokens: work.StepTokens, gpu: Gpu | None) -> int:
    """Responses that one GPU generates together: its share, up to the generator's limit and to what vLLM's cache holds."""
    share = max(1, math.ceil(tokens.responses / ranks(config)))
    limit = min(share, config.generator.max_concurrent_sequences)
    if config.generator.name == "torch" or gpu is None:
        return limit
    size = precision(config)
    room = gpu.memory * config.vllm.gpu_memory_share - size * shape.parameters
    fitting = int(room // ((tokens.prompt + tokens.response) * shape.kv_bytes(size)))
    return max(1, min(limit, fitting))


def launch_command(config: Config, words: Sequence[str]) -> str:
    """The command that starts this run: torchrun where there are several processes, with what is still to be filled in as WORDS."""
    kept = [word for word in words if not word.startswith("plan.")]
    given = {word.partition("=")[0] for word in kept}
    blanks = {"model.path": "MODEL_DIR", "data.path": "DATA", "run_dir": "RUN_DIR"}
    wanted = {
        "model.path": bool(config.architecture.name) and not config.model.path,
        "data.path": config.task.name not in PROCEDURAL and ":" not in config.task.name and not config.data.path,
        "run_dir": not config.run_dir,
    }
    kept += [f"{key}={blanks[key]}" for key, missing in wanted.items() if missing and key not in given]
    train = " ".join(shlex.quote(word) for word in kept)
    if ranks(config) == 1:
        return f"unified-rl train {train}"
    where = f"--standalone --nproc-per-node={config.plan.gpus}"
    if config.plan.nodes > 1:
        nodes = f"--nnodes={config.plan.nodes} --nproc-per-node={config.plan.gpus}"
        where = f"{nodes} --rdzv-backend=c10d --rdzv-endpoint=FIRST_NODE:29500"
    return f"torchrun {where} -m unified_rl.cli train {train}"


def _memory(config: Config, parts: list[Part], gpu: Gpu | None, shape: ModelShape) -> dict[str, Any]:
    sums, sharding = memory.peak(parts), sharding_of(config)
    adapter, every = adapter_parameters(config, shape), shape.parameters + _companions(config) * shape.scalar_parameters
    trained = adapter * (1 + _companions(config)) or every
    peak = max(sums.values())
    found: dict[str, Any] = {
        "gpus": ranks(config),
        "zero_stage": sharding.zero_stage,
        "offload": sharding.offload,
        "dtype": config.model.dtype,
        "parts": [
            {"part": part.name, "bytes": part.bytes, "phases": list(part.phases), "formula": part.formula} for part in parts
        ],
        "phases": sums,
        "peak": peak,
        "host": memory.host_bytes(trained, sharding, still=every if adapter else 0),
    }
    if gpu is not None:
        room = gpu.memory * (1 - config.plan.reserve)
        found |= {"gpu": config.plan.gpu, "gpu_memory": gpu.memory, "room": room, "fits": peak <= room}
    return found


def _work(config: Config, shape: ModelShape, tokens: work.StepTokens) -> dict[str, float]:
    """Tokens and FLOPs of one step over all GPUs; each scoring pass goes over all of the step's tokens."""
    once = work.pass_flops(shape, tokens)
    rollout = config.rollout
    return {
        "responses": tokens.responses,
        "prompt_tokens": tokens.prompt_tokens,
        "response_tokens": tokens.response_tokens,
        "sampling_flops": work.sampling_flops(shape, tokens),
        "scoring_passes": scoring_passes(config),
        "scoring_flops": scoring_passes(config) * once,
        "update_flops": rollout.epochs * _update_flops(config, shape, tokens) * (1 + _companions(config)),
    }


def _update_flops(config: Config, shape: ModelShape, tokens: work.StepTokens) -> float:
    return work.update_flops(shape, tokens, adapter_parameters(config, shape))


def scoring_passes(config: Config) -> int:
    """Forward passes without gradient over a step's sequences: those of the signals that are needed, those of frozen models that
    read along in every update, those after the updates by which prompts are remembered, and the reward model's."""
    needs = all_needs(config)
    remembered = max((one.passes for one in per_prompt(needs)), default=0)
    along = config.rollout.epochs * len(within_update(needs))
    return len(passes(needs, config)) + along + remembered + config.reward.num_models


def _companions(config: Config) -> int:
    """Models that are trained beside the policy."""
    return sum(not role.frozen for role in beside_policy(all_needs(config)))


def _time(config: Config, shape: ModelShape, tokens: work.StepTokens, gpu: Gpu | None) -> dict[str, Any]:
    """Seconds per step by phase, and what they assume; {} without a GPU to plan for."""
    if gpu is None:
        return {}
    options, count = config.plan, ranks(config)
    peak = gpu.bf16 if precision(config) == 2 else gpu.tf32
    share, from_where = _utilisation(config, shape, checkpointing(config))
    scored, _ = _utilisation(config, shape, "none")
    updates = config.rollout.epochs * (1 + _companions(config))
    update = updates * _update_flops(config, shape, tokens) / (peak * share * count)
    seconds = {
        "sampling": _sampling_seconds(config, shape, tokens, gpu),
        "scoring": scoring_passes(config) * work.pass_flops(shape, tokens) / (peak * scored * count),
        "update": update,
        "offload": _offload_seconds(config, shape),
    }
    total = sum(seconds.values())
    return {
        "seconds": seconds | {"step": total},
        "run_hours": total * config.trainer.steps / 3600,
        "model_flops_utilisation": updates * _update_flops(config, shape, tokens) / (update * peak * count),
        "assumes": [
            f"{share:.0%} of {peak / 1e12:g} TFLOP/s in updates and {scored:.0%} in scoring ({from_where})",
            f"{options.bandwidth_share:.0%} of {gpu.bandwidth / 1e12:g} TB/s in decoding (plan.bandwidth_share)",
            f"prompts of {tokens.prompt} and responses of {tokens.response} tokens (plan.prompt_tokens, plan.response_tokens)",
            "communication hidden behind computation; pushing weights to the sampler, grading, checkpoints not counted",
        ]
        + ([_OFFLOAD_ASSUMES.format(options.host_bandwidth)] if seconds["offload"] else [])
        + ([f"{STEPS} inner steps in a response, each gone on from for half of one"] if config.reward.completed else []),
    }


def _utilisation(config: Config, shape: ModelShape, activations: str) -> tuple[float, str]:
    """A pass's model-FLOPs utilisation, with this checkpointing, and where the figure is from."""
    if config.plan.utilisation:
        return config.plan.utilisation, "plan.utilisation"
    return utilisation(config.plan.gpu, shape.parameters, activations, config.trainer.compiled)


def _sampling_seconds(config: Config, shape: ModelShape, tokens: work.StepTokens, gpu: Gpu) -> float:
    return work.decode_seconds(
        shape,
        tokens,
        gpu,
        gpus=ranks(config),
        at_once=sequences_at_once(config, shape, tokens, gpu),
        precision=precision(config),
        bandwidth_share=config.plan.bandwidth_share,
        utilisation=_utilisation(config, shape, "none")[0],
    )


def _offload_seconds(config: Config, shape: ModelShape) -> float:
    """Per step: each GPU's share of the gradients to the host, and of the new weights back."""
    sharding = sharding_of(config)
    if sharding.offload == "none":
        return 0.0
    moved = 2 * sharding.precision * (adapter_parameters(config, shape) or shape.parameters) / sharding.divided(1)
    return config.rollout.updates * moved / (config.plan.host_bandwidth * 1e9)
