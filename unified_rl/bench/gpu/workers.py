"""A process that measures, seen from its caller: it is given a task with its seconds, and replaced when it dies or takes longer."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

#: What the process says behind a task's results: give it another, or let it go.
DONE, ENDS = "done", "ends"
_RESULT = '{"what"'


def not_measured(task: Mapping[str, Any], why: str) -> dict[str, Any]:
    """A result that says why there is none."""
    way = {"layers": {"none": "kept", "layers": "run again"}[task["way"]]} if task.get("way") else {}
    return {"what": task["part"], "shape": task["shape"], **way, "not_measured": why}


class Worker:
    """One process at a time, of a command that reads tasks and prints results, each a line; started when it is first needed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def results(self, task: Mapping[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
        """What a task gives within its seconds, each result as it comes; the last one says so where the process failed it."""
        end = time.monotonic() + seconds
        process = self._give({**task, "seconds": seconds})
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.end()
                yield not_measured(task, f"not done within {seconds:.0f} s")
                return
            if line is None:
                yield not_measured(task, f"its process ended with {process.wait()}")
                self.end()
                return
            if line in (DONE, ENDS):
                if line == ENDS:
                    self.end()
                return
            if line.startswith(_RESULT):
                yield json.loads(line)
            else:
                print(f"  {line}", flush=True)

    def end(self) -> None:
        """End the process, with all that it has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _give(self, task: Mapping[str, Any]) -> subprocess.Popen[str]:
        if self._process is None:
            self._lines = queue.Queue()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            assert self._process.stdout is not None
            threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which its output tells
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        return self._process


def _read(output: TextIO, lines: queue.Queue[str | None]) -> None:
    for line in output:
        lines.put(line.rstrip("\n"))
    lines.put(None)
