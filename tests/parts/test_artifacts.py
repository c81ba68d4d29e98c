"""The artefact store: built once, whatever dies or races; verified; resumable inside."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import environment

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, RunDirectoryError
from unified_rl.records.artifacts import Artifact, ArtifactStore, Stage, built, key_of


def get(store, settings=None, build=None, inputs=None, version=1):
    return store.get_or_build(
        "stage", settings or {"a": 1}, recipe_version=version, inputs=inputs or {}, build=build or writes("x")
    )


def writes(text):
    return lambda folder: (folder / "file.txt").write_text(text)


def must_not_build(folder):
    raise AssertionError("built again")


def test_built_once_and_found_again(tmp_path):
    store = ArtifactStore(tmp_path)
    key, folder = get(store)
    assert (folder / "file.txt").read_text() == "x"
    assert get(store, build=must_not_build) == (key, folder)


def test_key_depends_on_settings_recipe_and_inputs():
    keys = {
        key_of("stage", {"a": 1}, 1, {}),
        key_of("stage", {"a": 2}, 1, {}),
        key_of("stage", {"a": 1}, 2, {}),
        key_of("stage", {"a": 1}, 1, {"policy": "k"}),
        key_of("other", {"a": 1}, 1, {}),
    }
    assert len(keys) == 5
    assert key_of("stage", {"a": 1, "b": 2}, 1, {}) == key_of("stage", {"b": 2, "a": 1}, 1, {})


@pytest.mark.parametrize("harm", ["change", "delete", "manifest"])
def test_damage_is_refused_with_the_remedy(tmp_path, harm):
    store = ArtifactStore(tmp_path)
    _, folder = get(store)
    if harm == "change":
        (folder / "file.txt").write_text("y")
    else:
        (folder / ("file.txt" if harm == "delete" else "manifest.json")).unlink()
    with pytest.raises(CheckpointError, match="delete that folder"):
        get(store)


def test_failed_build_leaves_nothing_under_the_key_and_can_go_on(tmp_path):
    store = ArtifactStore(tmp_path)

    def fails(folder):
        (folder / "half.txt").write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        get(store, build=fails)

    def goes_on(folder):
        assert (folder / "half.txt").read_text() == "half"
        (folder / "file.txt").write_text("whole")

    _, folder = get(store, build=goes_on)
    assert (folder / "file.txt").read_text() == "whole"


def _slow_build(root, log, delay):
    def build(folder):
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(delay)
        (folder / "file.txt").write_text("x")

    get(ArtifactStore(root), build=build)


def test_two_processes_do_not_build_twice(tmp_path):
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    workers = [context.Process(target=_slow_build, args=(tmp_path / "store", log, 0.3)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(log.read_text().splitlines()) == 1


def test_a_killed_builder_releases_the_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=_slow_build, args=(tmp_path / "store", tmp_path / "log", 60))
    worker.start()
    deadline = time.monotonic() + 20
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    _, folder = get(ArtifactStore(tmp_path / "store"))
    assert (folder / "file.txt").read_text() == "x"


def counted(monkeypatch):
    """The files that were hashed, from here on."""
    real, hashed = files.file_hash, []
    monkeypatch.setattr(files, "file_hash", lambda path: hashed.append(path.name) or real(path))
    return hashed


def test_an_artefact_is_hashed_whole_at_first_use_and_not_at_every_use(tmp_path, monkeypatch):
    store = ArtifactStore(tmp_path)
    get(store)
    hashed = counted(monkeypatch)
    get(store)
    assert "file.txt" in hashed
    hashed.clear()
    get(ArtifactStore(tmp_path))
    assert hashed == []


def test_the_ranks_files_of_a_checkpoint_are_hashed_at_once(tmp_path, monkeypatch):
    """Each waits for the others to be under way; what is written and found is in order, and the first damaged file is named."""
    monkeypatch.setattr(files, "HASHED_AT_ONCE", 8)  # as on a node with so many cores
    names = [f"rank_{rank}" for rank in range(8)]
    for name in names:
        (tmp_path / name).write_text(name)
    together, real = threading.Barrier(len(names)), files.file_hash
    monkeypatch.setattr(files, "file_hash", lambda path: (together.wait(timeout=20), real(path))[1])
    assert files.write_manifest(tmp_path) == {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    assert files.damage(tmp_path) is None
    for name in ("rank_5", "rank_3"):
        (tmp_path / name).write_text("another")
    assert files.damage(tmp_path) == f"{tmp_path / 'rank_3'} does not match its recorded hash"


def test_an_artefact_of_another_version_is_refused_by_name(tmp_path):
    store = ArtifactStore(tmp_path)
    _, folder = get(store)
    facts = json.loads((folder / "artifact.json").read_text())
    files.write_json(folder / "artifact.json", facts | {"schema": 99})
    files.write_manifest(folder)
    with pytest.raises(CheckpointError, match="has schema 99, and this version reads schema 1; delete that folder"):
        get(store)


def made(kind, log, **inputs):
    """A stage that writes its name after those that it was made from."""

    def make(folder, given, store):
        log.append(kind)
        words = [(one.path / "word").read_text() for one in given.values()]
        (folder / "out").mkdir(exist_ok=True)
        (folder / "out" / "word").write_text(" ".join([*words, kind]))

    return Stage(kind, {"kind": kind}, inputs, make, output="out")


def test_a_chain_is_made_in_order_once_and_only_as_far_as_it_is_missing(tmp_path):
    log: list[str] = []
    first = made("first", log)
    second = made("second", log, before=first, brought=Artifact("key", _brought(tmp_path)))
    third = made("third", log, before=second)
    keys = [stage.key() for stage in (first, second, third)]
    assert len(set(keys)) == 3 and not (tmp_path / "store").exists()
    found = third.build(ArtifactStore(tmp_path / "store"))
    assert (found.path / "word").read_text() == "first brought second third"
    assert found.key == keys[2] and log == ["first", "second", "third"]
    shutil.rmtree(tmp_path / "store" / "first")
    assert third.build(ArtifactStore(tmp_path / "store")) == found
    assert made("fourth", log, before=third).build(ArtifactStore(tmp_path / "store")).key
    assert log == ["first", "second", "third", "fourth"], "what is there needs nothing of what it was made from"


def _brought(folder):
    (folder / "brought").mkdir()
    (folder / "brought" / "word").write_text("brought")
    return folder / "brought"


def test_a_stage_is_another_one_where_what_it_is_made_from_is(tmp_path):
    first, other = made("first", []), replace(made("first", []), settings={"kind": "other"})
    assert made("second", [], before=first).key() != made("second", [], before=other).key()
    assert replace(first, name="any").key() == first.key(), "a name is for people"


def test_fingerprints_are_of_the_content_whatever_size_and_times_say(tmp_path):
    """A large file whose size and time of change stay as they were while its content changes."""
    path, code = (
        tmp_path / "weights",
        "import sys; from unified_rl.stages.fingerprints import path_fingerprint as f; print(f(sys.argv[1]))",
    )

    def fingerprint(place):
        line = [sys.executable, "-c", code, str(place)]
        return subprocess.run(line, capture_output=True, text=True, check=True, env=environment()).stdout

    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    times, before = path.stat(), fingerprint(path)
    with path.open("r+b") as file:
        file.seek(2**20)
        file.write(b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(path) != before


def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with files.replacing(path) as aside:
        aside.write_text("new")
    assert path.read_text() == "new" and [item.name for item in tmp_path.iterdir()] == ["file.txt"]
    folder = tmp_path / "folder"
    for content in ("a", "b"):
        files.aside_of(folder).mkdir()
        (files.aside_of(folder) / "left by a kill").touch()
        with files.replacing(folder) as aside:
            aside.mkdir()
            (aside / content).touch()
        assert [item.name for item in folder.iterdir()] == [content]


class TwoThreads:
    """A rank of two that are threads: everyone's item goes through a barrier, and one who waits alone is a fault, not a hang."""

    size = 2

    def __init__(self, rank, barrier, shelf):
        self.rank, self._barrier, self._shelf = rank, barrier, shelf
        self.first = rank == 0

    def gather(self, item):
        self._shelf[self.rank] = item
        self._barrier.wait(timeout=20)
        found = list(self._shelf)
        self._barrier.wait(timeout=20)
        return found

    def barrier(self):
        self.gather(None)


