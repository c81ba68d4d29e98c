"""GSM8K through the whole pipeline: SFT, GRPO, evaluation, tables, figures; from scratch and from a Hugging Face directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from unified_rl.cli import main

SHARED = Path(__file__).parents[3] / "shared" / "data"

WORDS = (
    "task=gsm8k",
    "task.template=completion",
    "data.prompts=40",
    "model.hidden_size=64",
    "model.num_heads=2",
    "model.num_layers=1",
    "model.intermediate_size=96",
    "model.max_positions=1024",
    "model.vocabulary=400",
    "sft.demonstrations=60",
    "sft.steps=4",
    "sft.sequences_per_step=8",
    "rollout.prompts_per_step=2",
    "rollout.responses_per_prompt=4",
    "trainer.steps=2",
    "generator.max_new_tokens=24",
    "evaluation.max_new_tokens=24",
    "logging.curve_problems=2",
    "threads=1",
)


def upstream(folder: Path) -> Path:
    """The layout of `openai/gsm8k` as JSON lines, with made-up problems."""
    for name, count in (("train", 120), ("test", 20)):
        with (folder / f"{name}.jsonl").open("w") as file:
            for i in range(count):
                a, b = 3 + i, 2 * i + 1
                answer = f"There are {a}+{b}=<<{a}+{b}={a + b}>>{a + b} apples.\n#### {a + b}"
                file.write(
                    json.dumps({"question": f"{name}: Ann has {a} apples and buys {b}. How many?", "answer": answer}) + "\n"
                )
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return upstream(tmp_path_factory.mktemp("gsm8k"))


def test_from_scratch_to_figures(data, tmp_path):
    runs, artifacts = tmp_path / "runs", tmp_path / "artifacts"
    common = [*WORDS, f"data.path={data}", f"artifacts={artifacts}"]
    assert main(["train", "method=sft", "label=SFT", *common, "trainer.steps=0", f"run_dir={runs / 'start'}"]) == 0
    assert main(["train", "method=grpo", *common, f"run_dir={runs / 'grpo'}"]) == 0
    for name in ("start", "grpo"):
        assert main(["evaluate", f"run={runs / name}", "problems=4", "samples=4"]) == 0
    metrics = [json.loads(line) for line in (runs / "grpo" / "metrics.jsonl").read_text().splitlines()]
    assert metrics[0]["response/truncated"] > 0.5, "a model that learnt nothing runs into the length limit, and that is said"
    assert metrics[0]["groups/zero_variance"] == 1.0
    samples = pd.read_parquet(runs / "grpo" / "evaluations" / "test" / "samples.parquet")
    assert len(samples) == 4 * 5
    assert main(["tables", str(runs), f"out={tmp_path / 'tables'}"]) == 0
    assert main(["figures", f"tables={tmp_path / 'tables'}", f"out={tmp_path / 'figures'}"]) == 0
    assert (tmp_path / "figures" / "learning_curves.png").stat().st_size > 10_000


def test_from_a_hugging_face_directory_written_by_transformers_alone(data, tmp_path):
    """A tiny Qwen2 with tied embeddings that this library had no hand in."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from unified_rl.tasks.tokenizers import train_tokenizer

    tokenizer = train_tokenizer(["Ann has 3 apples and buys 4. There are 7 apples."], vocab_size=300)
    shape = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    config = Qwen2Config(vocab_size=len(tokenizer), tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id, **shape)
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    words = [
        *WORDS,
        f"data.path={data}",
        f"artifacts={tmp_path / 'a'}",
        f"model.path={tmp_path / 'base'}",
        "task.template=deepseek",
    ]
    assert main(["train", "method=grpo", *words, f"run_dir={tmp_path / 'run'}"]) == 0
    (policy,) = (tmp_path / "run" / "checkpoints").glob("step_000002/policy")
    loaded = Qwen2ForCausalLM.from_pretrained(policy)
    assert loaded.config.tie_word_embeddings


def test_missing_and_malformed_data(data, tmp_path, capsys):
    common = ["method=grpo", *WORDS, f"artifacts={tmp_path / 'a'}", f"run_dir={tmp_path / 'run'}"]
    assert main(["train", *common, f"data.path={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere" in capsys.readouterr().err
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    with (broken / "train.jsonl").open("a") as file:
        file.write('{"question": "no answer here"}\n')
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    assert main(["train", *common, f"data.path={broken}"]) == 2
    message = capsys.readouterr().err
    assert "train.jsonl" in message
    assert "answer" in message
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("train", "test"):
        (empty / f"{name}.jsonl").write_text("")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    assert main(["train", *common, f"data.path={empty}"]) == 2


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs the benchmark files in ../shared/data, which are not part of the project"
)
def test_real_gsm8k_at_real_lengths(tmp_path):
    """The real problems with their real solutions: a few SFT and GRPO steps with 200-token responses."""
    words = [word for word in WORDS if not word.startswith(("generator.max", "data.prompts"))]
    words += [f"data.path={SHARED}", f"artifacts={tmp_path / 'a'}", f"run_dir={tmp_path / 'run'}", "data.prompts=0"]
    assert main(["train", "method=grpo", *words, "generator.max_new_tokens=200", "model.vocabulary=1024"]) == 0
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["response/longest"] <= 200
