"""Iterative RL on a task learnt in seconds: what each iteration starts from, the replayed share, killed in every stage."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import power
import pytest
from forked import Command
from tiny import words

from unified_rl.base.errors import ConfigError, DataError, RunDirectoryError
from unified_rl.cli import main
from unified_rl.plotting import iterations as figure
from unified_rl.presets import loading
from unified_rl.stages import iterate
from unified_rl.stages.iterate import check_iterate
from unified_rl.statistics.clustered import plain_auc
from unified_rl.statistics.iterations import agreement, curves, drift, gains, read_runs, write_tables

LEARNED = (
    "reward=model",
    "reward_model.prompts=16",
    "reward_model.samples_per_prompt=4",
    "reward_model.completions=4",
    "reward_model.epochs=4",
    "reward_model.sequences_per_step=16",
    "reward_model.learning_rate=3e-3",
    "reward_model.warmup_steps=0",
    "iterate.steps=4",
    "iterate.control_steps=2",
    "iterate.replay=0.25",
    "iterate.agreement_problems=8",
)


def iterate_words(folder: Path, *more: str) -> list[str]:
    return words("grpo_ps", folder / "run", folder / "artifacts", *LEARNED, *more)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iterate")
    assert main(["iterate", *iterate_words(folder)]) == 0
    return folder


def facts(folder: Path) -> dict:
    return json.loads((folder / "run" / "iterate.json").read_text())


def test_every_iteration_has_its_own_reference_and_reward_model(undisturbed):
    entries = facts(undisturbed)["iterations"]
    assert [entry["first_step"] for entry in entries] == [0, 4, 8]
    assert len({entry["reward_model"] for entry in entries}) == 3
    assert all(entry["reference"] == entry["policy"] for entry in entries)
    assert len({entry["policy"] for entry in entries}) == 3


def test_an_iteration_starts_where_the_one_before_stood_and_sees_its_controls_prompts(undisturbed):
    run = undisturbed / "run"
    sampled = [
        [(entry["prompt_id"], entry["step"]) for entry in map(json.loads, (run / name / "samples.jsonl").open())]
        for name in ("iteration_0", "iteration_1")
    ]
    # The control's step 6 and iteration 1's step 2 are the same global step: the same prompts.
    control = {prompt for prompt, step in sampled[0] if step == 6}
    renewed = {prompt for prompt, step in sampled[1] if step == 2}
    assert control and control == renewed
    first = json.loads((run / "iteration_1" / "curve.jsonl").open().readline())
    fork = [json.loads(line) for line in (run / "iteration_0" / "curve.jsonl").open()]
    assert first["correct"] == next(e["correct"] for e in fork if e["step"] == 4 and e["slice"] == first["slice"])


def test_the_replayed_share_and_its_provenance_are_on_record(undisturbed):
    entries = facts(undisturbed)["iterations"]
    mixes = {
        int(m["iteration"].max()): m for m in map(pd.read_parquet, undisturbed.glob("artifacts/reward_model/*/mix.parquet"))
    }
    assert sorted(mixes) == [1, 2]
    for iteration, mix in mixes.items():
        fresh = mix[~mix["replayed"]]
        assert len(fresh) == 16 * 4
        assert mix["replayed"].mean() == pytest.approx(0.25, abs=0.01)
        assert (fresh["policy"] == entries[iteration]["policy"]).all()
        for row in mix[mix["replayed"]].to_dict("records"):
            assert row["iteration"] < iteration
            assert row["policy"] == entries[row["iteration"]]["policy"]


def test_reference_and_reward_model_are_renewed_separately(undisturbed, tmp_path):
    shared = f"artifacts={undisturbed / 'artifacts'}"
    first = facts(undisturbed)["iterations"][0]
    for option, kept, renewed in (
        ("iterate.reference=kept", "reference", "reward_model"),
        ("iterate.reward_model=kept", "reward_model", "reference"),
    ):
        folder = tmp_path / kept
        assert main(["iterate", *iterate_words(folder, shared, option, "iterate.iterations=1")]) == 0
        entry = facts(folder)["iterations"][1]
        assert entry[kept] == first[kept]
        assert entry[renewed] != first[renewed]


def test_tables_and_figure(undisturbed, tmp_path):
    write_tables([undisturbed / "run"], tmp_path)
    assert all(path.stat().st_size > 1000 for path in figure.draw(tmp_path, tmp_path)[:2])
    found = read_runs([undisturbed / "run"])
    table = curves(found)
    pooled = table[(table["seed"] == "all") & (table["slice"] == "main")]
    assert pooled.groupby("iteration")["step"].agg(["min", "max"]).to_numpy().tolist() == [[0, 6], [4, 10], [8, 14]]
    assert set(pooled[pooled["part"] == "control"]["step"]) == {6, 10, 14}
    gained = gains(found)
    assert gained[["iteration", "step"]].drop_duplicates().to_numpy().tolist() == [[1, 6], [2, 10]]
    row = gained[(gained["iteration"] == 1) & (gained["slice"] == "main")].iloc[0]
    at_6 = table[(table["seed"] == "0") & (table["slice"] == "main") & (table["step"] == 6)].set_index("iteration")["accuracy"]
    assert row["estimate"] == pytest.approx(at_6[1] - at_6[0])
    moved = drift(found)
    assert np.allclose(moved["drift"], moved["reward"] - moved["correct"])
    compared = agreement(found)
    assert compared["iteration"].tolist() == [0, 1, 2]
    assert compared["same_judgement"].notna().tolist() == [False, True, True]


def test_auc_is_the_chance_that_a_right_one_scores_above_a_wrong_one():
    generator = np.random.default_rng(0)
    scores, right = generator.integers(0, 5, 40).astype(float), generator.random(40) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[right] for b in scores[~right]]
    assert plain_auc(scores, right) == pytest.approx(np.mean(pairs))
    assert np.isnan(plain_auc(scores, np.ones(40)))


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match=r"reward\.source=rule has none"):
        check_iterate(loading.load_config(["method=grpo"]))
    with pytest.raises(ConfigError, match="schedule"):
        check_iterate(loading.load_config(["method=grpo", "reward=model", "trainer.schedule=linear"]))
    with pytest.raises(DataError, match=r"iterate\.json"):
        read_runs([tmp_path])
    assert main(["iterate", *words("grpo", tmp_path / "run", tmp_path / "artifacts")]) == 2
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_refused_and_resuming_it_changes_nothing(undisturbed, capsys):
    before = (undisturbed / "run" / "iteration_2" / "metrics.jsonl").read_bytes()
    assert main(["iterate", *iterate_words(undisturbed)]) != 0
    assert "resume=true" in capsys.readouterr().err
    assert main(["iterate", *iterate_words(undisturbed, "resume=true")]) == 0
    assert (undisturbed / "run" / "iteration_2" / "metrics.jsonl").read_bytes() == before
    assert main(["iterate", *iterate_words(undisturbed, "resume=true", "iterate.steps=5")]) != 0
    assert "iterate" in capsys.readouterr().err


def test_killed_while_its_directory_is_made_it_begins_again(tmp_path):
    """At every operation on a file of the beginning."""
    root = tmp_path / "root"
    root.mkdir()
    config = loading.load_config(iterate_words(root, "resume=true"))
    with power.recording(root, tmp_path / "copies") as recorder:
        iterate._opened(root / "run", config).close()
    assert len(recorder.copies) >= 4
    for copy in recorder.copies:
        power.put(copy, root)
        iterate._opened(root / "run", config).close()
    (root / "other").mkdir()
    (root / "other" / "thesis.tex").touch()
    with pytest.raises(RunDirectoryError, match="not empty, and holds no run"):
        iterate._opened(root / "other", config)


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def kill_when(arguments: list[str], condition) -> bool:
    """SIGKILL a real run as soon as `condition()` holds; False if it finished first."""
    process = Command("iterate", *arguments)
    deadline = time.monotonic() + 120
    while process.returncode is None:
        if condition():
            process.kill()
            return True
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    return False


@pytest.mark.long
def test_killed_in_every_stage_it_resumes_to_the_same_files(undisturbed, tmp_path):
    run, artifacts = tmp_path / "run", tmp_path / "artifacts"
    arguments = iterate_words(tmp_path, "resume=true")
    stages = {
        "labelling": lambda: bool(list(artifacts.glob("step_labels/*.partial"))),
        "the first reward model": lambda: any(lines(p) >= 3 for p in artifacts.glob("reward_model/*.partial/metrics.jsonl")),
        "iteration 0": lambda: lines(run / "iteration_0" / "metrics.jsonl") >= 3,
        "the renewed reward model": lambda: (
            (run / "forks" / "1").is_dir()
            and any(lines(p) >= 2 for p in artifacts.glob("reward_model/*.partial/metrics.jsonl"))
        ),
        "iteration 1": lambda: lines(run / "iteration_1" / "metrics.jsonl") >= 1,
        "iteration 2": lambda: lines(run / "iteration_2" / "metrics.jsonl") >= 5,
        "the control of iteration 0": lambda: lines(run / "iteration_0" / "metrics.jsonl") >= 5,
    }
    killed = [name for name, condition in stages.items() if kill_when(arguments, condition)]
    assert len(killed) >= 5, f"killed only in {killed}"
    assert main(["iterate", *arguments]) == 0
    theirs = undisturbed / "run"
    records = [path.relative_to(theirs) for path in theirs.rglob("*.jsonl") if path.name != "timings.jsonl"]
    assert len(records) == 9
    for name in [*records, *(path.relative_to(theirs) for path in theirs.rglob("*.safetensors")), Path("iterate.json")]:
        assert (run / name).read_bytes() == (theirs / name).read_bytes(), name
    for index in range(3):
        mine, other = (pd.read_parquet(folder / "agreement" / f"{index}.parquet") for folder in (run, theirs))
        pd.testing.assert_frame_equal(mine, other)


@pytest.mark.parametrize("name", ["iterate.json", "status.json", "manifest.json", "config.yaml", "agreement/0.parquet"])
@pytest.mark.parametrize("how", ["lost", "flipped"])
def test_damage_of_the_whole_is_named(undisturbed, tmp_path, capsys, name, how):
    run = Path(shutil.copytree(undisturbed / "run", tmp_path / "run"))
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run / name).write_bytes(data)
    if how == "lost":
        (run / name).unlink()
    assert main(["tables", str(run), f"out={tmp_path / 'tables'}"]) == 2
    said = capsys.readouterr().err
    assert str(run / name) in said
