"""The run directory, written: resolved configuration, provenance, metrics, samples, checkpoints. No torch.

docs/run_directory.md describes the files; `run_reading` reads them. Deterministic facts (metrics, curve, samples) are cut back to
the checkpoint on resume, so a run that was killed at any moment ends with the same files, byte for byte, as one that was not.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, ConfigError, DataError, RunDirectoryError
from unified_rl.records import logs, provenance, seals
from unified_rl.records.config_file import as_text, flat, read_settings
from unified_rl.records.progress import announce

DETERMINISTIC = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")
TIMINGS = "timings.jsonl"
#: In each checkpoint: the extents of the logs that belong to it.
RECORDS = "records.json"
RECORDS_SCHEMA = 1

#: What a run that was killed while it was being created leaves behind.
STARTED = frozenset(
    {".lock", ".config.yaml.tmp", "checkpoints", "status.json", ".status.json.tmp", files.MANIFEST, f".{files.MANIFEST}.tmp"}
)

#: Settings that may change when a run is resumed: where it is, how long it goes on, and what does not change its numbers.
RESUMABLE = frozenset(
    {
        *("run_dir", "resume", "artifacts", "label", "trainer.steps"),
        *("logging.keep_checkpoints", "logging.sinks", "logging.page_every"),
    }
)

#: Of section evaluation, what also shapes a learning curve by samples; and the setting that makes it one.
_SAMPLED_BY, _BY_SAMPLES = ("temperature", "top_p", "top_k"), "logging.curve_samples"
_CHECKPOINT = re.compile(r"step_(?:\d{6}|[1-9]\d{6,17})", re.ASCII)


class Run:
    """One run directory, held exclusively by this process.

    Attributes:
        path: the directory. step: steps behind its latest checkpoint (0 before the first).
        observers: called with the name and the entry of everything that is logged, once it is written.
    """

    def __init__(self, path: Path, *, step: int, lock: Any) -> None:
        self.path = path
        self.step = step
        self.observers: list[Callable[[str, Mapping[str, Any]], None]] = []
        self._lock = lock
        self._logs: dict[str, logs.Log] = {}
        self._files: dict[str, Any] = {}  # extents of the small files, as this process wrote them
        self._made: list[Path] = []  # folders that were not there before; [] for a run that is taken up

    @classmethod
    def open(cls, path: Path, config: Mapping[str, Any], *, resume: bool) -> Run:
        """Create a run directory, or take up an existing one where `resume` allows.

        Raises:
            RunDirectoryError: it exists and `resume` is false, is held by another process, or cannot be written.
            ConfigError: the configuration differs from that of the run to be resumed.
            CheckpointError, DataError: the checkpoint, or what belongs to it, is damaged; nothing was changed.
        """
        exists = _holds_run(path)
        if exists and not resume:
            raise RunDirectoryError(f"{path} already holds a run; choose another run_dir, or set resume=true to go on with it")
        made = [] if exists else [folder for folder in (path, *path.parents) if not folder.exists()] or [path / "checkpoints"]
        with files.disk_errors(path):
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            lock = held(path / ".lock")
        run = cls(path, step=0, lock=lock)
        run._made = made
        try:
            run._lay_down(config, run._verified(config) if exists else {})
        except BaseException:
            run.close()
            raise
        return run

    def close(self) -> None:
        """Let go of the directory."""
        self._lock.close()

    def abandon(self) -> bool:
        """Undo the creation of a run that was refused before it recorded anything; False, and nothing done, for any other."""
        if not self._made or self._logs or self.has_checkpoint:
            return False
        for item in self.path.iterdir():
            files.remove(item)
        for folder in self._made:
            if folder != self.path / "checkpoints":
                folder.rmdir()
        return True

    # ---- facts -------------------------------------------------------------------------------------------------------------

    def log(self, name: str, entry: Mapping[str, Any]) -> None:
        """Append one object with a `step` to `name`.jsonl."""
        self._log(f"{name}.jsonl").append(entry)
        for observe in self.observers:
            observe(name, entry)

    def last_entry(self, name: str) -> dict[str, Any]:
        """The last object of `name`.jsonl, {} if there is none."""
        path = self.path / f"{name}.jsonl"
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def entries(self, name: str) -> list[dict[str, Any]]:
        """Every object of `name`.jsonl, in order."""
        path = self.path / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []

    @property
    def has_checkpoint(self) -> bool:
        """Whether any checkpoint, be it of step 0, has been written."""
        return bool(self._checkpoints())

    @property
    def saved_steps(self) -> int:
        """Steps behind the latest checkpoint on the disk: also of one whose writing was interrupted at its very end."""
        return max(self._checkpoints(), default=0)

    def write_provenance(self, inputs: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
        """Record what the run is made of: inputs (keys and hashes of what it reads), and command, code and packages per session.

        Args:
            machine: facts of this session that another machine may change, such as what it promises of samples.

        Raises:
            ConfigError: a resumed run would read other inputs than it began with.
        """
        path = self.path / provenance.FILE
        before = provenance.read(path) if self.has_checkpoint else None
        facts = provenance.extended(before, inputs, machine, self.step, path)
        for line in provenance.changes(facts):
            announce(f"{self.path}: {line}")
        files.write_json(path, facts)
        self._files[provenance.FILE] = seals.extent(path.read_bytes())

    def set_status(self, state: str, step: int, steps: int, error: str | None = None, ended_by: str | None = None) -> None:
        """Say where the run stands, and what its files hold.

        Args:
            state: "running", "finished", "interrupted" or "failed". ended_by: what a finished run came up to.
        """
        extents = {**self._files, **{name: log.extent() for name, log in self._logs.items() if log.path.exists()}}
        facts = {"state": state, "step": step, "steps": steps, "error": error, "ended_by": ended_by}
        seals.write_status(self.path, facts, extents)

    def _check(self, name: str, recorded: Mapping[str, Any]) -> None:
        """Raise CheckpointError where a file is not what the last session recorded of it."""
        found = seals.problem(self.path / name, recorded[name]) if name in recorded else None
        if found:
            raise CheckpointError(f"{self.path / name} {found}; restore it from a copy, or use a new run_dir")

    def _log(self, name: str) -> logs.Log:
        if name not in self._logs:
            self._logs[name] = logs.Log(self.path / name)
        return self._logs[name]

    # ---- checkpoints -------------------------------------------------------------------------------------------------------

    def save_checkpoint(self, step: int, save: Callable[[Path], None], keep: int) -> Path:
        """Write a checkpoint aside, hash it, rename it into place, and drop all but the `keep` latest.

        Args:
            save: fills the folder it is given.
        """
        final = self._checkpoint_path(step)
        with files.replacing(final) as aside:
            aside.mkdir()
            save(aside)
            files.write_json(aside / RECORDS, self._records())
            files.write_manifest(aside)
        self._drop_old(keep)
        self.step = step
        return final

    def latest_checkpoint(self) -> Path | None:
        """The latest complete checkpoint, verified; None where there is none yet. Raises CheckpointError if it is damaged."""
        return latest_checkpoint(self.path)

    def _drop_old(self, keep: int) -> None:
        """Delete all checkpoints but the latest `keep`."""
        with files.disk_errors(self.path):
            for old in self._checkpoints()[:-keep]:
                files.discard(self._checkpoint_path(old))

    def _records(self) -> dict[str, Any]:
        """What belongs to a checkpoint that is written now. The logs are on the disk before it is."""
        found = {name: self._log(name) for name in DETERMINISTIC}
        for log in found.values():
            log.sync()
        files.sync(self.path)
        return {"schema": RECORDS_SCHEMA, "logs": {name: log.extent() for name, log in found.items()}}

    # ---- taking up -----------------------------------------------------------------------------------------------------------

    def _verified(self, config: Mapping[str, Any]) -> dict[str, bytes]:
        """The logs as they were at the latest checkpoint, once everything that is read on resume is found whole."""
        try:
            seals.read_status(self.path)
            recorded = seals.listed(self.path)
        except DataError as error:  # it is written anew in any case
            announce(f"{error}; resuming, which writes it again")
            recorded = {}
        self._check("config.yaml", recorded)
        self._refuse_other_settings(config)
        checkpoint = latest_checkpoint(self.path)
        if checkpoint:
            self._check(provenance.FILE, recorded)
        self.step = max(self._checkpoints(), default=0)
        known = _read_records(checkpoint) if checkpoint else dict.fromkeys(DETERMINISTIC, logs.EMPTY)
        contents = {name: logs.restored(self.path / name, known[name], checkpoint or self.path) for name in DETERMINISTIC}
        return contents | {TIMINGS: logs.cut_to_step(self.path / TIMINGS, self.step if checkpoint else -1)}

    def _lay_down(self, config: Mapping[str, Any], contents: Mapping[str, bytes]) -> None:
        """Make the directory what it was when the latest checkpoint was written, under this configuration."""
        self.set_status("running", self.step, int(config["trainer"]["steps"]))  # lists no file that is about to change
        for leftover in (self.path / "checkpoints").glob(".*.tmp"):
            files.remove(leftover)
        self._drop_old(int(config["logging"]["keep_checkpoints"]))  # a kill may have come before it was done
        for name, data in contents.items():
            path = self.path / name
            if path.exists() and path.read_bytes() != data:
                with files.replacing(path) as aside:
                    aside.write_bytes(data)
        stored = self.path / "config.yaml"
        files.write_text(stored, as_text(config))
        self._files["config.yaml"] = seals.extent(stored.read_bytes())
        if contents:
            for name in (*DETERMINISTIC, TIMINGS):
                self._log(name)

    def _refuse_other_settings(self, config: Mapping[str, Any]) -> None:
        before, now = flat(read_settings(self.path / "config.yaml")), flat(config)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key not in RESUMABLE)
        # Evaluation has its own settings afterwards; of them the learning curve is shaped by the limit, and its samples by more.
        shaping = {f"evaluation.{name}" for name in ("max_new_tokens", *(_SAMPLED_BY if before.get(_BY_SAMPLES) else ()))}
        changed = [key for key in changed if not key.startswith("evaluation.") or key in shaping]
        if changed:
            listed = "; ".join(f"{key}: {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:5])
            raise ConfigError(
                f"{self.path} was started with other settings ({listed}); resume with those, or use a new run_dir"
            )
        done = max(self._checkpoints(), default=0)
        if now["trainer.steps"] < done:
            raise ConfigError(f"{self.path} has {done} steps behind it; trainer.steps={now['trainer.steps']} cannot undo them")
        if now["trainer.schedule"] != "constant" and self._checkpoints() and before["trainer.steps"] != now["trainer.steps"]:
            raise ConfigError(
                f"trainer.steps changes from {before['trainer.steps']} to {now['trainer.steps']}, but trainer.schedule="
                f"{now['trainer.schedule']} has already shaped the learning rate for the former; only constant can be extended"
            )

    def _checkpoint_path(self, step: int) -> Path:
        return self.path / "checkpoints" / checkpoint_name(step)

    def _checkpoints(self) -> list[int]:
        return _checkpoint_steps(self.path)


class FollowedRun(Run):
    """The run directory as the ranks after the first one hold it: they read what the first has opened, and write none of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, step=max(_checkpoint_steps(path), default=0), lock=None)

    def close(self) -> None: ...

    def log(self, name: str, entry: Mapping[str, Any]) -> None: ...

    def write_provenance(self, inputs: Mapping[str, Any], machine: Mapping[str, Any]) -> None: ...

    def set_status(self, state: str, step: int, steps: int, error: str | None = None, ended_by: str | None = None) -> None: ...

    def abandon(self) -> bool:
        return False

    def save_checkpoint(self, step: int, save: Callable[[Path], None], keep: int) -> Path:
        """Take part in saving, where the weights are spread over the ranks; the first rank makes the checkpoint of it."""
        final = self._checkpoint_path(step)
        save(files.aside_of(final))
        self.step = step
        return final


