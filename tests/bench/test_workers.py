"""The process that measures: its death, its silence and its errors cost one part; and all parts are planned within four minutes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.bench.gpu import schedule
from unified_rl.bench.gpu.goals import GOALS, verdicts
from unified_rl.bench.gpu.models import STACKS
from unified_rl.bench.gpu.workers import Worker

#: Does what its task's shape says, and names its process in the result.
SCRIPT = """
import json, os, sys, time
for line in sys.stdin:
    task = json.loads(line)
    print("a library says something", flush=True)
    print(json.dumps({"what": task["part"], "shape": task["shape"], "by": os.getpid()}), flush=True)
    if task["shape"] == "dies": os._exit(9)
    if task["shape"] == "hangs": time.sleep(60)
    print("ends" if task["shape"] == "fails" else "done", flush=True)
    if task["shape"] == "fails": break
"""


@pytest.fixture
def worker():
    made = Worker([sys.executable, "-c", SCRIPT])
    yield made
    made.end()


def of(worker, shape, seconds=20.0):
    return list(worker.results({"part": "head", "shape": shape, "way": ""}, seconds))


def test_one_process_measures_part_after_part(worker, capsys):
    (first,), (second,) = of(worker, "good"), of(worker, "good")
    assert first["by"] == second["by"]
    assert capsys.readouterr().out.splitlines() == ["  a library says something"] * 2


@pytest.mark.parametrize(
    ("shape", "seconds", "why"), [("dies", 20.0, "its process ended with 9"), ("hangs", 2.0, "not done within 2 s")]
)
def test_a_process_that_dies_or_hangs_costs_its_part_alone(worker, shape, seconds, why):
    """What it had measured is kept, and the next part has a process of its own."""
    (before,) = of(worker, "good")
    found, lost = of(worker, shape, seconds)
    assert found["by"] == before["by"]
    assert lost == {"what": "head", "shape": shape, "not_measured": why}
    (after,) = of(worker, "good")
    assert after["by"] != before["by"]


def test_a_process_that_says_it_is_spoilt_is_replaced(worker):
    (failed,) = of(worker, "fails")
    (after,) = of(worker, "good")
    assert after["by"] != failed["by"]


def test_what_it_started_ends_with_it(tmp_path):
    """A training run that is under way when its time is over would hold the device's memory."""
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, file=open(sys.argv[1], 'w'), flush=True)\n"
        "print('done', flush=True)\n"
        "time.sleep(60)\n"
    )
    alone = Worker([sys.executable, "-c", script, str(tmp_path / "pid")])
    assert not of(alone, "any")
    pid = int((tmp_path / "pid").read_text())
    assert _running(pid)
    alone.end()
    end = time.monotonic() + 10
    while _running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _running(pid)


def _running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("shapes", [tuple(STACKS), ("7b",), ("1.3b", "0.5b")])
def test_all_parts_are_planned_within_four_minutes(shapes):
    planned = schedule.tasks(shapes)
    assert schedule.START + sum(task.seconds for task in planned) <= schedule.BUDGET < 240
    assert {task.part for task in planned} == set(schedule.PARTS)
    assert {(task.shape, task.way) for task in planned if task.part == "training"} == {
        (shape, way) for shape in shapes for way in (schedule.KEPT, schedule.AGAIN)
    }
    assert len(set(planned)) == len(planned)


def test_what_was_measured_is_held_against_the_goals():
    found = [
        {"what": "training pass", "shape": "7b", "layers": "run again", "model_flops_utilisation": 0.35},
        {"what": "training pass", "shape": "7b", "layers": "kept", "model_flops_utilisation": 0.44},
        {"what": "GRPO step", "shape": "0.5b", "by": "unified_rl", "seconds": 4.0},
        {"what": "GRPO step", "shape": "0.5b", "speed_over_trl": 1.5},
        {"what": "log-probs", "shape": "7b", "chunked_ms": 20.5},
    ]
    lines = {line.partition(" at ")[0].strip(): line.rpartition(": ")[2] for line in verdicts(found)}
    assert lines["7b training pass, layers kept: model_flops_utilisation"] == "0.44, missed"
    assert lines["7b training pass, layers run again: model_flops_utilisation"] == "0.35, met"
    assert lines["0.5b GRPO step: speed_over_trl"] == "1.5, met"
    assert lines["7b log-probs: chunked_ms"] == "20.5, missed"
    assert sum(says == "not measured" for says in lines.values()) == len(GOALS) - 4


@given(st.lists(st.floats(0, 2), min_size=30, max_size=30))
def test_no_part_takes_what_is_kept_for_the_later_ones(shares):
    """Whatever share of its allowance each part uses (more than all of it: it is ended), the run ends in time."""
    planned, left = schedule.tasks(tuple(STACKS)), schedule.BUDGET - schedule.START
    for place, (task, share) in enumerate(zip(planned, shares, strict=False)):
        seconds = schedule.allowed(left, task, planned[place + 1 :])
        assert task.seconds - 1e-9 <= seconds <= left + 1e-9
        left -= min(share, 1.0) * seconds
    assert left >= -1e-6
