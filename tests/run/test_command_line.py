"""The command line as a user meets it: the table, explain, and bad input, each with a clear message and a non-zero exit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import command, wants, words

from unified_rl import __version__, methods
from unified_rl.cli import main
from unified_rl.methods import COEFFICIENTS
from unified_rl.presets import rules
from unified_rl.presets.loading import compose, load_config
from unified_rl.records import seals
from unified_rl.sources.registry import SOURCES


def fails(capsys, *arguments: str) -> str:
    """The message of a command that must exit with 2."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    (message,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    return message


def test_methods_prints_the_table(capsys):
    assert main(["methods", "--json"]) == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(methods.METHODS)
    assert rows["rft"]["formula"] == rows["online_rft"]["formula"]
    assert rows["rft"]["source"] != rows["online_rft"]["source"]
    assert "21" in rows["grpo"]["equation"]
    assert main(["methods"]) == 0
    assert "[not clipped]" in capsys.readouterr().out


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_preset_loads_and_explains(method, capsys):
    assert main(["explain", f"method={method}", *wants(method), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["method"] == method
    assert main(["explain", f"method={method}", *wants(method)]) == 0


def test_presets_pin_their_defaults():
    """A preset that drifts is another method: the numbers of the papers, as a table."""
    found = {name: load_config([f"method={name}", *wants(name)]) for name in methods.METHODS}
    of_the_papers = {
        "sft": "sequence_mean",
        "rft": "sequence_mean",
        "dpo": "pair_mean",
        "online_rft": "sequence_mean",
        "ppo": "sequence_mean",
        "grpo": "sequence_mean",
        "grpo_ps": "sequence_mean",
        "rloo": "constant_length",
        "dr_grpo": "constant_length",
        "dapo": "prompt_token_mean",
        "gspo": "sequence_mean",
        "opd": "sequence_mean",
        "reinforce_pp": "batch_token_mean",
        "cispo": "batch_token_mean",
        "gmpo": "sequence_mean",
    }
    assert {name: found[name].aggregation.name for name in of_the_papers} == of_the_papers
    grpo = {"name": "grpo", "kl_coef": 0.04, "kl_estimator": "k3", "kl_in": "loss", "clip_eps": 0.2, "std": "population"}
    assert vars(found["grpo"].coefficient).items() >= grpo.items()
    assert (found["dapo"].coefficient.low, found["dapo"].coefficient.high) == (0.2, 0.28)
    assert (found["dapo"].reward.correct, found["dapo"].reward.incorrect) == (1.0, -1.0)
    assert found["ppo"].coefficient.kl_coef == 0.04
    assert {name: config.rollout.updates for name, config in found.items() if config.rollout.updates != 1} == {"vine_ppo": 2}


@pytest.mark.parametrize(
    ("wrong", "hints"),
    [
        (["kl_coef=0.1"], ["unknown key 'kl_coef'", "coefficient.kl_coef"]),
        (["trainer.learning_rat=1"], ["trainer.learning_rate"]),
        (["seed=one"], ["seed", "Integer"]),
        (["trainer.learning_rate=-1"], ["trainer.learning_rate", "greater than 0"]),
        (["method=gropo"], ["did you mean 'grpo'"]),
        (["stack=tinny"], ["did you mean 'tiny'"]),
        (["coefficient=ppoo"], ["did you mean 'ppo'"]),
        (["method=sft", "coefficient.kl_coef=0.1"], ["grpo", "not of this one"]),
        (["source=offline"], ["source.name", "offline_samples"]),
        (["method=grpo", "source=preference_pairs"], ["pairs", "coefficient=dpo"]),
        (["method=dpo", "source=online_samples"], ["preference_pairs"]),
        (["method=grpo", "source=demonstrations"], ["one each", "coefficient=sft"]),
        (["method=grpo", "rollout.responses_per_prompt=1"], ["rollout.responses_per_prompt"]),
        (["method=online_rft", "reward.supervision=process"], ["grades steps", "reward.supervision=outcome"]),
        (["method=grpo", "reward.supervision=process"], ["reward.source=exact"]),
        (["method=grpo", "reward.source=none"], ["contradict"]),
        (["method=grpo", "reward=none", "reward.supervision=none"], ["function of the reward"]),
        (["method=sft", "source=online_samples"], ["exactly zero", "source=demonstrations"]),
        (["method=ppo", "source=demonstrations"], ["somebody else's"]),
        (["method=dpo", "aggregation=sequence_mean"], ["pair_mean"]),
        (["method=grpo", "aggregation=pair_mean"], ["sequence_mean"]),
        (["method=grpo", "generator.top_p=0.9"], ["top_p=1"]),
        (["method=online_rft", "rollout.epochs=2"], ["importance weight"]),
        (["rollout.minibatches=99"], ["rollout.prompts_per_step"]),
        (["model.num_heads=7"], ["model.hidden_size", "multiple"]),
        (["nonsense"], ["key=value"]),
        (["coefficient=missing_file.py:Mine"], ["missing_file.py", "does not exist"]),
        (["trainer=torch", "trainer.steps.x=1"], ["trainer.steps"]),
        (["reward.source=nobody"], ["reward.source"]),
        (["method=grpo_ps", "task=gsm8k", "data.path=nowhere"], ["nowhere"]),
        (["reward.source=nofile.py:make"], ["nofile.py"]),
        (["reward.overlong=500"], ["reward.overlong", "max_new_tokens"]),
        (["method=grpo_ps", "reward.overlong=5"], ["reward.overlong=0"]),
        (["task=arithmetics"], ["arithmetic"]),
        (["task.options.main_step=[1,2]"], ["main_steps"]),
        (["sft.schedule=cosin"], ["sft.schedule", "cosine"]),
        (["trainer.beta1=1.5"], ["trainer.beta1"]),
        (["model.device=cudaa"], ["model.device"]),
        (["method=dpo", "aggregation.truncated=drop"], ["out of a pair"]),
    ],
)
def test_refused_before_anything_starts(wrong, hints, capsys, tmp_path):
    message = fails(capsys, "train", f"run_dir={tmp_path / 'run'}", *wrong)
    for hint in hints:
        assert hint in message
    assert not (tmp_path / "run").exists()


def test_every_combination_of_axes_runs_or_says_why():
    """Nothing falls through: each of source x coefficient x supervision is accepted or refused with a remedy."""
    accepted = set()
    for coefficient in COEFFICIENTS:
        aggregation = "pair_mean" if coefficient == "dpo" else "sequence_mean"
        config = compose([f"coefficient={coefficient}", f"aggregation={aggregation}"])
        for source in SOURCES:
            for reward, supervision in (("none", "none"), ("rule", "outcome"), ("exact", "outcome"), ("exact", "process")):
                axes = (source, coefficient, reward, supervision)
                judged = replace(config.reward, source=reward, supervision=supervision)
                try:
                    rules.check(replace(config, source=replace(config.source, name=source), reward=judged))
                    accepted.add((source, coefficient, supervision))
                except ValueError as error:
                    assert "set " in str(error) or "both or neither" in str(error), f"{axes}: no remedy in {error}"
    assert ("offline_samples", "grpo", "process") in accepted
    assert ("online_samples", "rft", "outcome") in accepted
    assert ("demonstrations", "rft", "outcome") in accepted
    assert ("preference_pairs", "dpo", "outcome") in accepted
    assert not any(source == "preference_pairs" and coefficient != "dpo" for source, coefficient, _ in accepted)


def test_train_without_run_dir_and_evaluate_without_run(capsys, tmp_path):
    assert "run_dir" in fails(capsys, "train", "method=grpo")
    assert "run=DIR" in fails(capsys, "evaluate")
    assert "config.yaml" in fails(capsys, "evaluate", f"run={tmp_path / 'nothing'}")


def test_methods_takes_no_settings(capsys):
    assert "explain" in fails(capsys, "methods", "method=grpo")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One real tiny run, and the artefacts behind it."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", *words("grpo", folder / "run", folder / "artifacts")]) == 0
    return folder