def latest_checkpoint(run_dir: Path) -> Path | None:
    """The latest complete checkpoint of a run directory, verified against its hashes.

    Raises:
        CheckpointError: a file of it is missing or changed.
    """
    steps = _checkpoint_steps(run_dir)
    if not steps:
        return None
    path = run_dir / "checkpoints" / checkpoint_name(steps[-1])
    problem = files.damage(path)
    if problem:
        raise CheckpointError(f"checkpoint {path} is damaged: {problem}; delete that folder to go on from the one before it")
    return path


def _holds_run(path: Path) -> bool:
    """Whether a folder holds a run; False for one that is empty or not there. Raises RunDirectoryError: it holds something else."""
    with files.disk_errors(path):
        if (path / "config.yaml").exists():
            return True
        if path.exists() and not path.is_dir():
            raise RunDirectoryError(f"{path} is a file; choose another run_dir")
        if not path.is_dir() or all(item.name in STARTED for item in path.iterdir()):
            return False
        if (path / provenance.FILE).exists():
            raise RunDirectoryError(f"{path / 'config.yaml'} is missing; restore it from a copy, or choose another run_dir")
        raise RunDirectoryError(f"{path} exists, is not empty, and holds no run; choose another run_dir")


def _read_records(checkpoint: Path) -> dict[str, Any]:
    """The extents of the logs that a verified checkpoint holds."""
    path = checkpoint / RECORDS
    try:
        found = files.read_json(path)
    except (OSError, ValueError):
        found = None
    known = found.get("logs") if isinstance(found, dict) and found.get("schema") == RECORDS_SCHEMA else None
    if not isinstance(known, dict) or set(known) != set(DETERMINISTIC):
        raise CheckpointError(f"{path} is missing, or of another version of unified_rl; use that version, or a new run_dir")
    return known


def checkpoint_name(step: int) -> str:
    """The folder of a checkpoint, inside `checkpoints`."""
    return f"step_{step:06d}"


def _checkpoint_steps(run_dir: Path) -> list[int]:
    """Steps of the checkpoints, ascending. Whatever else lies among them is no checkpoint."""
    found = [path for path in (run_dir / "checkpoints").glob("step_*") if _CHECKPOINT.fullmatch(path.name) and path.is_dir()]
    return sorted(int(path.name.removeprefix("step_")) for path in found)


def held(path: Path) -> Any:
    """Hold a lock file exclusively until the returned file is closed (also by `with`). The kernel drops it if the process dies.

    Raises:
        RunDirectoryError: another process holds it.
    """
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise RunDirectoryError(
            f"{path.parent} is in use by another process ({path.name}); wait for it, or choose another"
        ) from error
    return file
