"""`unified-rl ...` in a process of its own that can really be killed, without the seconds that importing torch takes each time.

It is forked from a process that has imported what takes long, has run nothing and has one thread (Python's "forkserver").
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest.mock import patch

from tiny import environment

#: What `train`, `iterate` and `evaluate` import.
PRELOADED = ["unified_rl.cli", "unified_rl.stages.training", "unified_rl.stages.iterate", "unified_rl.stages.evaluate"]
PRELOADED += ["transformers.models.llama.modeling_llama", "pyarrow.parquet", "scipy.stats"]


def _run(words: tuple[str, ...], output: str) -> None:
    from unified_rl.cli import main

    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(list(words)))


class Command:
    """One command under way. `returncode`: None while it runs, negative where a signal ended it."""

    def __init__(self, *words: str) -> None:
        handle, name = tempfile.mkstemp(suffix=".txt")
        os.close(handle)
        self._output = Path(name)
        context: ForkServerContext = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(target=_run, args=(words, name))
        with patch.dict(os.environ, environment()):  # one thread: read when the server starts
            self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.join()

    def finish(self, seconds: float = 200) -> str:
        """Wait for the end; what it printed."""
        self._process.join(seconds)
        assert self.returncode is not None, f"still running after {seconds} s: {self.printed()}"
        return self.printed()

    def printed(self) -> str:
        return self._output.read_text()