def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run"


def test_existing_run_is_refused_and_other_settings_cannot_resume(trained, capsys):
    arguments = words("grpo", trained / "run", trained / "artifacts")
    assert "resume=true" in fails(capsys, "train", *arguments)
    message = fails(capsys, "train", *arguments, "resume=true", "seed=5")
    assert "seed: 0 -> 5" in message


def test_a_run_killed_while_it_was_created_can_be_resumed(trained, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / ".config.yaml.tmp").write_text("half")
    assert main(["train", *words("grpo", tmp_path / "run", trained / "artifacts", "resume=true")]) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (trained / "run" / "metrics.jsonl").read_bytes()


def test_torn_and_foreign_lines_do_not_stop_a_resume(trained, tmp_path):
    run = copied(trained, tmp_path)
    with (run / "metrics.jsonl").open("ab") as file:
        file.write('{"step": 5, "text": "\u00e9'.encode()[:-1])
    assert main(["train", *words("grpo", run, trained / "artifacts", "trainer.steps=4", "resume=true")]) == 0
    assert (run / "metrics.jsonl").read_bytes() == (trained / "run" / "metrics.jsonl").read_bytes()


def test_resume_refuses_other_inputs_and_undone_steps(trained, capsys, tmp_path):
    run = copied(trained, tmp_path)
    arguments = words("grpo", run, trained / "artifacts", "resume=true")
    assert "cannot undo" in fails(capsys, "train", *arguments, "trainer.steps=2")
    provenance = json.loads((run / "provenance.json").read_text())
    assert [session["company"] for session in provenance["sessions"]] == ["exact by construction"] * len(provenance["sessions"])
    provenance["inputs"]["policy"] = "another"
    (run / "provenance.json").write_text(json.dumps(provenance))
    assert "provenance.json has" in fails(capsys, "train", *arguments, "trainer.steps=6")
    listed = {name: known for name, known in seals.listed(run).items() if name not in (seals.STATUS, "provenance.json")}
    seals.write_status(run, json.loads((run / "status.json").read_text()), listed)  # as if it had been recorded so
    assert "policy changed" in fails(capsys, "train", *arguments, "trainer.steps=6")


