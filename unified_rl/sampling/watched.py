"""Waiting for another process, but not for a dead one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from typing import Protocol, TypeVar

T = TypeVar("T")
#: Seconds between looks at the process.
HEARTBEAT = 0.5


class Living(Protocol):
    """As much of `multiprocessing.Process` as is looked at."""

    def is_alive(self) -> bool: ...


def watched(call: Callable[[], T], process: Living) -> T:
    """The result of a call that waits for `process`, which it may do for ever if that dies.

    The call is made in a thread of its own. If the process dies under it, the thread is left behind and ends with the program.

    Raises:
        ChildProcessError: the process died before the call returned. Else what the call raises.
    """
    found: Future[T] = Future()

    def make() -> None:
        try:
            found.set_result(call())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=make, daemon=True).start()
    while True:
        alive = process.is_alive()
        try:
            return found.result(timeout=HEARTBEAT)
        except TimeoutError:
            if found.done():  # a time-out of the call itself
                raise
            if not alive:
                raise ChildProcessError("its process died") from None
