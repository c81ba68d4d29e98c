"""Runs programs of the tests' own in this process: for what is around a sandbox, not for what is in one."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    stdout: str
    status: str
    stderr: str = ""


class PlainRunner:
    """Keeps the programs that it ran, one list per call."""

    def __init__(self):
        self.calls = []

    def run(self, programs):
        self.calls.append(list(programs))
        return [self._run(program) for program in programs]

    def _run(self, program):
        if "while True" in program:
            return Result("", "timeout")
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(program, {"__name__": "__main__"})
        except Exception as error:
            return Result(out.getvalue(), "error", f"Traceback\n{type(error).__name__}: {error}")
        return Result(out.getvalue(), "ok")
