"""A stranger's run directory, through every command that reads runs: nothing executed, nothing of ours shown, one line.

The stranger knows the formats: what was altered is sealed and hashed again, as whoever writes a run directory can.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
import yaml
from tiny import COIN, command, words

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.cli import main
from unified_rl.models.policy_model import load_policy
from unified_rl.records import seals
from unified_rl.records.reading import write_evaluation_meta
from unified_rl.training.unpickling import check_parts

SECRET = "only-this-machine-knows"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e $\\frac{ <script>"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    assert main(["train", *words("grpo", root / "run", root / "artifacts", "sft.steps=4", "trainer.steps=2")]) == 0
    assert main(["evaluate", f"run={root / 'run'}", "name=test", "samples=2", "problems=2"]) == 0
    return root


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_TEST_SECRET", SECRET)
    return Path(shutil.copytree(trained / "run", tmp_path / "given" / "run"))


def seal(run: Path) -> None:
    """Make the run's manifest that of the files as they are now."""
    status = json.loads((run / "status.json").read_text())
    logs = [path.name for path in run.glob("*.jsonl") if path.is_file()]
    seals.write_status(run, status, seals.extents(run, ["config.yaml", "provenance.json", *logs]))


def configured(run: Path, **changes) -> None:
    """Other settings in config.yaml, by section."""
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(config, allow_unicode=False))
    seal(run)


def trap(path: Path, marker: Path) -> Path:
    """A Python file that leaves a mark when it is imported, and is a task, a coefficient, a reward and a method otherwise."""
    path.write_text(COIN.read_text() + f"\nopen({str(marker)!r}, 'w').close()\nEvil = make = ROW = Coin\n")
    return path


class Explodes:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


# ---- code


def test_evaluation_and_tables_import_neither_coefficient_nor_reward_nor_method(run, tmp_path):
    code, marker = trap(run / "evil.py", tmp_path / "marker"), tmp_path / "marker"
    configured(
        run,
        method=f"{code}:ROW",
        coefficient={"name": f"{code}:Evil", "evil": 1},
        reward={"source": f"{code}:make"},
        reference=str(run),
    )
    assert main(["evaluate", f"run={run}", "name=again", "samples=1", "problems=1"]) == 0
    shutil.rmtree(run / "evaluations" / "again")
    assert main(["show", str(run)]) == 0
    assert main(["tables", str(run), f"out={tmp_path / 'tables'}"]) == 0
    assert main(["regrade", f"run={run}", "name=test"]) == 0
    assert not marker.exists()


