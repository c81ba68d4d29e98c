"""`stack=deepseekmath_7b` run on two CPU ranks: its own YAML, a model of its shape made small, real ZeRO-3 and real vLLM.

What the runs have otherwise than the YAML says is listed here, and nothing else differs: sizes, lengths and numbers of steps, and
what a machine without GPUs cannot do.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import vllm_tiny as tiny
from launch import environment, torchrun
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from unified_rl.presets.loading import load_config
from unified_rl.tasks.templates import INSTRUCTIONS, TEMPLATES
from unified_rl.tasks.tokenizers import train_tokenizer

pytestmark = [
    tiny.needs_vllm,
    pytest.mark.timeout(900),  # seconds; programs start slowly where cores are shared
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None, reason="needs the extra: make install-engines, then make test-engines"
    ),
]
STACK = "stack=deepseekmath_7b"
#: What a machine without GPUs cannot do, and where its memory is.
OF_A_CPU = {
    "model.device": "cpu",
    "model.dtype": "float32",
    "vllm.between_rollouts": "awake",
    "vllm.execution": "eager",
    "vllm.cpu_cache_gib": 0.25,
    "threads": 1,
}
#: ZeRO-3 keeps weights below `whole_below` whole, which here would be all of them.
SMALL_WEIGHTS = {"deepspeed.whole_below": 0, "deepspeed.bucket_elements": 10_000}
#: How much of everything.
AMOUNTS = {
    "sft.steps": 3,
    "sft.sequences_per_step": 2,
    "rollout.prompts_per_step": 2,
    "rollout.responses_per_prompt": 4,
    "generator.max_new_tokens": 24,
    "trainer.steps": 2,
    "reward_model.prompts": 6,
    "reward_model.samples_per_prompt": 4,
    "reward_model.sequences_per_step": 12,
    "iterate.iterations": 1,
    "iterate.steps": 2,
    "iterate.control_steps": 1,
    "iterate.agreement_problems": 2,
    "evaluation.max_new_tokens": 24,
    "logging.curve_problems": 2,
}
DIFFERENT = {**OF_A_CPU, **SMALL_WEIGHTS, **AMOUNTS}
#: What everybody has to say.
PLACES = ("run_dir", "artifacts", "model.path", "data.path")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and problems as a user brings them: a Hugging Face directory, and MATH's layout with made-up problems."""
    folder = tmp_path_factory.mktemp("stack")
    problems = [
        {
            "problem": f"What is {a} + {b}?",
            "solution": f"We add {a} and {b}.\nIt is $\\boxed{{{a + b}}}$.",
            "level": "Level 1",
            "type": "Prealgebra",
        }
        for a in range(1, 9)
        for b in range(1, 11)
    ]
    (folder / "data").mkdir()
    for name, part in (("train", problems[:-8]), ("test", problems[-8:])):
        (folder / "data" / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in part))
    prompt = TEMPLATES["deepseek"].format(question=problems[0]["problem"], instruction=INSTRUCTIONS["chain_of_thought", "en"])
    save_model(folder / "base", [prompt, *(one["solution"] for one in problems)])
    return folder


def save_model(folder: Path, texts: list[str]) -> None:
    """The Llama of deepseek-math-7b-base, narrower and with fewer layers, heads and words."""
    tokenizer = train_tokenizer(texts, vocab_size=320)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=172,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def words(folder: Path, name: str, method: str) -> list[str]:
    places = {
        "run_dir": folder / name,
        "artifacts": folder / "artifacts",
        "model.path": folder / "base",
        "data.path": folder / "data",
    }
    assert tuple(places) == PLACES
    return [STACK, f"method={method}", *(f"{key}={value}" for key, value in {**places, **DIFFERENT}.items())]


def launched(command: str, *arguments: str) -> None:
    line = torchrun(2, "-m", "unified_rl.cli", command, *arguments)
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=840, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]


def flat(config: dict, before: str = "") -> dict:
    """Key with dots -> value."""
    found: dict = {}
    for key, value in config.items():
        nested = flat(value, f"{before}{key}.") if isinstance(value, dict) and value else {f"{before}{key}": value}
        found |= nested
    return found


def changed(given: dict, method: str) -> set[str]:
    """The keys in which a configuration is not the stack's."""
    ours, stack = flat(given), flat(asdict(load_config([STACK, f"method={method}"])))
    return {key for key in ours | stack if ours.get(key) != stack.get(key)}


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_only_the_listed_keys_differ(method, folder):
    config = load_config(words(folder, "unused", method))
    differs = changed(asdict(config), method)
    assert differs == {*PLACES, *DIFFERENT}
    assert (config.trainer.name, config.deepspeed.zero_stage, config.generator.name) == ("deepspeed", 3, "vllm")
    assert config.reward.source == "model"


@pytest.fixture(scope="module")
def iterated(folder):
    """SFT, a reward model, GRPO, the reward model renewed, and GRPO again, by one command."""
    launched("iterate", *words(folder, "iterated", "grpo"))
    return folder


def check_run(run: Path, steps: list[int]) -> None:
    entries = metrics(run)
    assert [entry["step"] for entry in entries] == steps
    for entry in entries:
        assert entry["grad_norm"] > 0
        assert entry["sampler/max_logp_difference"] < 1e-4, "vLLM sampled what DeepSpeed trains"
        assert entry["sync/max_logp_difference"] < 1e-4
        assert entry["sampler/staleness_max"] == 0


def test_sft_reward_model_and_grpo(iterated):
    run = iterated / "iterated" / "iteration_0"
    check_run(run, [1, 2, 3])
    (sft,) = (iterated / "artifacts" / "sft").glob("*/metrics.jsonl")
    assert [entry["step"] for entry in metrics(sft.parent)] == [1, 2, 3]
    (policy,) = (run / "checkpoints").glob("step_000003/policy")
    saved, base = (AutoModelForCausalLM.from_pretrained(place) for place in (policy, iterated / "base"))
    assert saved.config.vocab_size == base.config.vocab_size
    moved = [(one - other).abs().max() for one, other in zip(saved.parameters(), base.parameters(), strict=True)]
    assert min(moved) > 0, "every weight was trained"


def test_iterations_have_reward_models_and_references_of_their_own(iterated):
    check_run(iterated / "iterated" / "iteration_1", [1, 2, 3])
    entries = json.loads((iterated / "iterated" / "iterate.json").read_text())["iterations"]
    assert len({entry["reward_model"] for entry in entries}) == 2
    assert len({entry["reference"] for entry in entries}) == 2


def test_ppo_from_the_same_stages(folder):
    """Its value model is a second model that ZeRO-3 divides, and both optimisers wait in the host's memory."""
    launched("train", *words(folder, "ppo", "ppo"))
    check_run(folder / "ppo", [1, 2])
    assert all(entry["value/loss"] > 0 for entry in metrics(folder / "ppo"))
    stored = OmegaConf.to_container(OmegaConf.load(folder / "ppo" / "config.yaml"))
    assert changed(stored, "ppo") == {*PLACES, *DIFFERENT}, "what the run says that it was"
    assert len(list((folder / "artifacts" / "sft").glob("*/metrics.jsonl"))) == 1, "made once"
