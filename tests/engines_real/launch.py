"""Starts programs on several ranks of this machine, as a user would: torchrun, gloo, one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

JOBS = Path(__file__).with_name("deepspeed_jobs.py")


def torchrun(ranks: int, *line: str) -> list[str]:
    """The command line of a launch; `--standalone` finds a free port."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *line]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore::FutureWarning"}


def run_job(scratch: Path, ranks: int, **job: Any) -> Any:
    """Run a job of `deepspeed_jobs.py` and return what its first rank found."""
    description, out = scratch / "job.json", scratch / "found.pt"
    description.write_text(json.dumps({**job, "out": str(out)}))
    out.unlink(missing_ok=True)
    line = [str(JOBS), str(description)]
    done = subprocess.run(
        torchrun(ranks, *line) if ranks > 1 else [sys.executable, *line],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return torch.load(out, weights_only=False)