@pytest.mark.parametrize("way", ["inside", "by a link inside", "by a link to inside", "with dots", "in capitals' folder"])
def test_a_task_that_lies_in_the_run_directory_needs_to_be_allowed(run, tmp_path, capsys, way):
    marker = tmp_path / "marker"
    code = trap(run / "task.py", marker)
    (run / "deep").mkdir()
    if way == "by a link inside":
        code = trap(tmp_path / "outside.py", marker)
        (run / "linked.py").symlink_to(code)
        code = run / "linked.py"
    if way == "by a link to inside":
        (tmp_path / "mine.py").symlink_to(code)
        code = tmp_path / "mine.py"
    if way == "with dots":
        code = run.parent / "elsewhere" / ".." / "run" / "task.py"
        (run.parent / "elsewhere").mkdir()
    if way == "in capitals' folder":
        code = trap(run / "deep" / "task.py", marker)
    provenance = json.loads((run / "provenance.json").read_text())
    provenance["inputs"]["code of task.name"] = hash_of(code)
    (run / "provenance.json").write_text(json.dumps(provenance))
    configured(run, task={"name": f"{code}:Coin"})
    for line in (["evaluate", f"run={run}", "name=b"], ["regrade", f"run={run}", "name=test"], ["microscope", f"run={run}"]):
        change_meta(run, task_settings={"name": f"{code}:Coin", "template": "{question}:"})
        assert main(line) == 2
        (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
        assert "allow_code=true" in said and "inside the run directory" in said
    assert not marker.exists()
    assert main(["evaluate", f"run={run}", "name=b", "samples=1", "problems=1", "allow_code=true"]) == 0
    assert marker.exists()


def hash_of(path: Path) -> str:
    from unified_rl.stages.fingerprints import content

    return content(path.resolve() if path.is_symlink() else path)


def change_meta(run: Path, **facts) -> None:
    folder = run / "evaluations" / "test"
    meta = json.loads((folder / "meta.json").read_text()) | facts
    write_evaluation_meta(folder, {name: value for name, value in meta.items() if name != seals.SEAL})


def test_ones_own_task_outside_needs_no_word_and_a_changed_one_does(trained, tmp_path, capsys):
    task = tmp_path / "mine.py"
    shutil.copy(COIN, task)
    line = words("grpo", tmp_path / "run", tmp_path / "a", f"task={task}:Coin", "sft.steps=2", "trainer.steps=1")
    assert main(["train", *line]) == 0
    few = ("samples=1", "problems=1")
    assert main(["evaluate", f"run={tmp_path / 'run'}", "name=a", *few]) == 0
    task.write_text(task.read_text() + "\n# another\n")
    assert main(["evaluate", f"run={tmp_path / 'run'}", "name=b", *few]) == 2
    assert "is not the file that the run recorded" in capsys.readouterr().err
    assert main(["evaluate", f"run={tmp_path / 'run'}", "name=b", *few, "allow_code=true"]) == 0
    shutil.move(task, tmp_path / "run" / "mine.py")
    assert main(["evaluate", f"run={tmp_path / 'run'}", "name=c", f"task={tmp_path / 'run' / 'mine.py'}:Coin", *few]) == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("subprocess:Popen", {"args": "touch MARKER", "shell": True}),
        ("os:system", {"command": "touch MARKER"}),
        ("pandas:read_pickle", {"filepath_or_buffer": "PICKLE"}),
        ("unified_rl.base.files:write_text", {"path": "MARKER", "text": ""}),
        ("torch:load", {"f": "PICKLE", "weights_only": False}),
        ("nowhere.at.all:Task", {}),
    ],
)
def test_modules_of_others_are_no_tasks(run, tmp_path, capsys, name, options):
    marker, bomb = tmp_path / "marker", run / "bomb.pkl"
    bomb.write_bytes(pickle.dumps(Explodes(marker)))
    given = {
        key: value.replace("MARKER", str(marker)).replace("PICKLE", str(bomb)) if isinstance(value, str) else value
        for key, value in options.items()
    }
    module = name.partition(":")[0]
    provenance = json.loads((run / "provenance.json").read_text())
    provenance["inputs"]["code of task.name"] = "0" * 20
    from unified_rl.stages.stored import located

    if (path := located(module)) is not None:
        provenance["inputs"]["code of task.name"] = hash_of(path)
    (run / "provenance.json").write_text(json.dumps(provenance))
    configured(run, task={"name": name, "options": given})
    assert main(["evaluate", f"run={run}", "name=b"]) == 2
    assert "allow_code=true" in capsys.readouterr().err
    assert not marker.exists()


def test_a_stranger_does_not_switch_the_sandbox_off(run):
    from unified_rl.stages.stored import read_run

    configured(run, task={"allow_unsandboxed": True})
    assert read_run(run).task.allow_unsandboxed is False
    assert read_run(run, allow_code=True).task.allow_unsandboxed is True


# ---- the environment, models, pickles


@pytest.mark.parametrize("where", ["label", "template", "deep"])
def test_the_environment_is_not_read(run, tmp_path, capsys, where):
    asks = "x ${oc.env:HOSTILE_TEST_SECRET}"
    deep = {"sft": {**yaml.safe_load((run / "config.yaml").read_text())["stages"]["sft"], "settings": {"label": asks}}}
    configured(run, **{"label": {"label": asks}, "template": {"task": {"template": asks}}, "deep": {"stages": deep}}[where])
    for line in (["show", str(run)], ["evaluate", f"run={run}", "name=b"], ["tables", str(run), f"out={tmp_path / 'o'}"]):
        assert main(line) == 2
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err and "interpolated" in said.err and "config.yaml" in said.err


