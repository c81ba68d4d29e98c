"""Directories that transformers alone wrote go through DeepSpeed and back to plain transformers: tied and untied embeddings."""

from __future__ import annotations

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import deepspeed_jobs as jobs
import torch
from launch import run_job
from ragged import VOCABULARY
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from unified_rl.training.torch_trainer import TorchTrainer

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

SETTINGS = [{"zero_stage": 2}, {"zero_stage": 3}, {"zero_stage": 3, "activation_checkpointing": "layers"}]
FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
NAMES = [f"{family}_{embeddings}" for family in FAMILIES for embeddings in ("tied", "untied")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    torch.manual_seed(0)
    for name in NAMES:
        family, _, embeddings = name.partition("_")
        config, model = FAMILIES[family]
        shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        sizes = {"intermediate_size": 48, "num_key_value_heads": 1, "max_position_embeddings": 64}
        ids = {"eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 2}
        built = model(config(**shape, **sizes, **ids, initializer_range=0.2, tie_word_embeddings=embeddings == "tied"))
        built.save_pretrained(folder / name)
    run_job(folder, 2, job="families", models=NAMES, settings=SETTINGS, folder=str(folder))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_saved_weights_are_those_of_the_torch_trainer(folder, name):
    trainer = jobs.train_family(
        folder / name, lambda problem: TorchTrainer(problem.model, problem.role, jobs.OPTIONS, jobs.LAYOUT)
    )
    want = jobs.vector(trainer.model.parameters())
    start = jobs.vector(AutoModelForCausalLM.from_pretrained(folder / name).parameters())
    for settings in SETTINGS:
        loaded, report = AutoModelForCausalLM.from_pretrained(
            folder / f"{name}_{jobs.place(settings)}", output_loading_info=True, dtype=torch.float32
        )
        assert not report["missing_keys"] and not report["unexpected_keys"]
        found = jobs.vector(loaded.parameters())
        assert (found - want).norm() / (want - start).norm() < 1e-3, "the change itself, not only the weights"
        assert (found - want).norm() / want.norm() < 1e-5
        tied = loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
        assert tied == name.endswith("_tied")
