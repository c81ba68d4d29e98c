"""CPU threads of this process. No torch at import."""

from __future__ import annotations

import os

from unified_rl.base.errors import ConfigError

#: Threads for each processor beyond which a number is a slip; a process cannot start any number of them.
_PER_PROCESSOR, _ALWAYS = 8, 64


def check_threads(count: int) -> None:
    """Raise ConfigError where this machine has far fewer processors than `count`."""
    here = os.cpu_count() or 1
    most = max(_PER_PROCESSOR * here, _ALWAYS)
    if count > most:
        raise ConfigError(f"threads={count} is too many for this machine's {here} processors; set {most} at most, or 0 for all")


def use_threads(count: int) -> None:
    """Let torch compute on so many threads; 0 leaves the choice to it. Raises ConfigError."""
    check_threads(count)
    if count:
        import torch

        torch.set_num_threads(count)
