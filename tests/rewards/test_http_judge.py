"""The example of a judge behind a server, against real servers that are slow, busy, wrong or gone."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import unified_rl as ur
from unified_rl.base.errors import DataError
from unified_rl.base.plugins import import_by_path

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def judge(monkeypatch):
    """The example as a configuration imports it, with short waits."""
    reward = import_by_path(f"{EXAMPLES / 'http_judge.py'}:reward", "reward")
    http_judge = sys.modules[reward.__module__]
    monkeypatch.setattr(http_judge, "WAITS", (0.01, 0.02))
    monkeypatch.setattr(http_judge, "SECONDS", 0.3)
    return http_judge


@pytest.fixture
def server(monkeypatch):
    """Starts a server that answers by a list of (status, text, seconds), the last one for ever; `asked` counts."""
    started = []

    def start(*answers):
        asked = []

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status, text, seconds = answers[min(len(asked), len(answers)) - 1]
                time.sleep(seconds)
                try:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(text.encode())
                except OSError:
                    pass  # who asked has not waited

            def log_message(self, *args):
                pass

        made = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        started.append(made)
        monkeypatch.setenv("JUDGE_URL", f"http://127.0.0.1:{made.server_port}/score")
        return asked

    yield start
    for made in started:
        made.shutdown()


GOOD = (200, '{"score": 0.5}', 0)


def test_a_batch_is_judged(judge, server):
    asked = server(GOOD)
    assert judge.reward(["p"] * 20, [f"r{i}" for i in range(20)], ["a"] * 20) == [0.5] * 20
    assert sorted(one["response"] for one in asked) == sorted(f"r{i}" for i in range(20))
    assert asked[0]["prompt"] == "p" and asked[0]["answer"] == "a"


@pytest.mark.parametrize(
    "failure", [(503, "", 0), (429, "", 0), (500, "", 0), (200, '{"score": 1}', 2)], ids=["down", "busy", "error", "too slow"]
)
def test_a_server_that_recovers(judge, server, failure):
    asked = server(failure, failure, GOOD)
    assert judge.score("p", "r", "a") == 0.5
    assert len(asked) == 3


def test_a_server_that_does_not(judge, server, monkeypatch):
    asked = server((503, "", 0))
    with pytest.raises(RuntimeError, match=r"no answer of the judge at http.* in 3 tries \(503.*is it running"):
        judge.score("p", "r", "a")
    assert len(asked) == 3
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("JUDGE_URL", f"http://127.0.0.1:{free.getsockname()[1]}/score")
    with pytest.raises(RuntimeError, match=r"in 3 tries .*refused"):
        judge.score("p", "r", "a")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("<html>", r"answered b'<html>', which is no \{\"score\": NUMBER\}"),
        ("[1]", "which is no"),
        ('{"mark": 1}', "which is no"),
        ('{"score": "good"}', "the score 'good', which is no number in 0..1"),
        ('{"score": 7}', "the score 7, which"),
        ('{"score": NaN}', "the score nan"),
        ('{"score": true}', "the score True"),
    ],
)
def test_what_is_no_judgement_is_not_guessed_at(judge, server, answer, says):
    asked = server((200, answer, 0))
    with pytest.raises(RuntimeError, match=says):
        judge.score("p", "r", "a")
    assert len(asked) == 1, "the same question would get the same answer"
    server((404, "", 0))
    with pytest.raises(RuntimeError, match="refuses the request: 404"):
        judge.score("p", "r", "a")


def test_a_run_ends_in_a_line_and_goes_on(judge, server, tmp_path):
    """The server dies in the middle of a run: one line with the remedy, and the last checkpoint is good."""
    (tmp_path / "qa.csv").write_text("question,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(40)))
    settings = {
        "method": "grpo",
        "data": str(tmp_path / "qa.csv"),
        "reward": judge.reward,
        "init": "base",
        "model": {"hidden_size": 64, "num_heads": 2, "num_layers": 1, "intermediate_size": 96, "vocabulary": 280},
        "rollout": {"prompts_per_step": 2, "responses_per_prompt": 2},
        "generator": {"max_new_tokens": 4},
        "logging": {"checkpoint_every": 1, "curve_problems": 0},
        "steps": 4,
        "threads": 1,
        "artifacts": str(tmp_path / "artifacts"),
        "run_dir": str(tmp_path / "run"),
    }
    server(*[GOOD] * 8, (503, "", 0))  # the trial before the run, and a step or so
    with pytest.raises(DataError, match=r"no answer of the judge.*is it running") as caught:
        ur.train(**settings)
    assert len(str(caught.value).splitlines()) == 1
    server(GOOD)
    run = ur.train(**settings, resume=True)
    assert run.metrics["step"].tolist() == [1, 2, 3, 4] and set(run.metrics["reward/mean"]) == {0.5}
