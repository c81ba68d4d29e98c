"""A judge behind an HTTP server as a reward, its failures handled. `python examples/http_judge.py [FOLDER]`

    JUDGE_URL=http://host:8000/score unified-rl train method=grpo data=qa.csv reward=examples/http_judge.py:reward run_dir=DIR

The server is posted {"prompt", "response", "answer"} and answers {"score": a number in 0..1}. It is a stranger: what it says is
checked, it may take 30 seconds, be busy or restart for a while; after that the run ends with one line, its last checkpoint good.
"""

import json
import math
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECONDS = float(os.environ.get("JUDGE_SECONDS", "30"))  # for one answer
WAITS = (0.5, 2, 8)  # seconds before another try: busy servers are asked again, and each time later
AT_ONCE = 16  # requests on the way


def reward(prompts, responses, answers):
    """A score for each response of the batch, asked for side by side."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(score, prompts, responses, answers))


def score(prompt, response, answer):
    """The judge's score. A server that is down, slow or busy is asked again; one that makes no sense is not."""
    said = json.dumps({"prompt": prompt, "response": response, "answer": answer}).encode()
    for wait in (*WAITS, None):
        try:
            return checked(posted(said))
        except urllib.error.HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504):
                raise RuntimeError(f"the judge refuses the request: {error.code} {error.reason}") from error
            failed = f"{error.code} {error.reason}"
        except OSError as error:  # no connection, a connection that broke, or no answer in time
            failed = f"{getattr(error, 'reason', error)}"
        if wait is not None:
            time.sleep(wait)
    raise RuntimeError(f"no answer of the judge at {url()} in {len(WAITS) + 1} tries ({failed}); is it running?")


def posted(body):
    """The text of the server's answer, at most a megabyte of it."""
    request = urllib.request.Request(url(), body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return answer.read(2**20)


def checked(text):
    """The score in an answer; anything but a number in 0..1 is no judgement, and is not guessed at."""
    try:
        found = json.loads(text)["score"]
    except (ValueError, KeyError, TypeError):
        raise RuntimeError(f'the judge answered {text[:60]!r}, which is no {{"score": NUMBER}}') from None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found) or not 0 <= found <= 1:
        raise RuntimeError(f"the judge gave the score {found!r:.40}, which is no number in 0..1")
    return float(found)


def url():
    return os.environ.get("JUDGE_URL", "http://127.0.0.1:8000/score")


class Judge(BaseHTTPRequestHandler):
    """A judge for this example: the share of the answer's digits that the response has."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        digits = asked["answer"]
        said = json.dumps({"score": sum(digit in asked["response"] for digit in digits) / len(digits)}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args):
        """Nothing on the terminal."""


def main(folder: Path) -> None:
    from tiny import SMALL, sums

    import unified_rl as ur

    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["JUDGE_URL"] = f"http://127.0.0.1:{server.server_port}/score"
    folders = {"artifacts": str(folder / "artifacts"), "data": sums(folder / "qa.csv")}
    run = ur.train(folder / "judged", method="grpo", reward=[(reward, 0.8), ("rule", 0.2)], steps=4, **folders, **SMALL)
    print(run.metrics[["step", "reward/mean", "reward/reward/mean", "reward/rule/mean"]].tail(1).to_string(index=False))
    server.shutdown()


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "http_judge")
    place.mkdir(exist_ok=True)
    main(place)
