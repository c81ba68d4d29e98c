"""What an engine on a GPU is told, against vLLM's own sources: settings that no CPU engine reads are spelt as vLLM spells them."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest
import vllm_tiny as tiny

from unified_rl.config.engines import VllmConfig
from unified_rl.sampling import vllm_generator

pytestmark = tiny.needs_vllm

GPU = VllmConfig(between_rollouts="asleep", execution="graphs", gpu_memory_share=0.3)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The arguments of an engine that would be opened on a GPU beside a process group of two ranks."""
    import vllm

    found = {}
    monkeypatch.setattr(vllm, "LLM", lambda **given: found.update(given))
    monkeypatch.setattr(vllm_generator.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(vllm_generator.dist, "get_world_size", lambda: 2)
    vllm_generator._open(tmp_path, vllm_generator.EngineOptions(GPU, "bfloat16", "cuda", 64), 4096)
    return found


def test_every_setting_is_one_of_vllms(told):
    import vllm
    from vllm.engine.arg_utils import EngineArgs

    known = {field.name for field in fields(EngineArgs)} | set(inspect.signature(vllm.LLM.__init__).parameters)
    assert set(told) <= known, set(told) - known


def test_they_say_what_is_wanted_on_a_gpu(told):
    wanted = {
        "enforce_eager": False,  # CUDA graphs
        "enable_prefix_caching": True,
        "enable_sleep_mode": True,
        "gpu_memory_utilization": 0.3,
        "logprobs_mode": "processed_logprobs",
        "distributed_executor_backend": "external_launcher",
        "dtype": "bfloat16",
        "max_num_seqs": 64,
    }
    assert {name: told[name] for name in wanted} == wanted
    assert "kv_cache_memory_bytes" not in told and "enable_chunked_prefill" not in told, "a CPU's"


def test_values_are_among_those_that_vllm_lists(told):
    from vllm.config.model import LogprobsMode
    from vllm.config.parallel import DistributedExecutorBackend

    assert told["logprobs_mode"] in get_args(LogprobsMode)
    assert told["distributed_executor_backend"] in get_args(DistributedExecutorBackend)


def test_sleep_wakes_by_the_tags_under_which_memory_is_allocated():
    from vllm import LLM
    from vllm.v1.worker import gpu_worker

    class Engine:
        sleep, wake_up = LLM.sleep, LLM.wake_up

    inspect.signature(Engine.sleep).bind(None, level=1)
    inspect.signature(Engine.wake_up).bind(None, tags=["weights"])
    source = Path(gpu_worker.__file__).read_text()
    for tag in ("weights", "kv_cache"):
        assert f'_maybe_get_memory_pool_context(tag="{tag}")' in source


def test_the_least_temperature_is_vllms():
    from vllm import sampling_params

    assert vllm_generator._LEAST_TEMPERATURE == sampling_params._MAX_TEMP


def test_weights_are_taken_over_by_what_vllms_worker_has():
    """In place, from an iterator or a folder."""
    from vllm.v1.worker.gpu_worker import Worker

    parameters = inspect.signature(Worker.reload_weights).parameters
    taken = {"weights_iterator", "weights_path"}
    assert taken <= set(parameters) or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def test_awake_engines_do_not_ask_for_sleep(tmp_path, monkeypatch):
    import vllm

    found = {}
    monkeypatch.setattr(vllm, "LLM", lambda **given: found.update(given))
    options = vllm_generator.EngineOptions(replace(GPU, between_rollouts="awake", execution="eager"), "bfloat16", "cuda", 64)
    vllm_generator._open(tmp_path, options, 4096)
    assert (found["enable_sleep_mode"], found["enforce_eager"]) == (False, True)
    assert "distributed_executor_backend" not in found
