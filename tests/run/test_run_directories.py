"""Run directories that were damaged, shortened or left behind: mended where that is certain, else refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tiny import words

from unified_rl.base import files
from unified_rl.cli import main
from unified_rl.records import seals
from unified_rl.records.config_file import read_settings
from unified_rl.records.reading import read_evaluation, write_evaluation_meta
from unified_rl.records.runs import Run

LOGS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`run` after 4 steps with an evaluation; `longer`, the same seed left alone for 6."""
    root = tmp_path_factory.mktemp("trained")
    for name, steps in (("run", 4), ("longer", 6)):
        assert main(["train", *words("grpo", root / name, root / "artifacts", f"trainer.steps={steps}")]) == 0
    assert main(["evaluate", f"run={root / 'run'}", "name=test", "samples=3", "problems=3"]) == 0
    return root


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def resume(trained: Path, run: Path, *more: str) -> int:
    return main(["train", *words("grpo", run, trained / "artifacts", "trainer.steps=6", "resume=true", *more)])


def refusal(capsys, status: int) -> str:
    """What was said by a command that was refused: one line."""
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert status == 2 and len(lines) == 1 and "Traceback" not in said, said
    return lines[0]


def tables(run: Path, out: Path) -> int:
    return main(["tables", str(run), f"out={out}"])


# ---- logs


