"""A process that dies with the one that started it: `python -m unified_rl.launch.tether PARENT_PID MODULE [ARGUMENT ...]`

A launcher that is killed by SIGKILL can end nobody itself. On Linux the kernel does it: each worker asks for a signal at its
parent's death. Elsewhere a worker goes on to the end of its cell, and the cell's lock keeps a second launcher from starting it
twice.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, signal_number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `signal_number` when `parent` dies; end at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)  # what it runs may have children of its own to end
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
