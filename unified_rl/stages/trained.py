"""What trained stages have in common: a run directory inside the artefact's folder, taken up again after a kill, with progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, ConfigError, DataError, RunDirectoryError
from unified_rl.base.types import Ranks
from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.records import runs
from unified_rl.records.progress import progress

StepHook = Callable[[int, dict[str, float]], None]


def run_inside(folder: Path, config: Config, ranks: Ranks, train: Callable[[Config, StepHook], object]) -> None:
    """Run a training inside an artefact's folder, going on from what a killed attempt left there.

    What was left by an attempt with other incidental settings (threads, packing), which the key does not hold, is begun again.

    Args:
        train: called with the configuration of the run in that folder, by all ranks together.
    """
    config = replace(config, run_dir=str(folder), resume=True)
    if ranks.first and _holds_another_run(folder, config):
        files.remove(folder)
        folder.mkdir()
    with shown_by_first(ranks, config.label, config.trainer.steps) as on_step:
        train(config, on_step)


@contextlib.contextmanager
def opened(config: Config, ranks: Ranks) -> Iterator[runs.Run]:
    """The run directory, opened by the first rank before the others look at it; a failure is noted in its status."""
    first = runs.Run.open(Path(config.run_dir), loading.as_dict(config), resume=config.resume) if ranks.first else None
    ranks.barrier()
    run = first or runs.FollowedRun(Path(config.run_dir))
    try:
        yield run
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, (ConfigError, DataError, CheckpointError)) and run.abandon():
            raise  # it was refused before it began: the mended command finds the place as this one did
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(RunDirectoryError):  # a full disk cannot note that it is full
            run.set_status(state, run.saved_steps, config.trainer.steps, str(error) or type(error).__name__)
        raise
    finally:
        run.close()


def shown_by_first(ranks: Ranks, label: str, steps: int) -> contextlib.AbstractContextManager[StepHook]:
    """Progress on the terminal, of one rank for all."""
    return progress(label, steps) if ranks.first else contextlib.nullcontext(lambda *_: None)


def _holds_another_run(folder: Path, config: Config) -> bool:
    stored = folder / "config.yaml"
    return stored.exists() and bool(loading.other_settings(stored, config))
