"""Processes of their own for what needs its own process group, memory or interpreter state, with a limit on their time."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class Printed(NamedTuple):
    """What a process printed, and why it did not come to its end ("": it did)."""

    text: str
    why: str


def printed_by(command: Sequence[str], limit: float) -> Printed:
    """What a process printed within the limit, in seconds. Where it failed, its last words are printed here."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        env = {**os.environ, **_OFFLINE}
        try:
            status = subprocess.run(
                command, stdout=out, stderr=errors, timeout=max(limit, 1.0), check=False, env=env
            ).returncode
            why = f"{' '.join(command[1:3])} ended with {status}" if status else ""
        except subprocess.TimeoutExpired:
            why = f"not done within {limit:.0f} s"
        out.seek(0)
        errors.seek(0)
        printed, said = out.read(), errors.read()
    if why and said.strip():
        print(f"  {why}: {said.strip()[-600:]}", flush=True)
        why += f": {said.strip().splitlines()[-1][:200]}"
    return Printed(printed, why)
