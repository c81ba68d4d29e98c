"""Progress where there is no terminal: a line now and then, with the pace since the first step."""

import pytest

from unified_rl.records import progress as module


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_at_intervals_and_at_the_end_with_the_pace_of_all_steps(clock, capsys):
    with module.progress("GRPO", 40) as hook:
        for done in range(1, 41):
            clock[0] += 0.5
            hook(done, {"reward/mean": 0.25, "reward/correct": 0.125} if done == 40 else {})
    assert capsys.readouterr().err.splitlines() == [
        "GRPO: 30/40 steps, 2.00 steps/s, 5 s left",
        "GRPO: 40/40 steps, 2.00 steps/s, 0 s left, reward 0.250, correct 0.125",
    ]


def test_one_step_has_no_pace(clock, capsys):
    with module.progress("samples", 1, "responses") as hook:
        hook(1, {})
    assert capsys.readouterr().err == "samples: 1/1 responses\n"