def test_ones_own_dollar_braces_are_text(trained, tmp_path, capsys):
    """A template that holds the characters of an interpolation, escaped on the command line, survives being stored and read."""
    line = words("grpo", tmp_path / "run", trained / "artifacts", r"label='cost \${5}'", "sft.steps=4", "trainer.steps=1")
    assert main(["train", *line]) == 0
    assert main(["evaluate", f"run={tmp_path / 'run'}", "samples=1", "problems=1"]) == 0
    capsys.readouterr()
    assert main(["show", str(tmp_path / "run")]) == 0
    assert "cost ${5}" in capsys.readouterr().out
    assert main(["train", *line, "trainer.steps=2", "resume=true"]) == 0


def test_a_model_folder_is_data(trained, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(next((trained / "run" / "checkpoints").glob("step_*")) / "policy", tmp_path / "model")
    marker = tmp_path / "marker"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}})
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load_policy(folder)
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}}))
    load_policy(folder)  # its own tokenizer is one of ours: the code is left alone
    (folder / "model.safetensors").unlink()
    torch.save({"x": Explodes(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load_policy(folder)
    assert not marker.exists()


def test_a_trainers_state_is_looked_at_before_it_is_unpickled(tmp_path):
    (tmp_path / "state").mkdir()
    part, marker = tmp_path / "state" / "zero_pp_rank_0_mp_rank_00_optim_states.pt", tmp_path / "marker"
    torch.save({"optimizer": {"step": torch.tensor(3.0), "names": ["a"], "moments": [torch.zeros(4)]}, "ds_version": "1"}, part)
    check_parts(tmp_path)
    torch.save({"optimizer": {"step": torch.tensor(3.0)}, "version": Explodes(marker)}, part)
    with pytest.raises(CheckpointError, match=part.name):
        check_parts(tmp_path)
    part.write_bytes(pickle.dumps(Explodes(marker)))  # as torch.save wrote long ago
    with pytest.raises(CheckpointError, match=part.name):
        check_parts(tmp_path)
    part.write_bytes(b"")
    with pytest.raises(CheckpointError, match=part.name):
        check_parts(tmp_path)
    assert not marker.exists()


# ---- every command


def lines_of(run: Path, out: Path) -> list[list[str]]:
    """Every command that reads runs, on this one."""
    return [
        ["tables", str(run), f"out={out / 'tables'}"],
        ["figures", f"tables={out / 'tables'}", f"out={out / 'figures'}"],
        ["page", str(run.parent), f"tables={out / 'tables'}", f"out={out / 'page.html'}"],
        ["export", str(run), f"out={out / 'votes.parquet'}"],
        ["show", str(run), f"out={out / 'shown'}"],
        ["browse", str(run), "limit=50"],
        ["browse", str(run), "step=2"],
        ["diff", str(run), str(run)],
        ["regrade", f"run={run}", "name=test"],
        ["evaluate", f"run={run}", "name=more", "samples=1", "problems=1"],
        ["microscope", f"run={run}", "methods=grpo", "responses=2", f"out={out / 'microscope'}"],
    ]


def harmless(said: str) -> None:
    assert "Traceback" not in said and SECRET not in said and "root:" not in said, said[-2000:]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said), repr(said[:2000])
    assert sum(line.startswith("error: ") for line in said.splitlines()) <= 1


@pytest.mark.long
def test_terminal_escapes_are_shown_as_text(run, tmp_path, capsys):
    configured(run, label=ESCAPES)
    for name in ("samples", "metrics"):
        rows = [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
        if name == "samples":
            rows = [row | {"tokens": [ESCAPES], "prompt": ESCAPES, "prompt_id": ESCAPES, "verdict": ESCAPES} for row in rows]
        else:
            rows = [row | {ESCAPES: 1.0} for row in rows]
        (run / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "failed", "error": ESCAPES}))
    seal(run)
    folder = run / "evaluations" / "test"
    table = parquet.read_table(folder / "samples.parquet")
    for column in ("text", "answer", "gold"):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, column, pa.array([ESCAPES] * table.num_rows))
    parquet.write_table(table, folder / "samples.parquet")
    change_meta(run, label=ESCAPES)
    seen = 0
    for line in lines_of(run, tmp_path / "out"):
        status = main(line)
        said = capsys.readouterr()
        harmless(said.out + said.err)
        seen += "owned" in said.out + said.err
        assert status in (0, 2), line
    assert seen >= 6, "they are shown, escaped"


