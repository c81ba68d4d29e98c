"""Progress where there is no terminal: a line now and then, with the pace since the first step."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from unified_rl.records import progress as module


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_at_intervals_and_at_the_end_with_the_pace_of_all_steps(clock, capsys):
    metrics = {"reward/mean": 0.25, "reward/correct": 0.125, "response/length": 31.5, "kl/k3": 0.00123, "logp/mean": -0.7}
    with module.progress("GRPO", 40) as hook:
        for done in range(1, 41):
            clock[0] += 0.5
            hook(done, metrics if done == 40 else {})
    assert capsys.readouterr().err.splitlines() == [
        "GRPO: 20/40 steps, 2.00 steps/s, 10 s left",
        "GRPO: 40/40 steps, 2.00 steps/s, reward 0.250, correct 0.125, KL 0.0012, length 31.5, log p -0.700",
    ]


def test_one_step_has_no_pace(clock, capsys):
    with module.progress("samples", 1, "responses") as hook:
        hook(1, {})
    assert capsys.readouterr().err == "samples: 1/1 responses\n"


def test_the_end_is_said_once(clock, capsys):
    with module.progress("evaluating", 2, "responses") as hook:
        hook(2, {})
        module.doing("grading 2 responses")
        hook(2, {})
    assert capsys.readouterr().err == "evaluating: 2/2 responses\n"


def test_a_slow_pace_is_seconds_for_each(clock, capsys):
    with module.progress("PPO", 3) as hook:
        for done in range(1, 4):
            clock[0] += 40.0
            hook(done, {})
    assert capsys.readouterr().err.splitlines() == [
        "PPO: 1/3 steps",
        "PPO: 2/3 steps, 40.0 s/step, 40 s left",
        "PPO: 3/3 steps, 40.0 s/step",
    ]


def test_a_small_kl_is_not_shown_as_zero(clock, capsys):
    with module.progress("GRPO", 1) as hook:
        hook(1, {"kl/k3": 0.0000123})
    assert capsys.readouterr().err == "GRPO: 1/1 steps, KL 1.2e-05\n"


def test_who_listens_hears_the_beginning_and_every_step_of_all_work(clock):
    heard = []
    with module.listening(heard.append), module.progress("SFT", 3) as hook:
        for done in (1, 2, 3):
            clock[0] += 2.0
            hook(done, {"reward/mean": done})
    assert [(stand.label, stand.done, stand.total, stand.rate) for stand in heard] == [
        ("SFT", 0, 3, 0.0),
        ("SFT", 1, 3, 0.0),
        ("SFT", 2, 3, 0.5),
        ("SFT", 3, 3, 0.5),
    ]
    assert heard[1].metrics == {"reward/mean": 1} and heard[2].seconds_left == 2.0
    with module.progress("RFT", 1) as hook:
        hook(1, {})
    assert len(heard) == 4


def test_a_long_step_says_what_it_is_at_now_and_then(clock, capsys):
    heard = []
    with module.listening(heard.append), module.progress("GRPO", 2) as hook:
        for done in (1, 2):
            for responses in range(1, 41):
                clock[0] += 1.0
                module.doing(f"sampling {responses}/64 responses")
            hook(done, {"reward/mean": 0.5})
    assert capsys.readouterr().err.splitlines() == [
        "GRPO: 0/2 steps, sampling 30/64 responses",
        "GRPO: 1/2 steps, reward 0.500",
        "GRPO: 1/2 steps, sampling 30/64 responses, reward 0.500",
        "GRPO: 2/2 steps, 40.0 s/step, reward 0.500",
    ]
    assert heard[-2].within == "sampling 40/64 responses" and heard[-1].within == ""


def test_what_is_said_belongs_to_the_innermost_work_and_to_none_where_there_is_none():
    heard = []
    module.doing("nothing")
    with module.listening(heard.append), module.progress("GRPO", 2), module.progress("SFT", 3) as inner:
        assert list(module.one_by_one("update, pass", iter("ab"))) == ["a", "b"]
        inner(1, {})
        with ThreadPoolExecutor(1) as other:
            other.submit(module.doing, "sampling beside training").result()
    assert [(stand.label, stand.done, stand.within) for stand in heard[2:]] == [
        ("SFT", 0, "update, pass 1"),
        ("SFT", 0, "update, pass 2"),
        ("SFT", 1, ""),
    ]
