"""A call that waits for another process ends when that process does."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from unified_rl.sampling.watched import watched


@pytest.fixture
def sleeper():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    process.start()
    yield process
    process.kill()
    process.join()


def test_what_the_call_returns_or_raises_comes_back(sleeper):
    assert watched(lambda: 7, sleeper) == 7
    for kind in (KeyError, TimeoutError):
        with pytest.raises(kind):
            watched(lambda kind=kind: (_ for _ in ()).throw(kind("x")), sleeper)


def test_a_dead_process_is_not_waited_for(sleeper):
    threading.Timer(0.2, sleeper.kill).start()
    with pytest.raises(ChildProcessError, match="its process died"):
        watched(threading.Event().wait, sleeper)