def linked_to_passwd(run: Path) -> None:
    for name in ("metrics.jsonl", "curve.jsonl", "config.yaml"):
        (run / name).unlink()
        (run / name).symlink_to("/etc/passwd")
    seal(run)


def linked_to_a_pipe(run: Path) -> None:
    os.mkfifo(run / "pipe")
    for name in ("metrics.jsonl", "samples.jsonl", "evaluations/test/samples.parquet", "manifest.json"):
        (run / name).unlink()
        (run / name).symlink_to(run / "pipe")


def linked_to_everything(run: Path) -> None:
    (run / "evaluations" / "all").symlink_to("/")
    (run / "round").symlink_to(run)


def huge(run: Path) -> None:
    for name in ("metrics.jsonl", "curve.jsonl", "evaluations/test/samples.parquet"):
        os.truncate(run / name, 1 << 40)
    manifest = json.loads((run / files.MANIFEST).read_text())
    listed = {name: known | {"bytes": 1 << 40} for name, known in manifest["files"].items()}
    facts = {name: value for name, value in manifest.items() if name != seals.SEAL} | {"files": listed}
    (run / files.MANIFEST).write_text(json.dumps(seals.sealed(facts)))


def huge_settings(run: Path) -> None:
    os.truncate(run / "config.yaml", 1 << 40)


def bomb_of_aliases(run: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)
    ]
    (run / "config.yaml").write_text("\n".join(levels) + "\n")
    seal(run)


def python_tags(run: Path) -> None:
    (run / "config.yaml").write_text(f"label: !!python/object/apply:os.system ['touch {run.parent.parent / 'marker'}']\n")
    seal(run)


def deep(run: Path) -> None:
    (run / "config.yaml").write_text("a: " + "[" * 20_000)
    (run / "provenance.json").write_text("[" * 200_000)
    seal(run)


def other_types(run: Path) -> None:
    change_meta(run, decoding={"temperature": "hot"}, problems={"main": "many"}, label=["x"], seed=3, regraded=7)


def numbers_beyond(run: Path) -> None:
    (run / "metrics.jsonl").write_text(
        '{"step": 1e999, "reward/mean": NaN}\n{"step": "x"}\n{"step": 99999999999999999999999}\n'
    )
    seal(run)


DIRECTORIES = [
    linked_to_passwd,
    linked_to_a_pipe,
    linked_to_everything,
    huge,
    huge_settings,
    bomb_of_aliases,
    python_tags,
    deep,
    other_types,
    numbers_beyond,
]


@pytest.mark.long
@pytest.mark.parametrize("make", DIRECTORIES)
def test_every_command_says_one_line(run, tmp_path, capsys, make):
    make(run)
    for line in lines_of(run, tmp_path / "out"):
        status = main(line)
        said = capsys.readouterr()
        harmless(said.out + said.err)
        assert status in (0, 2), line
        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert line[0] == "figures" or len(errors) == (status == 2), (line, said.err)
        assert all(len(error) < 1000 for error in errors)
    assert not (tmp_path / "marker").exists()


@pytest.mark.long
def test_a_run_of_ours_still_goes_through_every_command(run, tmp_path):
    for line in lines_of(run, tmp_path / "out"):
        assert main(line) == 0 or line[0] == "figures", line  # some figures want a second policy
    assert command("show", str(run)).returncode == 0
