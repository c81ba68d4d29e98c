"""The trusted side of a sandbox, in a worker of the pool: hands a program to a nursery, reads its output, ends it when it must.

A program holds nothing but its own two pipes: its ending is told by the nursery (`sandbox_inside`), the deadline and the caps on
output are kept here, and what it prints is bytes to be counted, never read as a message.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from unified_rl.isolation import sandbox_boundary, sandbox_seccomp

START_SECONDS = 60.0
GRACE_SECONDS = 10.0  # for the kernel to end a killed program
READ_BYTES = 1 << 16
FIRST_USER = 0x60000000  # programs of a root user run as users that own nothing, another for each nursery
_INSIDE = (Path(__file__).parent / "sandbox_inside.py").read_text()
_nurseries: dict[str, _Nursery] = {}


def run(payload: dict[str, Any]) -> dict[str, Any]:
    """The pool's handler: `source`, `limits`, `setting` (boundary, layout, preload) to how the program ended.

    `broken` in the answer: the sandbox itself could not be started, and why.
    """
    key = json.dumps(payload["setting"], sort_keys=True)
    for _ in range(2):
        try:
            if key not in _nurseries:
                _nurseries[key] = _Nursery(payload["setting"])
            return _nurseries[key].run(payload["source"], payload["limits"])
        except _Gone:  # since the last program; this one has not begun
            _nurseries.pop(key).close()
            error: Exception = _Broken("its process ended twice before a program could begin")
        except _Lost as lost:
            _nurseries.pop(key).close()
            return {"status": "killed", "code": None, "stdout": "", "stderr": str(lost), "seconds": lost.seconds, "state": {}}
        except (_Broken, OSError) as broken:
            error = broken
            break
    if key in _nurseries:
        _nurseries.pop(key).close()
    return {"broken": str(error)}


class _Broken(Exception):
    """No program can be run."""


class _Gone(Exception):
    """The nursery has ended, with no program in it."""


class _Lost(Exception):
    """The nursery ended, or answers no more, with a program in it."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"the program was lost: {reason}")
        self.seconds = seconds


class _Nursery:
    """One nursery process; it runs one program at a time."""

    def __init__(self, setting: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._complaints = os.memfd_create("nursery")
        program = [sandbox_boundary.interpreter(), "-s", "-S", "-P", "-B", "-c", _INSIDE, str(theirs.fileno())]
        self._process = subprocess.Popen(
            sandbox_boundary.command(setting["boundary"], program, setting["layout"]),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
            env={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},  # the same results every time; numpy without threads
            cwd="/",
        )
        theirs.close()
        self._control = ours
        ours.settimeout(START_SECONDS)
        config = {
            "boundary": setting["boundary"],
            **setting["layout"],
            "preload": setting["preload"],
            "seccomp": base64.b64encode(sandbox_seccomp.build()).decode() if setting["seccomp"] else "",
            "uid": FIRST_USER + self._process.pid,
        }
        try:
            self._control.send(json.dumps(config).encode())
            hello = self._answer()
        except _Broken:
            self.close()
            raise
        self.state = hello.get("ready")
        if self.state is None:
            self.close()
            raise _Broken(hello["error"])

    def run(self, source: str, limits: dict[str, Any]) -> dict[str, Any]:
        """How one program ended, and what it printed."""
        start = time.monotonic()
        streams = self._hand_over(source, limits)
        collected = _Collected(limits)
        reply, ended_for = None, ""
        poll = select.poll()
        for descriptor in (self._control.fileno(), *streams):
            poll.register(descriptor, select.POLLIN)
        deadline = start + limits["wall_seconds"]
        try:
            while reply is None:
                ready = [descriptor for descriptor, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1)]
                for index, descriptor in enumerate(streams):
                    if descriptor in ready and not collected.read(index, descriptor):
                        poll.unregister(descriptor)
                if self._control.fileno() in ready:
                    reply = self._answer()
                elif not ended_for and (collected.overflow or time.monotonic() >= deadline):
                    ended_for = "output" if collected.overflow else "timeout"
                    self._control.send(b"kill")
                    deadline = time.monotonic() + GRACE_SECONDS
                elif ended_for and time.monotonic() >= deadline:
                    raise _Broken("it could not be killed")
            seconds = time.monotonic() - start
            for index, descriptor in enumerate(streams):
                while collected.read(index, descriptor):
                    pass
        except (_Broken, OSError) as error:
            raise _Lost(str(error), time.monotonic() - start) from error
        finally:
            for descriptor in streams:
                os.close(descriptor)
        if "unable" in reply:
            raise _Broken(reply["unable"])
        return self._result(reply, ended_for, collected, seconds, limits)

    def _hand_over(self, source: str, limits: dict[str, Any]) -> list[int]:
        """Give the nursery the program's descriptors; the reading ends of its output and error streams."""
        memory = os.memfd_create("program")
        with open(memory, "wb", closefd=False) as file:
            file.write(source.encode("utf-8", "surrogatepass"))
        pipes = [os.pipe(), os.pipe()]
        theirs = [memory, *(writing for _, writing in pipes)]
        try:
            socket.send_fds(self._control, [json.dumps(limits).encode()], theirs)
        except (BrokenPipeError, ConnectionResetError) as error:
            for reading, _ in pipes:
                os.close(reading)
            raise _Gone from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        for reading, _ in pipes:
            os.set_blocking(reading, False)
        return [reading for reading, _ in pipes]

    def _result(self, reply: dict, ended_for: str, collected: _Collected, seconds: float, limits: dict) -> dict[str, Any]:
        stderr = bytes(collected.stderr).decode("utf-8", "replace")
        return {
            "status": _status(reply, ended_for or ("output" if collected.overflow else ""), stderr, limits),
            "code": reply["code"],
            "stdout": bytes(collected.stdout).decode("utf-8", "replace"),
            "stderr": stderr,
            "seconds": seconds,
            "state": self.state,
        }

    def _answer(self) -> dict[str, Any]:
        try:
            data = self._control.recv(1 << 16)
        except TimeoutError:
            data = b""
        if not data:
            self._process.kill()
            self._process.wait()
            complaint = os.pread(self._complaints, 4096, 0).decode("utf-8", "replace").strip().splitlines()
            raise _Broken(complaint[-1] if complaint else f"the nursery ended with {self._process.returncode}")
        return json.loads(data)

    def close(self) -> None:
        """End the nursery, and with it the program it is running."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._complaints)


class _Collected:
    """Output as it comes: the head of standard output, the tail of standard error, and the sum of both."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._total = 0
        self.stdout = bytearray()
        self.stderr = bytearray()

    @property
    def overflow(self) -> bool:
        return self._total > self._limits["output_bytes"]

    def read(self, index: int, descriptor: int) -> bool:
        """Read once. False at the end, or when there is nothing for now."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        self._total += len(data)
        if index == 0:
            self.stdout += data[: self._limits["output_bytes"] - len(self.stdout)]
        else:
            self.stderr = (self.stderr + data)[-self._limits["stderr_bytes"] :]
        return bool(data)


def _status(reply: dict, ended_for: str, stderr: str, limits: dict) -> str:
    if ended_for:
        return ended_for
    if reply["for"] == "memory":
        return "memory"
    code = reply["code"]
    if code < 0:
        over = -code in (signal.SIGXCPU, signal.SIGKILL) and reply["cpu"] >= limits["cpu_seconds"]
        return "timeout" if over else "killed"
    if code == 0:
        return "ok"
    return "memory" if stderr.rstrip().rpartition("\n")[2].startswith("MemoryError") else "error"
