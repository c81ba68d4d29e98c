"""The artefact store: built once, whatever dies or races; verified; resumable inside."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from unified_rl.artifacts import ArtifactStore, key_of
from unified_rl.errors import CheckpointError


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
