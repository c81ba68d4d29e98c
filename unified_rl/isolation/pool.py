"""A pool of warm worker processes with a wall-clock limit per item, kept by the parent.

An item that runs too long costs its worker (killed and replaced in milliseconds) and itself; every other item is answered as if
it had not been there. No signals, timers or threads in the parent, so it works wherever it is called from.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unified_rl.base.errors import UnifiedRLError
from unified_rl.isolation import frames

Status = Literal["done", "failed", "timeout", "memory", "crashed", "overflow"]

START_SECONDS = 120.0
READ_BYTES = 1 << 18
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[4]); "
    "from unified_rl.isolation import zygote; zygote.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
)


class PoolError(UnifiedRLError, RuntimeError):
    """Worker processes cannot be started on this machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one item may use.

    Attributes:
        seconds: wall-clock time, measured by the parent from the moment that the item before it was answered.
        memory_bytes: address space of a worker, imports included; 0 for no limit.
        output_bytes: of its answer, as JSON.
    """

    seconds: float = 5.0
    memory_bytes: int = 2 << 30
    output_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item.

    `status`: "done" (then `value` is the handler's answer), "failed" (the handler raised; `value` names the error), "timeout",
    "memory" (an allocation failed), "crashed" (the worker died), "overflow" (too long an answer). `seconds`: wall-clock time.
    """

    status: Status
    value: Any = None
    seconds: float = 0.0


@dataclass(eq=False)
class _Worker:
    pid: int
    connection: socket.socket
    buffer: frames.FrameBuffer
    ready: bool = False
    outgoing: bytearray = field(default_factory=bytearray)
    pending: deque[int] = field(default_factory=deque)
    since: float = 0.0
    served: int = 0


