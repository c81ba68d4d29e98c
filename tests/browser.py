"""A real browser for tests: headless Chromium, driven by its DevTools protocol through a pair of pipes. Nothing but the browser is
needed; where there is none, tests that ask for it are skipped and say so.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars")
PATIENCE_SECONDS = 60.0
#: A program that becomes another one, which has the pipes as the descriptors on which the protocol is spoken.
_ON_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


def binary() -> str:
    """The browser that is installed; skips the test where none is."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"there is no browser here ({', '.join(NAMES)}); apt-get install chromium")
    return found


class LoadedAnew(AssertionError):
    """The page that was asked is no more: another has been loaded in its place."""


class Browser:
    """One page of a running browser.

    Attributes:
        said: what pages wrote to the console, exceptions and refusals by the policy included. opened: dialogs. asked: addresses
            that pages asked for.
    """

    def __init__(self, process: subprocess.Popen, to_browser: int, from_browser: int) -> None:
        self._process, self._to, self._from = process, to_browser, from_browser
        self._last, self._buffer = 0, b""
        self.said: list[str] = []
        self.opened: list[str] = []
        self.asked: list[str] = []
        self._loaded = False
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, *, script_first: str = "") -> None:
        """Open a file and wait until it is loaded and its script says that it has drawn everything."""
        self.said, self.opened, self.asked, self._loaded = [], [], [], False
        if script_first:
            self._call("Page.addScriptToEvaluateOnNewDocument", source=script_first)
        self._call("Page.navigate", url=page.resolve().as_uri())
        self.until("document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page. Raises AssertionError: it threw."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def seen(self, look: Callable[[], Any]) -> Any:
        """What a look at the page finds; taken again where the page is loaded anew in the midst of it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                return look()
            except LoadedAnew:
                time.sleep(0.02)
        raise AssertionError("the page is loaded anew all the time")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.seen(lambda: self.evaluate(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def point_at(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Move the pointer, as a hand would, over an element that is scrolled into view."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}}); "
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        x, y = box[0] + across * box[2], box[1] + down * box[3]
        for step in (2, 0):  # a movement, not a jump
            self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x - step, y=y)

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def screenshot(self) -> bytes:
        """PNG of what is seen."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            answer = self._receive()
            if answer.get("id") == message["id"]:
                error = answer.get("error", {})
                if any(word in str(error.get("message")) for word in ("navigated", "context")):
                    raise LoadedAnew(error["message"])
                assert not error, error
                return answer["result"]
            self._note(answer)
        raise AssertionError(f"the browser did not answer {method}")

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._from, 1 << 20)
            assert piece, f"the browser has ended with status {self._process.poll()}"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, facts = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(one.get("value", one.get("description"))) for one in facts["args"]))
        elif method == "Runtime.exceptionThrown":
            self.said.append(json.dumps(facts["exceptionDetails"])[:400])
        elif method == "Log.entryAdded":
            self.said.append(facts["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.opened.append(facts["message"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(facts["request"]["url"])


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with one empty page, ended with the context."""
    program = binary()
    reads, to_browser = os.pipe()
    from_browser, writes = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        line = [program, *ARGUMENTS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        starter = [sys.executable, "-I", "-S", "-c", _ON_3_AND_4, str(reads), str(writes), *line]
        process = subprocess.Popen(starter, pass_fds=(reads, writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(reads)
        os.close(writes)
        try:
            yield Browser(process, to_browser, from_browser)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(to_browser)
            os.close(from_browser)
