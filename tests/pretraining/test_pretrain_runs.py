"""Pre-training for real on a very small world: killed and resumed, on two ranks, in chains, and what is refused."""

from __future__ import annotations

import json
import time

import pytest
from forked import Command
from tiny import command, environment
from tiny_mix import SMALL
from transformers import AutoModelForCausalLM, AutoTokenizer

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.cli import main
from unified_rl.presets.loading import load_config
from unified_rl.stages.chain import made_for, stage
from unified_rl.stages.kinds.pretrain import command_config
from unified_rl.stages.pretraining import run_pretraining


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    words = [*SMALL, f"run_dir={folder / 'run'}", f"artifacts={folder / 'artifacts'}"]
    assert main(["pretrain", *words]) == 0
    return folder


def entries(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def held(run_dir):
    """The bytes of everything that is a function of the settings."""
    names = ("model.safetensors", "optimizer.safetensors", "metrics.jsonl", "tokenizer.json")
    found = sorted(path for path in run_dir.rglob("*") if path.name in names and ".tmp" not in str(path))
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in found}


def test_a_run_says_what_it_read_and_what_held_out_text_shows(undisturbed):
    found = entries(undisturbed / "run")
    assert [entry["step"] for entry in found] == list(range(1, 13)), "6000 tokens in steps of 512"
    for entry in found:
        names = ("mathematics", "code", "general")
        assert sum(entry[f"tokens/{name}"] for name in names) == entry["tokens/trained"] == entry["step"] * 512
    assert found[-1]["tokens/mathematics"] == pytest.approx(0.6 * 12 * 512, abs=128)
    assert found[-1]["epochs/mathematics"] == pytest.approx(found[-1]["tokens/mathematics"] / 4000, rel=0.06)
    measured = [entry["step"] for entry in found if "held_out/mathematics/steps/right" in entry]
    assert measured == [6, 12] and found[-1]["held_out/code/bits_per_byte"] > 0
    assert found[-1]["held_out/mathematics/loss"] < found[5]["held_out/mathematics/loss"]
    assert found[-1]["loss"] < found[0]["loss"]


def test_the_result_and_every_model_kept_are_hugging_face_directories(undisturbed):
    kept = sorted((undisturbed / "run" / "models").iterdir())
    assert [path.name for path in kept] == ["step_000005", "step_000010"]
    for path in (*kept, undisturbed / "run" / "checkpoints" / "step_000012" / "policy"):
        model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
        assert len(tokenizer) == model.config.vocab_size
        assert tokenizer.decode(tokenizer("Tom has 12 pens.", add_special_tokens=False).input_ids) == "Tom has 12 pens."