def test_what_a_lone_maker_builds_on_the_way_the_other_rank_need_not_know(tmp_path):
    """As a base model whose tokenizer is an artefact too, on two ranks, before a stage that both make."""
    barrier, shelf, seen = threading.Barrier(2), [None, None], []

    def written(folder, inputs, store):
        (folder / "x").write_text("made")

    def base(folder, inputs, store):
        seen.append(built(Stage(kind="tokenizer", settings={}, inputs={}, make=written), store).path.name)
        written(folder, inputs, store)

    def trained(folder, inputs, store):
        assert (inputs["policy"].path / "x").exists() and store.ranks.size == 2
        if store.ranks.first:
            written(folder, inputs, store)

    first = Stage(
        kind="first",
        settings={},
        inputs={"policy": Stage(kind="base", settings={}, inputs={}, make=base)},
        make=trained,
        together=True,
    )

    def rank(number):
        return built(first, ArtifactStore(tmp_path, TwoThreads(number, barrier, shelf))).path

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(rank, (0, 1)))) == 1
    assert len(seen) == 1 and {path.name for path in tmp_path.iterdir()} == {"tokenizer", "base", "first"}


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    """A folder that somebody has there is not this file's to delete; a folder of ours is replaced by a folder."""
    path = tmp_path / "table.csv"
    (path / "sub").mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match="a folder stands where the file is to go"):
        files.write_text(path, "ours")
    assert (path / "sub").is_dir() and not files.aside_of(path).exists()
