"""Checkpoints of a DeepSpeed engine: each rank writes its part; another number of ranks reads them by the universal format."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.base.types import Ranks
from unified_rl.training.unpickling import check_parts

#: DeepSpeed's name for one of several checkpoints in a folder; here there is one.
TAG = "state"
FACTS = "facts.json"


def save(engine: Any, folder: Path, updates: int, ranks: Ranks, whole: bool = True) -> None:
    """Write the engine's state to a new folder that all ranks see.

    Args:
        whole: with the weights that are not trained.

    Raises:
        CheckpointError: the disk is full or cannot be written.
    """
    try:
        engine.save_checkpoint(str(folder), tag=TAG, save_latest=False, exclude_frozen_parameters=not whole)
        if ranks.first:
            files.write_json(folder / FACTS, {"ranks": ranks.size, "updates": updates})
    except (OSError, RuntimeError) as error:  # torch.save says RuntimeError where the disk is full
        raise CheckpointError(
            f"{folder}: cannot write the trainer's state ({_first_line(error)}); free space, then resume"
        ) from error


def load(engine: Any, folder: Path, ranks: Ranks, whole: bool = True) -> int:
    """Read what `save` wrote, on any number of ranks: the number of updates behind it.

    Raises:
        CheckpointError: it is missing or damaged, or does not fit the model.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        check_parts(folder)
        if facts["ranks"] == ranks.size:
            engine.load_checkpoint(str(folder), tag=TAG, load_module_strict=whole)
        else:
            _load_universal(engine, folder, ranks, whole)
    except (OSError, RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise CheckpointError(
            f"{folder}: cannot read the trainer's state ({_first_line(error)}); resume from an earlier checkpoint"
        ) from error
    return int(facts["updates"])


def _load_universal(engine: Any, folder: Path, ranks: Ranks, whole: bool) -> None:
    """The first rank puts the parts together beside the checkpoint; every rank then takes its new part of them."""
    checkpoint = folder.parent
    aside = checkpoint.with_name(f".{checkpoint.name}.{folder.name}.universal")
    if ranks.first:
        files.remove(aside)
        _convert(folder / TAG, aside / TAG)
    ranks.barrier()
    engine._config.load_universal_checkpoint = True  # read at each load; as configuration it would hold for the engine's life
    try:
        engine.load_checkpoint(str(aside), tag=TAG, load_module_strict=whole)
    finally:
        engine._config.load_universal_checkpoint = False
    _separate_step_counts(engine)
    ranks.barrier()
    if ranks.first:
        files.remove(aside)


def _convert(parts: Path, universal: Path) -> None:
    """DeepSpeed's converter, as a program: it forks workers, which a process with threads and a process group must not."""
    universal.mkdir(parents=True)
    line = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
    places = ["--input_folder", str(parts), "--output_folder", str(universal)]
    done = subprocess.run([*line, *places], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ds_to_universal: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def _separate_step_counts(engine: Any) -> None:
    """A universal load gives one tensor as Adam's step count to all of ZeRO-3's groups, which would then all advance it."""
    for state in engine.optimizer.optimizer.state.values():
        if "step" in state and hasattr(state["step"], "clone"):
            state["step"] = state["step"].clone()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