@pytest.mark.long
def test_killed_at_several_moments_it_ends_with_the_same_bytes(undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    words = [*SMALL, f"run_dir={run_dir}", f"artifacts={undisturbed / 'artifacts'}", "resume=true"]

    def steps():
        path = run_dir / "metrics.jsonl"
        return path.read_text().count("\n") if path.exists() else 0

    moments = [
        lambda: steps() >= 2,
        lambda: bool(list(run_dir.glob("models/.*.tmp"))) or steps() >= 6,
        lambda: bool(list(run_dir.glob("checkpoints/.*.tmp"))) or steps() >= 9,
    ]
    killed = 0
    for moment in moments:
        process, deadline = Command("pretrain", *words), time.monotonic() + 100
        while process.returncode is None and not moment():
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        killed += process.returncode is None
        process.kill()
    assert killed >= 2, "the run ended before it could be killed"
    process = Command("pretrain", *words)
    printed = process.finish()
    assert process.returncode == 0, printed
    assert held(run_dir) == held(undisturbed / "run")


@pytest.mark.long
def test_two_ranks_make_what_one_makes_to_rounding(undisturbed, tmp_path):
    import subprocess
    import sys

    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "unified_rl.cli", "pretrain"]
    words = [*SMALL, f"run_dir={tmp_path / 'run'}", f"artifacts={undisturbed / 'artifacts'}"]
    run = subprocess.run([sys.executable, *launch, *words], env=environment(), capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stdout + run.stderr
    for ours, theirs in zip(entries(tmp_path / "run"), entries(undisturbed / "run"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


CHAIN = (
    "mix=tiny",
    *SMALL[1:],
    "pretraining.keep_every=0",
    "pretraining.tokens=2048",
    "stages.code.kind=pretrain",
    "stages.code.inputs.policy=base",
    "stages.code.settings.pretraining={sources: [{name: code, path: 'world:code'}], tokens: 1024, schedule: constant}",
    "stages.mathematics.kind=pretrain",
    "stages.mathematics.inputs.policy=code",
    "stages.sft.inputs.policy=mathematics",
    "stages.sft.settings.trainer={steps: 2}",
)


def test_keys_of_a_chain_of_stages_are_those_of_its_parts():
    config = load_config(["method=grpo", *CHAIN, "init=sft"])
    assert [found.name for found in made_for(config)] == ["base", "sft", "code", "mathematics"]
    first, second = (stage(config, name) for name in ("code", "mathematics"))
    assert second.inputs["policy"].key() == first.key()
    other = load_config(["method=grpo", *CHAIN, "init=sft", "pretraining.world.shows_values=0"])
    assert stage(other, "code").key() != first.key(), "the world is part of what it is made of"


def test_pretrain_begins_with_the_last_stage_of_the_chain_and_its_seed_is_all_stages():
    config = command_config([*CHAIN, "seed=3"])
    assert (config.init, config.seed, config.trainer.steps) == ("mathematics", 3, 4)
    config = command_config([*CHAIN, "init=code", "seed=3", "pretraining.seed=1"])
    assert (config.init, config.seed) == ("code", 1)
    assert command_config([*SMALL]).init == "base"


@pytest.mark.long
def test_code_then_mathematics_then_sft_then_grpo(tmp_path):
    """As stages of one `train`; and continued from its own Hugging Face directory, which is the same model."""
    more = ("method=grpo", "init=sft", "trainer.steps=1", "data.prompts=8", "rollout.prompts_per_step=4")
    sizes = ("sft.demonstrations=50", "logging.curve_problems=4", "generator.max_new_tokens=16")
    where = (f"run_dir={tmp_path / 'run'}", f"artifacts={tmp_path / 'artifacts'}")
    assert main(["train", *CHAIN, *more, *sizes, *where]) == 0
    config = load_config([*CHAIN, *more, *sizes, *where])
    made = {name: tmp_path / "artifacts" / "pretrain" / stage(config, name).key() for name in ("code", "mathematics")}
    again = [*SMALL, "pretraining.keep_every=0", "pretraining.tokens=2048", f"run_dir={tmp_path / 'again'}", where[1]]
    assert main(["pretrain", *again, f"model.path={made['code'] / 'checkpoints' / 'step_000002' / 'policy'}"]) == 0
    weights = "checkpoints/step_000004/policy/model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (made["mathematics"] / weights).read_bytes()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("pretraining.sources=[]",), ConfigError, r"pretraining.sources is empty; set mix=FILE.yaml"),
        (
            ("pretraining.sources=[{name: a, path: 'world:books'}]",),
            ConfigError,
            r"world:books is not in the made-up world, which",
        ),
        (("pretraining.sources=[{name: a, path: nowhere}]",), DataError, r"nowhere does not exist"),
        (("pretraining.sources=[{name: a, path: x, weight: 0}]",), ConfigError, r"weight of a=0.* must be greater than 0"),
        (("pretraining.sources=[{name: a, path: x}, {name: a, path: y}]",), ConfigError, r"two sources .* are called 'a'"),
        (("pretraining.sources=[{path: x}]",), ConfigError, r"needs a name and a path"),
        (("mix=tony",), ConfigError, r"mix='tony' is not known; did you mean 'tiny'"),
        (("pretraining.documents=both",), ConfigError, r"pretraining.documents='both' is not known"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path, words, error, message):
    with pytest.raises(error, match=message):
        run_pretraining(command_config([*SMALL, *words, f"run_dir={tmp_path / 'run'}", f"artifacts={tmp_path / 'a'}"]))
    assert not (tmp_path / "run").exists()


def test_tokens_of_another_tokenizer_are_refused(undisturbed, tmp_path):
    """Token files whose ids the model does not have."""
    from unified_rl.corpus.token_files import TokenWriter

    writer = TokenWriter(tmp_path / "other", 60000)
    writer.add([50000] * 500)
    writer.close()
    source = f"pretraining.sources=[{{name: other, path: {tmp_path}}}]"
    words = [*SMALL, source, f"run_dir={tmp_path / 'run'}", f"artifacts={undisturbed / 'artifacts'}"]
    with pytest.raises(
        DataError, match=r"source other holds token 50000, and the model has \d+; tokenise it with the model's own"
    ):
        run_pretraining(command_config(words))


def test_the_command_wants_a_run_directory():
    run = command("pretrain", *SMALL)
    assert run.returncode == 2 and run.stderr.startswith("error: pretrain needs run_dir=DIR")
