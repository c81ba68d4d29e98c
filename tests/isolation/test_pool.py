"""The pool of killable workers: what an item does to its worker is that item's loss alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from unified_rl.isolation import Limits, Pool, frames

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)  # workers import `deeds` by the parent's path
LIMITS = Limits(seconds=0.8, memory_bytes=1 << 30, output_bytes=1 << 16)


@pytest.fixture
def pool():
    with Pool("deeds:do", LIMITS, workers=2) as made:
        yield made


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_answers_come_in_order(pool):
    values = [0, "text", None, [1, {"a": 2.5}], "\ud800 lone surrogate", "\x00"]
    assert [outcome.value for outcome in pool.map([["echo", value] for value in values])] == values
    many = pool.map([["echo", index] for index in range(3000)])
    assert [outcome.value for outcome in many] == list(range(3000))


def test_every_ending_is_its_own_status_and_costs_nobody_else(pool):
    deeds = {
        "spin": ("timeout", None),
        "ignore_signals": ("timeout", None),
        "exit": ("crashed", 3),
        "segfault": ("crashed", None),
        "raise": ("failed", "no"),
        "system_exit": ("failed", 1),
        "allocate": ("memory", 1 << 33),
        "long": ("overflow", 1 << 20),
        "recurse": ("failed", None),
    }
    items, expected = [], []
    for verb, (status, argument) in deeds.items():
        for honest in range(5):
            items.append(["echo", f"{verb} {honest}"])
            expected.append(("done", f"{verb} {honest}"))
        items.append([verb, argument])
        expected.append((status, None))
    outcomes = pool.map(items)
    for outcome, (status, value) in zip(outcomes, expected, strict=True):
        assert outcome.status == status
        if status == "done":
            assert outcome.value == value
    assert "ValueError: no" in next(outcome.value for item, outcome in zip(items, outcomes, strict=True) if item[0] == "raise")


def test_only_the_slow_item_of_a_batch_is_lost():
    with Pool("deeds:do", LIMITS, workers=1, batch=50) as pool:
        items = [["sleep", 0.02]] * 30 + [["spin", None]] + [["echo", 1]] * 30
        statuses = [outcome.status for outcome in pool.map(items)]
    assert statuses == ["done"] * 30 + ["timeout"] + ["done"] * 30  # together the sleeps exceed the limit of one item


def test_limit_of_a_call(pool):
    assert [o.status for o in pool.map([["sleep", 0.5]], Limits(seconds=0.1))] == ["timeout"]
    assert [o.status for o in pool.map([["sleep", 0.5]])] == ["done"]


def test_stream_is_ordered_and_may_be_abandoned(pool):
    stream = pool.stream([["sleep", 0.2], *[["echo", index] for index in range(20)], ["sleep", 0.7]])
    assert [next(stream).value for _ in range(3)] == ["sleep", 0, 1]
    stream.close()
    assert [outcome.value for outcome in pool.map([["echo", 5]])] == [5]


def test_printing_workers_do_not_disturb_the_parent(pool, capfd):
    assert pool.map([["print", "to standard output"]])[0].status == "done"
    assert capfd.readouterr() == ("", "")


def test_workers_are_warm_and_replaced_after_their_share():
    with Pool("deeds:do", LIMITS, workers=1) as pool:
        assert len({pool.map([["pid", None]])[0].value for _ in range(5)}) == 1
    with Pool("deeds:do", LIMITS, workers=1, worker_items=2) as pool:
        assert len({pool.map([["pid", None]])[0].value for _ in range(6)}) == 3


def test_from_threads():
    results = {}
    with Pool("deeds:do", LIMITS, workers=2) as pool:

        def work(name: int) -> None:
            results[name] = [outcome.value for outcome in pool.map([["echo", [name, index]] for index in range(50)])]

        threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {name: [[name, index] for index in range(50)] for name in range(6)}


def test_zygote_killed_between_calls(pool):
    pool.map([["echo", 1]])
    old = pool.pids
    os.kill(old[0], signal.SIGKILL)
    assert gone(old)
    assert [outcome.value for outcome in pool.map([["echo", 2]])] == [2]


def test_a_worker_takes_what_it_started_with_it(pool, tmp_path):
    note = tmp_path / "pid"
    assert pool.map([["child", str(note)]])[0].status == "timeout"
    assert gone([int(note.read_text())])


def test_close_ends_every_process():
    pool = Pool("deeds:do", LIMITS, workers=2)
    pool.map([["echo", index] for index in range(100)])
    pids = pool.pids
    assert len(pids) >= 2
    pool.close()
    assert gone(pids)
    assert pool.pids == []


SCRIPT = """
import json, sys
sys.path.insert(0, {here!r})
from unified_rl.isolation import Limits, Pool
pool = Pool("deeds:do", Limits(seconds=30), workers=2)
print(json.dumps([o.value for o in pool.map([["echo", 1], ["echo", 2], ["echo", 3], ["echo", 4]])]), flush=True)
print(json.dumps(pool.pids), flush=True)
{ending}
"""


def run_script(ending: str) -> subprocess.Popen:
    """A plain script without `if __name__ == "__main__"`."""
    return subprocess.Popen([sys.executable, "-c", SCRIPT.format(here=HERE, ending=ending)], stdout=subprocess.PIPE, text=True)


def test_a_plain_script_leaves_nobody_behind():
    with run_script("") as script:
        assert json.loads(script.stdout.readline()) == [1, 2, 3, 4]
        pids = json.loads(script.stdout.readline())
        assert script.wait(30) == 0
    assert gone(pids)


@pytest.mark.parametrize("ending", ["pool.map([['sleep', 60]] * 4)", "import time; time.sleep(60)"], ids=["busy", "idle"])
def test_no_orphans_when_the_parent_is_killed(ending):
    with run_script(ending) as script:
        script.stdout.readline()
        pids = json.loads(script.stdout.readline())
        time.sleep(0.2)
        script.kill()
    assert gone(pids)


def test_a_fork_of_the_parent_has_its_own_workers(pool):
    pool.map([["echo", 1]])
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.write(write, str(pool.map([["echo", 41]])[0].value).encode())
            pool.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"41"
    os.close(read)
    os.close(write)
    assert pool.map([["echo", 2]])[0].value == 2


def test_what_a_worker_sends_is_bounded_and_never_unpickled():
    buffer = frames.FrameBuffer(100)
    buffer.add(frames.LENGTH.pack(1 << 31))
    with pytest.raises(frames.FrameTooLong):
        buffer.pop()
    buffer = frames.FrameBuffer(100)
    buffer.add(frames.LENGTH.pack(4) + b"\x80\x04N.")  # a pickle
    with pytest.raises(ValueError):
        buffer.pop()
    buffer = frames.FrameBuffer(100)
    whole = frames.encode(["done", 1])
    for byte in whole[:-1]:
        buffer.add(bytes([byte]))
        assert buffer.pop() is None
    buffer.add(whole[-1:])
    assert buffer.pop() == ["done", 1]
