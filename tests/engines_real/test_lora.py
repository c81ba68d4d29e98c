"""Adapters on DeepSpeed and vLLM: whole runs with the numbers of one torch process, and an adapter that vLLM serves by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import words

from unified_rl.cli import main
from unified_rl.models.adapter_files import root_of
from unified_rl.models.policy_model import load_policy

pytest.importorskip("peft", reason="needs the extra: make install-engines, then make test-engines")
pytestmark = pytest.mark.timeout(900)
LORA = ("model.lora.rank=4", "trainer.learning_rate=1e-2", "trainer.steps=3", "logging.checkpoint_every=1", "logging.samples=0")
SMALL = ("sft.steps=4", "logging.curve_every=0")


def metrics(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def same(ours: list[dict], theirs: list[dict], rel: float = 1e-3) -> None:
    """Samples are the same as long as rounding turns no token; a resumed run and its rounding differ as runs do."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        assert mine == pytest.approx(other, rel=rel, abs=1e-5)


@pytest.fixture(scope="module")
def torch_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    assert main(["train", *words("ppo", folder / "run", folder / "artifacts", *LORA, *SMALL)]) == 0
    return folder


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_the_numbers_of_one_torch_process(stage, torch_run, tmp_path):
    """Two ranks, the second of a run's three steps on one: what is divided, and what a checkpoint leaves out, is there again."""
    pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")
    from test_deepspeed_runs import finish, start

    options = ("engine=deepspeed", f"deepspeed.zero_stage={stage}", "deepspeed.whole_below=0", "resume=true")
    line = words("ppo", tmp_path / "run", torch_run / "artifacts", *LORA, *SMALL, *options)
    finish(start(2, [*line, "trainer.steps=2"]))
    checkpoint = tmp_path / "run" / "checkpoints" / "step_000002"
    assert {file.name for file in (checkpoint / "policy").glob("*.safetensors")} == {"adapter_model.safetensors"}
    whole = sum(weight.numel() for weight in load_policy(root_of(checkpoint / "policy"))[0].parameters())
    states = [file for file in checkpoint.rglob("*model_states.pt") if "value" not in str(file)]
    assert states and all(file.stat().st_size < 4 * whole for file in states), "weights that are not trained are left out"
    finish(start(1 if stage else 2, line))
    same(metrics(tmp_path / "run"), metrics(torch_run / "run"))


VLLM = ("generator=vllm", "vllm.cpu_cache_gib=0.05")


@pytest.fixture(scope="module")
def vllm_run(tmp_path_factory):
    pytest.importorskip("vllm", reason="needs the extra: make install-engines, then make test-engines")
    folder = tmp_path_factory.mktemp("vllm")
    wide = ("rollout.prompts_per_step=8", "rollout.responses_per_prompt=8")
    line = words("grpo", folder / "run", folder / "artifacts", *LORA, *VLLM, *wide, "logging.curve_every=0")
    assert main(["train", *line]) == 0
    return folder / "run"


def test_vllm_gets_merged_weights(vllm_run):
    found = metrics(vllm_run)
    assert found[-1]["kl/k3"] > 1e-3, "the adapter has moved the policy"
    assert all(entry["sync/max_logp_difference"] < 1e-4 and entry["sampler/max_logp_difference"] < 1e-4 for entry in found)


def test_vllm_evaluates_an_adapter(vllm_run):
    assert main(["evaluate", f"run={vllm_run}", "problems=2", "samples=2", "name=few"]) == 0


def test_vllm_serves_a_saved_adapter(vllm_run):
    """LLM(base, enable_lora=True) with a LoRARequest: the log-probs that we compute."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    folder = sorted((vllm_run / "checkpoints").glob("step_*"))[-1] / "policy"
    engine = LLM(
        model=str(root_of(folder)),
        skip_tokenizer_init=True,
        enable_lora=True,
        max_lora_rank=8,
        dtype="float32",
        enforce_eager=True,
        max_model_len=64,
        kv_cache_memory_bytes=2**26,
    )
    prompts = [[5, 6, 7], [8, 9, 4, 3]]
    sampling = SamplingParams(temperature=0.0, max_tokens=8, logprobs=0, detokenize=False, ignore_eos=True)
    found = engine.generate(
        [{"prompt_token_ids": ids} for ids in prompts], sampling, lora_request=LoRARequest("policy", 1, str(folder))
    )
    engine.llm_engine.engine_core.shutdown()
    assert compared(folder, prompts, found) < 1e-4
    assert compared(root_of(folder), prompts, found) > 1e-2, "the base alone computes something else"


def compared(folder: Path, prompts: list[list[int]], found) -> float:
    """Largest |log-prob - ours| of the tokens that an engine wrote, under the policy in a folder."""
    import torch

    model, largest = load_policy(folder)[0], 0.0
    for prompt, output in zip(prompts, found, strict=True):
        tokens = list(output.outputs[0].token_ids)
        with torch.no_grad():
            logp = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
        ours = [float(logp[len(prompt) - 1 + place, token]) for place, token in enumerate(tokens)]
        theirs = [place[token].logprob for place, token in zip(output.outputs[0].logprobs, tokens, strict=True)]
        largest = max(largest, float(np.abs(np.array(ours) - np.array(theirs)).max()))
    return largest