class Pool:
    """Runs a function over JSON payloads in other processes.

    Args:
        handler: "module:function", from a JSON value to a JSON value; imported once, before workers are forked.
        limits: per item.
        workers: number of processes; None for one per available core.
        batch: most items sent to a worker at once. Each is still timed, and answered, on its own.
        worker_items: after this many items a worker is replaced, so that caches and leaks do not grow for ever.

    Safe to share between threads (calls take turns) and across `fork` (the child starts its own workers). Processes start at the
    first call and end with `close`, with the pool, or with the parent, however it ends.
    """

    def __init__(
        self,
        handler: str,
        limits: Limits | None = None,
        workers: int | None = None,
        batch: int = 32,
        worker_items: int = 20_000,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.workers = workers or len(os.sched_getaffinity(0))
        self._batch = batch
        self._worker_items = worker_items
        self._lock = threading.RLock()
        self._forget()

    def map(self, payloads: Iterable[Any], limits: Limits | None = None) -> list[Outcome]:
        """One outcome per payload, in order. `limits.seconds` of the call overrides the pool's."""
        payloads = list(payloads)
        outcomes = dict(self.unordered(payloads, limits))
        return [outcomes[index] for index in range(len(payloads))]

    def stream(self, payloads: Sequence[Any], limits: Limits | None = None) -> Iterator[Outcome]:
        """Outcomes in order, each as soon as it and those before it are known."""
        waiting: dict[int, Outcome] = {}
        following = 0
        for index, outcome in self.unordered(payloads, limits):
            waiting[index] = outcome
            while following in waiting:
                yield waiting.pop(following)
                following += 1

    def unordered(self, payloads: Sequence[Any], limits: Limits | None = None) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) as they come."""
        seconds = (limits or self.limits).seconds
        with self._lock:
            if not payloads:
                return
            self._start()
            todo = deque(range(len(payloads)))
            left = len(payloads)
            try:
                while left:
                    self._fill(payloads, todo)
                    for index, outcome in self._collect(seconds, todo):
                        left -= 1
                        yield index, outcome
            finally:
                for worker in [worker for worker in self._crew if worker.pending]:  # abandoned by the caller
                    self._kill(worker)

    def close(self) -> None:
        """End all processes. The pool may be used again; it then starts new ones."""
        with self._lock:
            if self._zygote is not None and self._owner == os.getpid():
                self._finalizer()
            self._forget()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the zygote and its workers."""
        return [] if self._zygote is None else [self._zygote.pid, *(worker.pid for worker in self._crew)]

    # --- processes

    def _forget(self) -> None:
        self._zygote: subprocess.Popen | None = None
        self._control: socket.socket | None = None
        self._crew: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._owner = os.getpid()

    def _start(self) -> None:
        if self._owner != os.getpid():  # a fork of the parent: the processes are not ours
            self._forget()
        if self._zygote is not None and self._zygote.poll() is not None:
            self._finalizer()
            self._forget()
        if self._zygote is None:
            self._start_zygote()

    def _start_zygote(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), self.handler, json.dumps(sys.path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        try:
            self._zygote = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise PoolError(f"cannot start a worker process: {error}; free memory or processes") from error
        finally:
            theirs.close()
        ours.settimeout(START_SECONDS)
        self._control = ours
        self._finalizer = weakref.finalize(self, _end, self._zygote, ours, self._crew, os.getpid())
        self._expect(1, f"imported {self.handler}")

    @property
    def _line(self) -> socket.socket:
        """To the zygote, once it is started."""
        assert self._control is not None
        return self._control

    def _expect(self, count: int, deed: str) -> bytes:
        """`count` bytes from the zygote."""
        data = b""
        try:
            while len(data) < count:
                part = self._line.recv(count - len(data))
                if not part:
                    break
                data += part
        except OSError:
            data = b""
        if len(data) < count:
            self._finalizer()
            self._forget()
            raise PoolError(f"the process that starts workers ended before it had {deed}; is the installation complete?")
        return data

    def _hire(self) -> None:
        ours, theirs = socket.socketpair()
        request = f"fork {self.limits.memory_bytes} {self.limits.output_bytes}".encode("ascii")
        try:
            socket.send_fds(self._line, [request], [theirs.fileno()])
        except OSError:
            pass  # the zygote is gone: `_expect` says so
        finally:
            theirs.close()
        pid = int(self._expect(20, "forked a worker"))
        ours.setblocking(False)
        worker = _Worker(pid, ours, frames.FrameBuffer(self.limits.output_bytes + 64), since=time.monotonic())
        self._crew.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _kill(self, worker: _Worker) -> None:
        """Kill a worker with everything it started, and have the zygote reap it."""
        self._selector.unregister(worker.connection)
        self._crew.remove(worker)
        _kill_group(worker.pid)
        worker.connection.close()
        with contextlib.suppress(OSError):  # the zygote is gone: `_expect` says so
            self._line.sendall(f"reap {worker.pid}".encode("ascii"))
        self._expect(6, "reaped a worker")

    # --- items

    def _fill(self, payloads: Sequence[Any], todo: deque[int]) -> None:
        """Give every idle worker a batch."""
        while todo and len(self._crew) < min(self.workers, len(todo) + sum(bool(worker.pending) for worker in self._crew)):
            self._hire()
        for worker in list(self._crew):
            if worker.pending or not worker.ready or not todo:
                continue
            if worker.served >= self._worker_items:
                self._kill(worker)
                self._hire()
                continue
            count = max(1, min(self._batch, len(todo) // (2 * self.workers)))
            chosen = [todo.popleft() for _ in range(min(count, len(todo)))]
            worker.pending.extend(chosen)
            worker.served += len(chosen)
            worker.outgoing += frames.encode([payloads[index] for index in chosen])
            worker.since = time.monotonic()
            self._send(worker)

    def _send(self, worker: _Worker) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while worker.outgoing:
                sent = worker.connection.send(worker.outgoing)
                del worker.outgoing[:sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outgoing else 0)
        if self._selector.get_key(worker.connection).events != events:
            self._selector.modify(worker.connection, events, worker)

    def _collect(self, seconds: float, todo: deque[int]) -> Iterator[tuple[int, Outcome]]:
        """Wait for answers, or for the next deadline, and yield what is decided."""
        for key, events in self._selector.select(self._patience(seconds)):
            worker = key.data
            if events & selectors.EVENT_WRITE:
                self._send(worker)
            if events & selectors.EVENT_READ:
                yield from self._read(worker, todo)
        now = time.monotonic()
        for worker in list(self._crew):
            limit = seconds if worker.ready else START_SECONDS
            if (worker.pending or not worker.ready) and now - worker.since > limit:
                yield from self._bury(worker, "timeout", todo)

    def _patience(self, seconds: float) -> float:
        """Seconds until the earliest deadline."""
        starts = [
            worker.since + (seconds if worker.ready else START_SECONDS)
            for worker in self._crew
            if worker.pending or not worker.ready
        ]
        return max(0.0, min(starts) - time.monotonic()) + 0.001 if starts else 0.0

    def _read(self, worker: _Worker, todo: deque[int]) -> Iterator[tuple[int, Outcome]]:
        try:
            data = worker.connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            yield from self._bury(worker, "crashed", todo)
            return
        worker.buffer.add(data)
        try:
            while (frame := worker.buffer.pop()) is not None:
                now = time.monotonic()
                if frame == "ready" and not worker.ready:
                    worker.ready = True
                elif worker.pending and _well_formed(frame):
                    if frame[0] == "memory":  # it ends by itself; do not wait for that
                        yield from self._bury(worker, "memory", todo)
                        return
                    yield worker.pending.popleft(), Outcome(frame[0], frame[1], now - worker.since)
                else:
                    raise ValueError
                worker.since = now
        except frames.FrameTooLong:
            yield from self._bury(worker, "overflow", todo)
        except ValueError:  # not what our side of a worker sends
            yield from self._bury(worker, "crashed", todo)

    def _bury(self, worker: _Worker, status: Status, todo: deque[int]) -> Iterator[tuple[int, Outcome]]:
        """Kill a worker; the item it was at is lost, those behind it in the batch are done again."""
        was_ready = worker.ready
        elapsed = time.monotonic() - worker.since
        pending = list(worker.pending)
        worker.pending.clear()
        self._kill(worker)
        if not was_ready:
            raise PoolError("a worker process did not start; is there enough memory for another one?")
        todo.extendleft(reversed(pending[1:]))
        if pending:
            yield pending[0], Outcome(status, None, elapsed)


def _well_formed(frame: Any) -> bool:
    return isinstance(frame, list) and len(frame) == 2 and frame[0] in ("done", "failed", "memory", "overflow")


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group may not exist yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _end(zygote: subprocess.Popen, control: socket.socket, crew: list[_Worker], owner: int) -> None:
    """Kill the workers and the zygote. Does nothing in a fork of the parent."""
    if os.getpid() != owner:
        return
    for worker in crew:
        _kill_group(worker.pid)
        worker.connection.close()
    control.close()
    zygote.kill()
    zygote.wait()
