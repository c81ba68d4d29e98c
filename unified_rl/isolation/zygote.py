"""The process that workers are forked from: it has imported what they need, runs nothing itself, and starts one in milliseconds.

    parent --control socket--> zygote --fork--> workers
    parent <-----one socket each, JSON frames-----> workers

The parent passes each worker's socket through the control socket. A killed worker stays a zombie until the parent says "reap", so
a process id is never another's by the time the parent uses it. Nobody outlives the parent: the zygote ends with the control
socket, and the kernel kills the workers with the zygote.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from unified_rl.isolation import frames

PR_SET_PDEATHSIG = 1
PARENT_CHECK_SECONDS = 2.0


def main(control_fd: int, parent_pid: int, handler: str) -> None:
    """Serve the parent until it is gone. `handler` is "module:function", imported once, before any fork."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    control = socket.socket(fileno=control_fd)
    module, _, function = handler.partition(":")
    handle = getattr(importlib.import_module(module), function)
    libc = ctypes.CDLL(None, use_errno=True)
    control.sendall(b"R")
    while True:
        readable, _, _ = select.select([control], [], [], PARENT_CHECK_SECONDS)
        if not readable:
            if os.getppid() != parent_pid:
                os._exit(0)
            continue
        request, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not request:
            os._exit(0)
        word, *numbers = request.decode("ascii").split()
        if word == "fork":
            _fork(control, descriptors[0], handle, libc, [int(number) for number in numbers])
        else:
            for number in numbers:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(int(number), 0)
            control.sendall(b"reaped")


def _fork(control: socket.socket, descriptor: int, handle: Callable, libc: ctypes.CDLL, limits: list[int]) -> None:
    zygote = os.getpid()
    pid = os.fork()
    if pid:
        os.close(descriptor)
        control.sendall(f"{pid:<20}".encode("ascii"))
        return
    code = 1
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != zygote:  # died between the fork and the line above
            os._exit(0)
        os.setsid()  # its own group: whatever it starts is killed with it
        control.close()
        _limit(*limits)
        _work(socket.socket(fileno=descriptor), handle, limits[1])
        code = 0
    finally:
        os._exit(code)


def _limit(memory_bytes: int, output_bytes: int) -> None:
    """Cap the address space and forbid core files."""
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(connection: socket.socket, handle: Callable[[Any], Any], output_bytes: int) -> None:
    """Answer batches: one frame [status, value] per item, sent as soon as it is done."""
    connection.sendall(frames.encode("ready"))
    while (batch := frames.receive(connection)) is not None:
        for payload in batch:
            status, reply = _answer(handle, payload)
            if len(reply) > output_bytes:
                status, reply = "overflow", frames.encode(["overflow", None])
            connection.sendall(reply)
            if status == "memory":  # whatever the failed allocation left behind goes with the process
                return


def _answer(handle: Callable[[Any], Any], payload: Any) -> tuple[str, bytes]:
    try:
        return "done", frames.encode(["done", handle(payload)])
    except MemoryError:
        return "memory", frames.encode(["memory", None])
    except BaseException as error:  # a handler's SystemExit is an item's failure too
        return "failed", frames.encode(["failed", f"{type(error).__name__}: {error}"[:500]])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
