"""The run directory, written: resolved configuration, provenance, metrics, samples, checkpoints. No torch.

docs/run_directory.md describes the files; `run_reading` reads them. Deterministic facts (metrics, curve, samples) are cut back to
the checkpoint on resume, so a run that was killed at any moment ends with the same files, byte for byte, as one that was not.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, ConfigError, RunDirectoryError

DETERMINISTIC = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")
TIMINGS = "timings.jsonl"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "omegaconf", "numpy", "scipy", "pandas", "pyarrow")

#: What a run that was killed while it was being created leaves behind.
STARTED = frozenset({".lock", ".config.yaml.tmp", "checkpoints", "status.json", ".status.json.tmp"})

#: Settings that may change when a run is resumed: where it is, how long it goes on, and what does not change its numbers.
RESUMABLE = frozenset({"run_dir", "resume", "artifacts", "label", "trainer.steps", "logging.keep_checkpoints", "logging.sinks"})


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

    @classmethod
    def open(cls, path: Path, config: Mapping[str, Any], *, resume: bool) -> Run:
        """Create a run directory, or take up an existing one where `resume` allows.

        Raises:
            RunDirectoryError: it exists and `resume` is false, is held by another process, or cannot be written.
            ConfigError: the configuration differs from that of the run to be resumed.
        """
        exists = (path / "config.yaml").exists()
        if exists and not resume:
            raise RunDirectoryError(f"{path} already holds a run; choose another run_dir, or set resume=true to go on with it")
        if path.exists() and not path.is_dir():
            raise RunDirectoryError(f"{path} is a file; choose another run_dir")
        if path.is_dir() and not exists and any(item.name not in STARTED for item in path.iterdir()):
            raise RunDirectoryError(f"{path} exists, is not empty, and holds no run; choose another run_dir")
        with files.disk_errors(path):
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            lock = held(path / ".lock")
        run = cls(path, step=0, lock=lock)
        if exists:
            run._refuse_other_settings(config)
            latest_checkpoint(path)  # a damaged one is refused before anything is cut back to it
        with files.replacing(path / "config.yaml") as aside:
            aside.write_text(OmegaConf.to_yaml(OmegaConf.create(dict(config))), encoding="utf-8")
            run._cut_back()
        return run

    def close(self) -> None:
        """Let go of the directory."""
        self._lock.close()

    # ---- facts -------------------------------------------------------------------------------------------------------------

    def log(self, name: str, entry: Mapping[str, Any]) -> None:
        """Append one object with a `step` to `name`.jsonl."""
        line = json.dumps(entry)  # ASCII: a line separator inside a model's text must not look like the end of the record
        path = self.path / f"{name}.jsonl"
        with files.disk_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        for observe in self.observers:
            observe(name, entry)

    def last_entry(self, name: str) -> dict[str, Any]:
        """The last object of `name`.jsonl, {} if there is none."""
        path = self.path / f"{name}.jsonl"
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return json.loads(lines[-1]) if lines else {}

    @property
    def has_checkpoint(self) -> bool:
        """Whether any checkpoint, be it of step 0, has been written."""
        return bool(self._checkpoints())

    def write_provenance(self, inputs: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
        """Record what the run is made of: inputs (keys and hashes of what it reads), and command, code and packages per session.

        Args:
            machine: facts of this session that another machine may change, such as what it promises of samples.

        Raises:
            ConfigError: a resumed run would read other inputs than it began with.
        """
        path = self.path / "provenance.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() and self.has_checkpoint else {"sessions": []}
        changed = [
            name for name, value in inputs.items() if name in before.get("inputs", {}) and before["inputs"][name] != value
        ]
        if changed:
            raise ConfigError(
                f"{self.path} cannot be resumed: its {', '.join(changed)} changed since it began (see {path}); "
                "restore what it read, or use a new run_dir"
            )
        session = {
            "from_step": self.step,
            "command": sys.argv,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in PACKAGES},
            "git": git_state(),
            **machine,
        }
        first = before["sessions"][0] if before["sessions"] else session
        facts = {**first, "inputs": dict(inputs), "sessions": [*before["sessions"], session]}
        files.write_json(path, facts)

    def set_status(self, state: str, step: int, steps: int, error: str | None = None, ended_by: str | None = None) -> None:
        """Say where the run stands: state is "running", "finished" or "failed"; ended_by: what a finished run came up to."""
        facts = {"state": state, "step": step, "steps": steps, "error": error, "ended_by": ended_by}
        files.write_json(self.path / "status.json", facts)

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
            files.write_manifest(aside)
        with files.disk_errors(final):
            for old in self._checkpoints()[:-keep]:
                files.remove(self._checkpoint_path(old))
        self.step = step
        return final

    def latest_checkpoint(self) -> Path | None:
        """The latest complete checkpoint, verified; None where there is none yet. Raises CheckpointError if it is damaged."""
        return latest_checkpoint(self.path)

    def _cut_back(self) -> None:
        """Make the directory what it was when the latest checkpoint was written."""
        for leftover in (self.path / "checkpoints").glob(".*.tmp"):
            files.remove(leftover)
        steps = self._checkpoints()
        self.step = steps[-1] if steps else 0
        last = self.step if steps else -1
        for name in (*DETERMINISTIC, TIMINGS):
            files.keep_lines(self.path / name, last)

    def _refuse_other_settings(self, config: Mapping[str, Any]) -> None:
        before, now = _flatten(_read_config(self.path / "config.yaml")), _flatten(config)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key not in RESUMABLE)
        # Evaluation has its own settings afterwards; only the length limit also shapes the learning curve.
        changed = [key for key in changed if not key.startswith("evaluation.") or key == "evaluation.max_new_tokens"]
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


def _read_config(path: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:
        raise ConfigError(f"{path} is not readable YAML ({error}); restore it, or use a new run_dir") from error


def git_state() -> dict[str, Any]:
    """Commit and cleanliness of the code's repository; nulls outside one."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno")) if commit else None}


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def checkpoint_name(step: int) -> str:
    """The folder of a checkpoint, inside `checkpoints`."""
    return f"step_{step:06d}"


def _checkpoint_steps(run_dir: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step_")) for path in (run_dir / "checkpoints").glob("step_*"))


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


def _flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, Mapping):
        return {prefix[:-1]: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flatten(value, f"{prefix}{key}.")
    return flat
