"""Who has which cores and GPUs: a ledger that never hands out the same GPU, or more cores than there are, twice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from unified_rl.base.errors import ConfigError


@dataclass(frozen=True)
class Grant:
    """What one cell may use until it is given back. gpus: as in CUDA_VISIBLE_DEVICES (numbers, or UUIDs)."""

    cores: int
    gpus: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """The variables that hold a process, and all it starts, to the grant."""
        threads = str(self.cores)
        return {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
            "TOKENIZERS_PARALLELISM": "false",
        }


class Ledger:
    """The cores and GPUs of one launcher.

    Raises:
        ConfigError: no core at all, or a GPU that is listed twice.
    """

    def __init__(self, cores: int, gpus: Sequence[str] = ()) -> None:
        if cores < 1 or len(set(gpus)) < len(gpus):
            raise ConfigError(f"cores={cores}, gpus={','.join(gpus)}: there must be a core, and every GPU is named once")
        self.cores, self.gpus = cores, tuple(gpus)
        self._free_cores, self._free_gpus = cores, list(gpus)

    def check(self, cores: int, gpus: int) -> None:
        """Raise ConfigError where a request could never be granted."""
        if cores > self.cores or gpus > len(self.gpus):
            raise ConfigError(
                f"a cell asks for {cores} cores and {gpus} GPUs, but there are {self.cores} and {len(self.gpus)}; "
                "set cell_cores=N or cell_gpus=N lower, or use launcher=slurm"
            )

    def take(self, cores: int, gpus: int) -> Grant | None:
        """A grant, or None while too little is free."""
        self.check(cores, gpus)
        if cores > self._free_cores or gpus > len(self._free_gpus):
            return None
        taken, self._free_gpus = self._free_gpus[:gpus], self._free_gpus[gpus:]
        self._free_cores -= cores
        return Grant(cores, tuple(taken))

    def give_back(self, grant: Grant) -> None:
        self._free_cores += grant.cores
        # In the machine's order, so that a cell of several GPUs gets neighbours where it can.
        self._free_gpus = [gpu for gpu in self.gpus if gpu in {*self._free_gpus, *grant.gpus}]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def gpus() -> tuple[str, ...]:
    """GPUs this process may use, as in CUDA_VISIBLE_DEVICES; () where there are none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    try:
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(found.split())