def test_linear_schedule_cannot_be_extended(trained, capsys, tmp_path):
    arguments = words("sft", tmp_path / "run", trained / "artifacts", "rollout.prompts_per_step=4", "trainer.schedule=linear")
    assert main(["train", *arguments]) == 0
    assert "schedule" in fails(capsys, "train", *arguments, "trainer.steps=9", "resume=true")


def test_corrupt_and_missing_checkpoints(trained, capsys, tmp_path):
    run = copied(trained, tmp_path)
    weights = run / "checkpoints" / "step_000004" / "policy" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1  # one flipped bit
    weights.write_bytes(data)
    for arguments in (
        ["evaluate", f"run={run}"],
        ["train", *words("grpo", run, trained / "artifacts", "trainer.steps=6", "resume=true")],
    ):
        message = fails(capsys, *arguments)
        assert "model.safetensors" in message
        assert "delete" in message
    weights.unlink()
    assert "is missing" in fails(capsys, "evaluate", f"run={run}")
    shutil.rmtree(run / "checkpoints" / "step_000004")
    assert main(["train", *words("grpo", run, trained / "artifacts", "resume=true")]) == 0, "goes on from the checkpoint before"
    assert (run / "metrics.jsonl").read_bytes() == (trained / "run" / "metrics.jsonl").read_bytes()


def test_damaged_artefact_is_refused(trained, capsys, tmp_path):
    shutil.copytree(trained / "artifacts", tmp_path / "artifacts")
    (victim,) = (tmp_path / "artifacts" / "sft").glob("*/checkpoints/*/policy/model.safetensors")
    victim.write_bytes(victim.read_bytes()[:-100])
    message = fails(capsys, "train", *words("grpo", tmp_path / "new", tmp_path / "artifacts"))
    assert "model.safetensors" in message
    assert "built again" in message


