"""Cores and GPUs are handed out once: by the ledger, and by a pool of real processes that say what they were given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError
from unified_rl.launch import resources
from unified_rl.launch.cells import Cell
from unified_rl.launch.local import LocalPool
from unified_rl.launch.resources import Ledger

EIGHT = tuple("01234567")
SAY = """
import json, os, sys, time
start = time.monotonic()
time.sleep(0.3)
names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
print(json.dumps([start, time.monotonic(), *(os.environ[name] for name in names)]))
"""


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_nothing_is_handed_out_twice(requests):
    ledger, held = Ledger(4, EIGHT[:3]), []
    for cores, gpus, place in requests:
        grant = ledger.take(cores, gpus)
        if grant is None:
            assert sum(other.cores for other in held) + cores > 4 or sum(len(other.gpus) for other in held) + gpus > 3
            if held:
                ledger.give_back(held.pop(place % len(held)))
            continue
        held.append(grant)
        names = [name for other in held for name in other.gpus]
        assert len(set(names)) == len(names) and sum(other.cores for other in held) <= 4
        assert (grant.cores, len(grant.gpus)) == (cores, gpus)


@pytest.mark.parametrize(("each", "at_once"), [(1, 8), (8, 1), (2, 4), (3, 2)])
def test_eight_gpus_are_shared_out_in_order(each, at_once):
    ledger = Ledger(16, EIGHT)
    grants = [ledger.take(1, each) for _ in range(at_once)]
    assert ledger.take(1, each) is None
    assert [name for grant in grants for name in grant.gpus] == list(EIGHT[: each * at_once])
    ledger.give_back(grants[0])
    assert ledger.take(1, each).gpus == grants[0].gpus


def test_a_pool_keeps_within_its_cores_and_gpus(tmp_path):
    sizes = [(1, 1), (1, 1), (2, 0), (1, 2), (3, 0), (1, 1), (2, 2), (1, 0)]
    cells = [Cell(f"c{place}", (), None, cores=cores, gpus=gpus) for place, (cores, gpus) in enumerate(sizes)]
    say = lambda cell, folder: [sys.executable, "-c", SAY]  # noqa: E731
    assert LocalPool(tmp_path, Ledger(3, ("0", "GPU-b")), worker=say).run(cells) == []
    said = {cell.name: _said(cell.log(tmp_path)) for cell in cells}
    for cell in cells:
        start, _, devices, *threads = said[cell.name]
        assert len([name for name in devices.split(",") if name]) == cell.gpus and set(threads) == {str(cell.cores)}
        together = [other for other in cells if said[other.name][0] <= start < said[other.name][1]]
        names = [name for other in together for name in said[other.name][2].split(",") if name]
        assert sum(other.cores for other in together) <= 3 and len(set(names)) == len(names)
    assert any(said[one.name][0] < said[two.name][0] < said[one.name][1] for one in cells for two in cells), (
        "some cells ran side by side"
    )


def test_what_can_never_be_granted_is_refused_at_once(tmp_path):
    with pytest.raises(ConfigError, match="2 cores and 1 GPUs, but there are 4 and 0; set cell_cores=N or cell_gpus=N lower"):
        LocalPool(tmp_path, Ledger(4)).run([Cell("fits", (), None), Cell("greedy", (), None, cores=2, gpus=1)])
    assert not (tmp_path / "logs").exists()
    with pytest.raises(ConfigError, match="every GPU is named once"):
        Ledger(4, ("0", "0"))


def test_visible_gpus_are_those_that_the_environment_allows(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7f")
    assert resources.gpus() == ("3", "GPU-7f")
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert resources.gpus() == ()


def _said(log: Path) -> list:
    return json.loads(log.read_text())
