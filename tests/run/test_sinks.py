"""Sinks hold what the record holds, each step once, also after a kill; a missing package is refused; a failure ends no run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.presets import loading
from unified_rl.records import sinks
from unified_rl.records.runs import Run
from unified_rl.stages.training import run_training

CURVE = {"split": "validation", "slice": "main", "problem_ids": ["a", "b"], "sampled_tokens": 0, "trained_tokens": 0}


def points(folder: Path) -> list[tuple[str, int, float]]:
    """(name, step, value) of everything in a TensorBoard folder, double or not."""
    return [
        (value.tag, event.step, value.tensor.float_val[0])
        for file in folder.glob("events.*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tensor.float_val
    ]


def texts(folder: Path) -> dict[tuple[str, int], str]:
    """(name, step) -> text of everything written as text in a TensorBoard folder."""
    return {
        (value.tag.removesuffix("/text_summary"), event.step): value.tensor.string_val[0].decode()
        for file in folder.glob("events.*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tensor.string_val
    }


def written_settings(folder: Path) -> dict[str, object]:
    """The hyper-parameters in a TensorBoard folder, by the reader of its own dashboard."""
    from tensorboard.plugins.hparams import metadata

    found: dict[str, object] = {}
    for file in folder.glob("events.*"):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.tag == metadata.SESSION_START_INFO_TAG:
                    facts = metadata.parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
                    found |= {name: getattr(one, one.WhichOneof("kind")) for name, one in facts.hparams.items()}
    return found


def recorded(run_dir: Path) -> dict[tuple[str, int], float]:
    return {
        (key, entry["step"]): value
        for name in sinks.RECORDS
        for entry in map(json.loads, (run_dir / f"{name}.jsonl").read_text().splitlines())
        for key, value in sinks.scalars(name, entry).items()
    }


def configured(run_dir: Path, *names: str):
    return loading.load_config([f"run_dir={run_dir}", f"logging.sinks=[{','.join(names)}]"])


def log_step(run: Run, step: int) -> None:
    run.log("metrics", {"step": step, "loss": step / 10, "note": "no number"})
    run.log("curve", {"step": step, "correct": [1, 0], **CURVE})


def test_a_resumed_run_has_every_step_once(tmp_path):
    config = configured(tmp_path / "run", "tensorboard")
    killed = Run.open(tmp_path / "run", loading.as_dict(config), resume=False)
    context = sinks.attached(config, killed)
    context.__enter__()
    for step in (1, 2):
        log_step(killed, step)
    killed.save_checkpoint(2, lambda folder: (folder / "weights").write_text("x"), keep=2)
    log_step(killed, 3)
    killed.log("metrics", {"step": 4, "loss": 0.4})
    killed.close()  # the lock goes with the process; the sink is not closed
    resumed = Run.open(tmp_path / "run", loading.as_dict(config), resume=True)
    assert resumed.step == 2
    with sinks.attached(config, resumed):
        for step in (3, 4):
            log_step(resumed, step)
    found = points(tmp_path / "run" / "tensorboard")
    assert len(found) == len({(name, step) for name, step, _ in found}) == 8
    assert {(name, step): pytest.approx(value) for name, step, value in found} == recorded(tmp_path / "run")
    assert ("curve/validation/main", 4) in recorded(tmp_path / "run")


def test_a_real_run_and_its_continuation(tmp_path):
    def train(*more):
        tiny = words("grpo", tmp_path / "run", tmp_path / "artifacts", "sft.steps=4", "logging.sinks=[tensorboard]", *more)
        run_training(loading.load_config(tiny))

    train("trainer.steps=2")
    train("trainer.steps=4", "resume=true")
    found = points(tmp_path / "run" / "tensorboard")
    record = recorded(tmp_path / "run")
    assert {(name, step) for name, step, _ in found} == record.keys() and len(found) == len(record)
    assert {step for _, step, _ in found} == {0, 1, 2, 3, 4}
    for name, step, value in found:
        assert value == pytest.approx(record[name, step], rel=1e-6)


def test_tensorboard_has_responses_and_hyper_parameters(tmp_path):
    config = configured(tmp_path / "run", "tensorboard")
    run = Run.open(tmp_path / "run", loading.as_dict(config), resume=False)
    shared = {"prompt_id": "p", "prompt": "1 + 1?", "reward": 1.0, "verdict": "correct", "finish": "stop"}
    with sinks.attached(config, run):
        log_step(run, 1)
        for response in (["2"], ["<b>", "\n```\n# 3"]):
            run.log("samples", {"step": 1, "tokens": response, **shared})
        run.log("samples", {"step": 2, "tokens": None})
    run.close()
    found = texts(tmp_path / "run" / "tensorboard")
    assert found["samples/0", 1].split("\n\n")[:2] == ["    1 + 1?", "    2"]
    assert all(line.startswith("    ") or not line for line in found["samples/1", 1].split("\n")), "nothing of it is Markdown"
    assert ("samples/0", 2) in found and len(found) == 3
    settings = written_settings(tmp_path / "run" / "tensorboard")
    assert settings["trainer.learning_rate"] == config.trainer.learning_rate and settings["method"] == config.method
    assert settings["rollout.prompts_per_step"] == config.rollout.prompts_per_step


def test_without_sinks_nothing_observes(tmp_path):
    config = configured(tmp_path / "run")
    run = Run.open(tmp_path / "run", loading.as_dict(config), resume=False)
    with sinks.attached(config, run):
        log_step(run, 1)
    assert not (tmp_path / "run" / "tensorboard").exists() and not run.observers


class Breaking:
    """A sink whose second step cannot be written."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def write(self, step, scalars) -> None:
        if step == 2:
            raise OSError("no route to host")
        self.seen.append(step)

    def sample(self, step, entry) -> None:
        self.write(step, {})

    def close(self) -> None:
        raise AssertionError("given up, so never closed")


