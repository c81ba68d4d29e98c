"""`unified-rl corpus ...` in a process that kills itself at a chosen file operation, and what a run directory then holds."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from pathlib import Path


def _run(words: list[str], kill_at: int, after: bool, log: str) -> None:
    done, replace = [0], Path.replace

    def counted(self: Path, target: Path) -> Path:
        done[0] += 1
        if done[0] == kill_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        made = replace(self, target)
        if done[0] == kill_at and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    Path.replace = counted  # type: ignore[method-assign]
    from unified_rl.cli import main

    with Path(log).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os._exit(main(words))


def run(words: list[str], kill_at: int, after: bool, log: Path) -> int:
    """Run a command; its exit code, -9 where it was killed. kill_at: renamings until then, 0 = never. after: the last."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unified_rl.cli", "unified_rl.corpus.jobs", "unified_rl.corpus.report"])
    process = context.Process(target=_run, args=(words, kill_at, after, str(log)))
    process.start()
    process.join(120)
    assert process.exitcode is not None, log.read_text()
    return process.exitcode


def held(folder: Path) -> dict[str, str]:
    """Every file below a folder, and its hash; logs are left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "logs" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
