"""Processes of their own for what needs its own process group, memory or interpreter state, with a limit on their time."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def printed_by(command: Sequence[str], limit: float) -> str:
    """What a process printed within the limit, in seconds. Where it failed, its last words are passed on."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        env = {**os.environ, **_OFFLINE}
        try:
            status = subprocess.run(
                command, stdout=out, stderr=errors, timeout=max(limit, 1.0), check=False, env=env
            ).returncode
        except subprocess.TimeoutExpired:
            status = 0
        out.seek(0)
        errors.seek(0)
        printed, said = out.read(), errors.read()
    if status:
        print(f"  {' '.join(command[1:3])} ended with {status}: {said.strip()[-600:]}", flush=True)
    return printed