def test_a_failing_sink_warns_once_and_is_given_up(capsys):
    sink = Breaking()
    guarded = sinks._Guarded("tensorboard", lambda: sink)
    for step in (1, 2, 3):
        guarded.write(step, {})
    guarded.close()
    assert sink.seen == [1]
    assert capsys.readouterr().err == "warning: tensorboard failed (no route to host); the run goes on without it\n"


def test_one_that_cannot_be_opened_does_not_keep_the_run_from_starting(capsys):
    guarded = sinks._Guarded("wandb", lambda: json.loads("{"))
    guarded.write(1, {})
    guarded.close()
    assert capsys.readouterr().err.count("warning: wandb failed") == 1


def test_unknown_and_missing_sinks_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"logging\.sinks='tensorbord' is not known"):
        configured(tmp_path / "run", "tensorbord")
    (tmp_path / "not_a_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("not_there", "not_a_package"):
        with pytest.raises(ConfigError, match=rf"{name}, which is not installed: pip install 'unified-rl\[{name}\]'"):
            sinks.check([name])
    sinks.check(["tensorboard"])


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed here")
def test_a_run_names_the_remedy_before_it_begins(tmp_path):
    config = loading.load_config(words("grpo", tmp_path / "run", tmp_path / "artifacts", "logging.sinks=[wandb]"))
    with pytest.raises(ConfigError, match=r"pip install 'unified-rl\[wandb\]'"):
        run_training(config)
    assert not (tmp_path / "run").exists()


def test_wandb_offline_sends_every_step_once(tmp_path, monkeypatch):
    """Sent steps are remembered over sessions; what W&B stored is not read back, for want of a public reader."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "config.yaml").write_text("method: grpo\nlabel: an arm\nseed: 0\n")
    first = sinks.WeightsAndBiases(run_dir)
    for step in (1, 2, 3):
        first.write(step, {"loss": 1.0})
    state = json.loads((run_dir / "wandb.json").read_text())
    assert state["sent"] == 2, "step 3 may not be whole yet"
    first.close()
    second = sinks.WeightsAndBiases(run_dir)
    sent: list[int] = []
    tables: list[list] = []
    log = second._run.log
    second._run.log = lambda scalars, step: (sent.append(step), tables.append(scalars["samples"].data), log(scalars, step=step))
    for step in (2, 3, 4, 5):
        second.write(step, {"loss": 1.0})
        second.sample(step, {"step": step, "tokens": ["a", "b"], "prompt": "p"})
    second.close()
    assert sent == [4, 5]
    assert tables == [[[step, None, "p", "ab", None, None, None]] for step in (4, 5)]
    assert second._run.group == "an arm" and second._run.config["label"] == "an arm"
    assert json.loads((run_dir / "wandb.json").read_text()) == {"id": state["id"], "sent": 5}
    assert len(list((run_dir / "wandb").glob("offline-run-*"))) == 2