def changed(path: Path, how: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    ways = {
        "last line lost": lines[:-1],
        "line lost": [*lines[:middle], *lines[middle + 1 :]],
        "all lost": [],
        "torn in the middle": [*lines[:middle], lines[middle][: len(lines[middle]) // 2] + b"\n", *lines[middle + 1 :]],
        "digit altered": [*lines[:-1], lines[-1].replace(b"1", b"7", 1)],
        "lines doubled": [line for line in lines for _ in range(2)],
        "file doubled": lines * 2,
        "rubbish between": [*lines[:middle], b"\x00\xff{\n", *lines[middle:]],
        "torn line at the end": [*lines, b'{"step": 5, "rew'],
    }
    path.write_bytes(b"".join(ways[how]))


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("how", ["last line lost", "line lost", "all lost", "torn in the middle", "digit altered"])
def test_a_log_that_is_not_the_checkpoints_is_refused_by_name(trained, run, capsys, name, how):
    changed(run / name, how)
    before = {path: path.read_bytes() for path in run.rglob("*.json*") if path.is_file()}
    said = refusal(capsys, resume(trained, run))
    assert str(run / name) in said and "step_000004" in said
    assert before == {path: path.read_bytes() for path in run.rglob("*.json*") if path.is_file()}, "it was left as it was"


@pytest.mark.parametrize("how", ["lines doubled", "file doubled", "rubbish between", "torn line at the end"])
def test_what_was_only_added_to_logs_is_taken_out(trained, run, how):
    for name in LOGS:
        changed(run / name, how)
    assert resume(trained, run) == 0
    kept, alone = ((folder / "metrics.jsonl").read_bytes() for folder in (run, trained / "longer"))
    assert kept == alone, "with the running totals"


def test_without_its_last_checkpoint_a_run_goes_on_from_the_one_before(trained, run, capsys):
    changed(run / "metrics.jsonl", "last line lost")
    refusal(capsys, resume(trained, run))
    shutil.rmtree(run / "checkpoints" / "step_000004")
    assert resume(trained, run) == 0
    assert (run / "metrics.jsonl").read_bytes() == (trained / "longer" / "metrics.jsonl").read_bytes()


# ---- checkpoints and small files


def test_a_manifest_lists_exactly_the_files_that_are_there(trained, run, capsys):
    checkpoint = run / "checkpoints" / "step_000004"
    manifest = (checkpoint / files.MANIFEST).read_text()
    for text in ("{}", "[]", "null", "{", '{"../../config.yaml": "00"}'):
        (checkpoint / files.MANIFEST).write_text(text)
        assert str(checkpoint / "manifest.json") in refusal(capsys, main(["evaluate", f"run={run}", "name=b"]))
    (checkpoint / files.MANIFEST).write_text(manifest)
    (checkpoint / "policy" / "model-00002.safetensors").write_bytes(b"")
    assert "model-00002.safetensors is not in its manifest" in refusal(capsys, main(["evaluate", f"run={run}", "name=b"]))
    artifact = next((trained / "artifacts" / "sft").glob("*/manifest.json")).parent
    copy = shutil.copytree(artifact, run / "artifact")
    (copy / "manifest.json").write_text("{}")
    assert "lists no files" in str(files.damage(copy))


def test_whatever_else_lies_among_checkpoints_is_no_checkpoint(trained, run):
    for name in ("step_x", "step_", "step_9", "step_000009.bak", "step_-00001", "old", "step_٠٠٠٠٠٩"):
        (run / "checkpoints" / name).mkdir()
    (run / "checkpoints" / "step_000099").write_text("a file")
    assert resume(trained, run) == 0
    assert main(["evaluate", f"run={run}", "name=b", "samples=1", "problems=1"]) == 0


@pytest.mark.parametrize("name", ["status.json", "manifest.json", "provenance.json", "evaluations/test/meta.json"])
@pytest.mark.parametrize("text", ["{}", "[]", "null", "3", '"x"', "[" * 100_000, '{"a": 1' + "0" * 5000 + "}"])
def test_json_of_the_right_syntax_and_the_wrong_content(run, capsys, tmp_path, name, text):
    (run / name).write_text(text)
    for line in (["tables", str(run), f"out={tmp_path / 'out'}"], ["show", str(run)]):
        assert str(run / name) in refusal(capsys, main(line))


@pytest.mark.parametrize(
    "name", ["config.yaml", "status.json", "manifest.json", "provenance.json", "metrics.jsonl", "curve.jsonl"]
)
def test_a_lost_file_is_missed_by_tables(run, capsys, tmp_path, name):
    (run / name).unlink()
    assert name in refusal(capsys, tables(run, tmp_path / "out"))


def test_a_lost_status_or_manifest_is_written_again_on_resume(trained, run):
    (run / "status.json").write_text("{}")
    (run / "manifest.json").unlink()
    assert resume(trained, run) == 0
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert (run / "metrics.jsonl").read_bytes() == (trained / "longer" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json"])
def test_an_altered_record_is_not_resumed(trained, run, capsys, name):
    text = (run / name).read_text()
    (run / name).write_text(text.replace("coin", "dice") + " ")
    assert str(run) in refusal(capsys, resume(trained, run))


def test_a_stop_between_a_sessions_provenance_and_its_status_is_gone_on_from(trained, run):
    taken_up = Run.open(run, read_settings(run / "config.yaml"), resume=True)
    before = (run / "provenance.json").read_bytes()
    taken_up.write_provenance(json.loads(before)["inputs"], {})
    taken_up.close()  # and no status after it, as when the power fails
    assert (run / "provenance.json").read_bytes() != before
    assert resume(trained, run) == 0
    assert (run / "metrics.jsonl").read_bytes() == (trained / "longer" / "metrics.jsonl").read_bytes()


# ---- evaluations


def rows_of(run: Path) -> tuple[Path, pa.Table]:
    path = run / "evaluations" / "test" / "samples.parquet"
    return path, parquet.read_table(path)


def test_rows_that_are_missing_or_flipped_are_noticed(run, capsys, tmp_path):
    path, table = rows_of(run)
    parquet.write_table(table.slice(0, table.num_rows - 1), path)
    assert str(path) in refusal(capsys, tables(run, tmp_path / "out"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    assert str(path) in refusal(capsys, tables(run, tmp_path / "out"))


def same_seeds(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("seed"), "seed", pa.array([7] * table.num_rows, pa.int64()))


def one_verdict_unknown(table: pa.Table) -> pa.Table:
    verdicts = ["corect", *table["verdict"].to_pylist()[1:]]
    return table.set_column(table.schema.get_field_index("verdict"), "verdict", pa.array(verdicts))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.slice(0, table.num_rows - 1), "meta.json says"),
        (lambda table: pa.concat_tables([table, table]), "meta.json says"),
        (lambda table: table.filter(pa.compute.not_equal(table["slice"], "main")), "meta.json says"),
        (same_seeds, "same seed"),
        (one_verdict_unknown, "no verdict"),
    ],
)
def test_rows_are_counted_even_where_the_hash_was_made_anew(run, capsys, tmp_path, change, said):
    path, table = rows_of(run)
    parquet.write_table(change(table), path)
    meta = json.loads((path.parent / "meta.json").read_text())
    write_evaluation_meta(path.parent, {name: value for name, value in meta.items() if name != seals.SEAL})
    message = refusal(capsys, tables(run, tmp_path / "out"))
    assert str(path) in message and said in message


def test_an_evaluation_without_its_meta_data_is_missed(run, capsys, tmp_path):
    (run / "evaluations" / "test" / "meta.json").unlink()
    assert "meta.json is missing" in refusal(capsys, tables(run, tmp_path / "out"))


def test_regrading_keeps_an_evaluation_readable_at_every_moment(run, monkeypatch):
    """Stopped between its two files, a regraded evaluation is the old one; afterwards it is the new one."""
    folder = run / "evaluations" / "test"
    before, _ = read_evaluation(folder)
    replace = Path.replace

    def stop_before_samples(self, target):
        if Path(target).name == "samples.parquet":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop_before_samples)
    assert main(["regrade", f"run={run}", "name=test"]) == 130
    monkeypatch.undo()
    assert before.equals(read_evaluation(folder)[0])
    assert main(["regrade", f"run={run}", "name=test"]) == 0
    assert before.equals(read_evaluation(folder)[0])
