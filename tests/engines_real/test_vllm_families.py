"""Directories that transformers alone wrote: SFT and GRPO by DeepSpeed on samples from vLLM, evaluated by vLLM, and back."""

from __future__ import annotations

import importlib.util

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import vllm_tiny as tiny
from tiny import words
from transformers import AutoModelForCausalLM

from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.cli import main
from unified_rl.config.engines import VllmConfig
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.sampling.vllm_generator import EngineOptions, VllmGenerator
from unified_rl.tasks.tokenizers import train_tokenizer

pytestmark = [
    tiny.needs_vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None, reason="needs the extra: make install-engines, then make test-engines"
    ),
]
MORE = (
    "engine=deepspeed",
    "generator=vllm",
    "vllm.cpu_cache_gib=0.05",
    "sft.steps=4",
    "trainer.steps=2",
    "logging.curve_every=0",
)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_from_transformers_through_both_engines_and_back(family, tied, tmp_path):
    tokenizer = train_tokenizer(["heads or tails? heads: 1"], vocab_size=300)
    base, run = tmp_path / "base", tmp_path / "run"
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    tiny.tiny_model(base, family, tied, vocab_size=len(tokenizer), max_position_embeddings=256, **ids)
    tokenizer.save_pretrained(base)

    assert main(["train", *words("grpo", run, tmp_path / "artifacts", f"model.path={base}", *MORE)]) == 0
    assert main(["evaluate", f"run={run}"]) == 0, "vLLM reads the checkpoint"
    (samples,) = (run / "evaluations").glob("*/samples.parquet")
    assert pq.read_table(samples).num_rows > 0

    (policy,) = run.glob("checkpoints/step_000002/policy")
    plain, report = AutoModelForCausalLM.from_pretrained(policy, output_loading_info=True, dtype=torch.float32)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert (plain.get_output_embeddings().weight is plain.get_input_embeddings().weight) is tied
    prompt = Prompt(Problem("p", "", ""), tuple(range(5, 15)))
    sampler = VllmGenerator(policy, load_tokenizer(policy), EngineOptions(VllmConfig(cpu_cache_gib=0.05)))
    try:
        ((one,),) = sampler.generate([prompt], [[3]], Decoding(1.0, max_new_tokens=8), 0)
    finally:
        sampler.close()
    with torch.no_grad():
        ids = torch.tensor([[*prompt.token_ids, *one.token_ids]])
        logp = torch.log_softmax(plain.eval()(ids).logits[0, len(prompt.token_ids) - 1 : -1], -1)
    drawn = logp[torch.arange(len(one.token_ids)), torch.from_numpy(one.token_ids)]
    assert np.abs(drawn.numpy() - one.behaviour_logp).max() < 1e-4