def test_unwritable_and_occupied_folders(trained, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in fails(capsys, "train", *words("grpo", tmp_path / "file" / "run", tmp_path / "a"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("")
    assert "not empty" in fails(capsys, "train", *words("grpo", tmp_path / "full", tmp_path / "a"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device on which every write finds the disk full")
def test_full_disk(trained, capsys, tmp_path):
    run = copied(trained, tmp_path)
    (run / ".status.json.tmp").symlink_to("/dev/full")
    message = fails(capsys, "train", *words("grpo", run, trained / "artifacts", "trainer.steps=6", "resume=true"))
    assert "disk is full" in message
    (run / ".status.json.tmp").unlink()
    assert main(["train", *words("grpo", run, trained / "artifacts", "trainer.steps=6", "resume=true")]) == 0


def test_run_in_use_is_refused(trained, capsys):
    from unified_rl.presets.loading import as_dict
    from unified_rl.records.runs import Run

    config = load_config(words("grpo", trained / "run", trained / "artifacts"))
    run = Run.open(trained / "run", as_dict(config), resume=True)
    try:
        assert "in use" in fails(capsys, "train", *words("grpo", trained / "run", trained / "artifacts", "resume=true"))
    finally:
        run.close()


def test_model_directories(trained, capsys, tmp_path):
    """A Hugging Face directory as the base model; missing, corrupt, or with a tokenizer that is not its own."""
    good = next((trained / "artifacts" / "base").glob("*/config.json")).parent
    base = [*words("grpo", tmp_path / "run", tmp_path / "a"), "init=base"]
    assert "does not exist" in fails(capsys, "train", *base, f"model.path={tmp_path / 'nowhere'}")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    (tmp_path / "empty").mkdir()
    assert "config.json" in fails(capsys, "train", *base, f"model.path={tmp_path / 'empty'}")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    shutil.copytree(good, tmp_path / "mismatch")
    tokenizer = json.loads((tmp_path / "mismatch" / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"extra{i}": len(vocabulary) + i for i in range(50)}
    (tmp_path / "mismatch" / "tokenizer.json").write_text(json.dumps(tokenizer))
    message = fails(capsys, "train", *base, f"model.path={tmp_path / 'mismatch'}")
    assert "tokenizer" in message
    assert "vocabulary" in message or "embed" in message
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    assert main(["train", *base, f"model.path={good}"]) == 0


def test_evaluate_stores_raw_samples_and_repeats_exactly(trained, capsys, tmp_path):
    import pandas as pd

    run = copied(trained, tmp_path)
    assert main(["evaluate", f"run={run}", "name=a", "samples=3", "problems=2"]) == 0
    assert main(["evaluate", f"run={run}", "name=b", "samples=3", "problems=2"]) == 0
    a, b = (pd.read_parquet(run / "evaluations" / name / "samples.parquet") for name in "ab")
    pd.testing.assert_frame_equal(a, b)
    assert len(a) == 2 * 2 * (3 + 1)
    assert set(a["mode"]) == {"sample", "greedy"}
    assert (a["policy_version"] == 4).all()
    assert "exists already" in fails(capsys, "evaluate", f"run={run}", "name=a")
    assert "threads=abc" in fails(capsys, "evaluate", f"run={run}", "threads=abc")
    assert "folder name" in fails(capsys, "evaluate", f"run={run}", "name=a/b")
    assert "unknown key 'sampels'" in fails(capsys, "evaluate", f"run={run}", "sampels=3")


def test_a_diverging_run_stops_and_keeps_its_last_good_checkpoint(trained, capsys, tmp_path):
    run = copied(trained, tmp_path)
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "from unified_rl.coefficients import coefficient_from_objective\n"
        "def nan(logp_BT, inputs):\n"
        "    return (logp_BT * float('nan')).sum()\n"
        "Broken = coefficient_from_objective(nan)\n"
    )
    message = fails(
        capsys, "train", *words("grpo", tmp_path / "nan", trained / "artifacts", f"coefficient={tmp_path / 'broken.py'}:Broken")
    )
    assert "nan" in message
    assert "step 1" in message or "update 0" in message
    status = json.loads((tmp_path / "nan" / "status.json").read_text())
    assert status["state"] == "failed"
    assert run.exists()


def test_the_installed_command_runs():
    assert command("--version").stdout.strip() == __version__
    result = command("train", "method=gropo")
    assert result.returncode == 2
    assert "did you mean 'grpo'" in result.stderr


def test_light_modules_do_not_load_torch():
    code = "import sys, unified_rl.cli, unified_rl.presets.loading, unified_rl.planning.explain, unified_rl.records.artifacts;"
    code += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
