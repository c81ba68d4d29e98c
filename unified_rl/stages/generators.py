"""The sampler that a configuration names: of the policy in training, and of a frozen one in a folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType

import torch.distributed as dist
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Generator, Prompt, Ranks, Task
from unified_rl.config.schema import Config
from unified_rl.models.adapter_files import is_adapter, root_of
from unified_rl.models.cpp_compiler import require_compiler
from unified_rl.models.policy_model import eos_token_ids, load_policy, load_tokenizer
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.records.progress import announce, doing
from unified_rl.sampling.company import Company, company
from unified_rl.sampling.llama_decoder import CompiledStep, LlamaDecoder, StepShape
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sampling.vllm_generator import EngineOptions, VllmGenerator, require_vllm
from unified_rl.sources.registry import declared
from unified_rl.stages import world
from unified_rl.stages.models import model_dtype
from unified_rl.training.weight_sync import SyncedGenerator, Trained, WeightPush, served_weights

#: Prompts whose responses are compared after each push of weights.
PROBE_PROMPTS = 8


def preflight_generator(config: Config) -> None:
    """Raise ConfigError where the configured generator cannot be had."""
    if config.generator.name == "vllm":
        require_vllm()
    if config.generator.compiled:
        require_compiler("generator.compiled")


def torch_sampler(config: Config, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TorchGenerator:
    """The torch generator of a model, with the configured limit and decoding step."""
    at_once = config.generator.max_concurrent_sequences
    step = compiled_step(config, model) if config.generator.compiled else None
    ends = sorted({*eos_token_ids(model, tokenizer), world.response_end(tokenizer, config)})
    return TorchGenerator(
        model, tokenizer, max_concurrent_sequences=at_once, eos_token_ids=ends, compiled_step=step, on_progress=_told
    )


def _told(done: int, total: int) -> None:
    doing(f"sampling {done}/{total} responses")


def compiled_step(config: Config, model: PreTrainedModel) -> CompiledStep:
    """The decoding step of the model's shape, compiled first if that has not been done on such a machine.

    Each rank asks for itself: whoever comes first compiles, the others wait for the lock.

    Raises:
        ConfigError: a model whose decoding step is not ours, or no compiler.
    """
    if not LlamaDecoder.supports(model):
        raise ConfigError(
            f"generator.compiled=true is for float32 Llama and Qwen2 models of at most 30M parameters as transformers makes them, "
            f"and this {type(model).__name__} is none; leave generator.compiled out"
        )
    require_compiler("generator.compiled")
    recipe, shape = _recipe(), StepShape.of(model)

    def build(folder: Path) -> None:
        announce("compiling the decoding step (generator.compiled=true), which takes about half a minute")
        recipe.compile_step(shape, folder / "step.pt2")

    _, folder = ArtifactStore(Path(config.artifacts)).get_or_build(
        "decoding_step",
        {"shape": asdict(shape), **recipe.machine_facts()},
        recipe_version=1,
        inputs={},
        build=build,
    )
    return recipe.load_step(folder / "step.pt2")


def _recipe() -> ModuleType:
    """The module that compiles. Imported when it is wanted, because torch's compiler takes a second to import."""
    return importlib.import_module("unified_rl.sampling.compiled_step")


@contextmanager
def frozen_sampler(config: Config, folder: Path) -> Iterator[TorchGenerator | VllmGenerator]:
    """A sampler of the policy in a Hugging Face folder, for as long as it is wanted.

    On several ranks one of them samples for all; vLLM then takes a process of its own, apart from the ranks' process group.
    """
    if config.generator.name == "torch":
        model, tokenizer = load_policy(folder, model_dtype(config), config.model.device)
        yield torch_sampler(config, model, tokenizer)
        return
    tokenizer = load_tokenizer(folder)
    options = _engine_options(config, tokenizer)
    if dist.is_initialized() and dist.get_world_size() > 1:
        options = replace(options, vllm=replace(options.vllm, placement="separate"))
    sampler = VllmGenerator(root_of(folder), tokenizer, options)
    try:
        if is_adapter(folder):
            model, _ = load_policy(folder, model_dtype(config))
            sampler.load_weights(served_weights(model))
        yield sampler
    finally:
        sampler.close()


def live_sampler(
    config: Config, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> TorchGenerator | VllmGenerator:
    """A sampler of the policy in training: its own module, or an engine that begins with the weights in `folder`.

    With those under an adapter: the policy's are pushed before the first response.
    """
    if config.generator.name == "torch":
        return torch_sampler(config, model, tokenizer)
    return VllmGenerator(root_of(folder), tokenizer, _engine_options(config, tokenizer))


def samples_beside_training(config: Config) -> bool:
    """Whether rollouts ahead of training are drawn while it goes on: by an engine in another process, with weights of its own.

    Not by a source that copies the policy in training, which must not change while it is copied.
    """
    own = config.generator.name == "vllm" and config.vllm.placement == "separate" and config.vllm.between_rollouts == "awake"
    return own and config.rollout.staleness > 0 and "frozen_copy" not in declared(config.source).needs


@dataclass(frozen=True)
class Synced:
    """A generator at the trainer's weights.

    push: None where they share them. as_it_is: the same generator at the weights that were pushed last. company: what the
    requests beside a request change of its response.
    """

    generator: Generator
    as_it_is: Generator
    company: Company
    push: WeightPush | None = None

    def metrics(self) -> Mapping[str, float]:
        """Of the last push (see `WeightPush.metrics`)."""
        return self.push.metrics() if self.push else {}

    def close(self) -> None:
        """End the engine, where there is one."""
        if self.push is not None and isinstance(self.push.sampler, VllmGenerator):
            self.push.sampler.close()


def synced(
    config: Config, generator: Generator, sampler: TorchGenerator | VllmGenerator, trainer: Trained, task: Task, ranks: Ranks
) -> Synced:
    """The generator, made of `sampler`, so that it always samples with the trainer's present weights.

    On several ranks `generator` is the divided one, since all ranks push together.
    """
    if isinstance(sampler, TorchGenerator):
        return Synced(generator, generator, company(sampler.model))
    decoding = replace(config.generator.decoding, temperature=trained_temperature(config))
    prompts = _probe_prompts(config, task, sampler)
    push = WeightPush(sampler, trainer, prompts, decoding, config.vllm.max_logp_difference, ranks)
    return Synced(SyncedGenerator(generator, push), generator, "not measured", push)


def trained_temperature(config: Config) -> float:
    """The temperature at which the trainer computes log-probs: the sampling temperature, where it trains on samples."""
    return config.generator.temperature if declared(config.source).provides.samples else 1.0


def _probe_prompts(config: Config, task: Task, sampler: VllmGenerator) -> Sequence[Prompt]:
    return world.as_prompts(world.training_problems(task, config)[:PROBE_PROMPTS], sampler.tokenizer, config)


def _engine_options(config: Config, tokenizer: PreTrainedTokenizerBase) -> EngineOptions:
    at_once, ends = config.generator.max_concurrent_sequences, (world.response_end(tokenizer, config),)
    return EngineOptions(config.vllm, config.model.dtype, config.model.device, at_once, ends)
