"""Model folders that transformers alone wrote go all the way: SFT, GRPO, evaluation, and back into plain transformers."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen2Config

from unified_rl.cli import main
from unified_rl.models.policy_model import load_policy
from unified_rl.tasks.tokenizers import train_tokenizer

TEXTS = ["Ann has 3 apples and buys 4. How many? There are 3+4=7 apples.\n#### 7"]
SIZES = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gsm8k")
    for name, count in (("train", 60), ("test", 8)):
        rows = [
            {
                "question": f"{name}: Ann has {a} apples and buys {b}. How many?",
                "answer": f"There are {a}+{b}={a + b}.\n#### {a + b}",
            }
            for a, b in ((3 + i, 2 * i + 1) for i in range(count))
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def words(data, base, folder):
    return [
        "task=gsm8k",
        "task.template=deepseek",
        f"data.path={data}",
        "data.prompts=16",
        f"model.path={base}",
        f"artifacts={folder / 'artifacts'}",
        "sft.demonstrations=32",
        "sft.steps=3",
        "sft.sequences_per_step=8",
        "sft.learning_rate=0.001",
        "rollout.prompts_per_step=2",
        "rollout.responses_per_prompt=4",
        "trainer.steps=2",
        "trainer.learning_rate=0.001",
        "generator.max_new_tokens=12",
        "evaluation.max_new_tokens=12",
        "logging.curve_problems=0",
        "threads=1",
    ]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", [Qwen2Config, LlamaConfig], ids=["qwen2", "llama"])
def test_from_transformers_and_back(family, tied, data, tmp_path):
    tokenizer = train_tokenizer(TEXTS, vocab_size=300)
    base, run = tmp_path / "base", tmp_path / "run"
    config = family(
        vocab_size=len(tokenizer) + 12,  # embeddings are often padded beyond the tokenizer
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=512,
        **SIZES,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(base)
    tokenizer.save_pretrained(base)

    assert main(["train", "method=grpo", *words(data, base, tmp_path), f"run_dir={run}"]) == 0
    assert main(["evaluate", f"run={run}", "problems=4", "samples=2"]) == 0
    assert len(pd.read_parquet(run / "evaluations" / "test" / "samples.parquet")) == 4 * 3

    (policy,) = run.glob("checkpoints/step_000002/policy")
    plain, info = AutoModelForCausalLM.from_pretrained(policy, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert type(plain).__name__ == ("Qwen2ForCausalLM" if family is Qwen2Config else "LlamaForCausalLM")
    assert plain.config.tie_word_embeddings is tied
    shared = plain.get_input_embeddings().weight.data_ptr() == plain.get_output_embeddings().weight.data_ptr()
    assert shared is tied
    assert AutoTokenizer.from_pretrained(policy).get_vocab() == tokenizer.get_vocab()

    ours, _ = load_policy(policy)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(ids).logits, ours(ids).logits, rtol=1e-5, atol=1e-5)
        start = AutoModelForCausalLM.from_pretrained(base).eval()
    moved = [not torch.equal(before, after) for before, after in zip(start.parameters(), plain.parameters(), strict=True)]
    assert all(moved), "SFT and GRPO left a weight where it was"
    continued = plain.generate(ids, max_new_tokens=4, do_sample=False)
    assert continued.shape[1] > ids.shape[1]
