"""The configuration of a stored run, read with the care that a stranger's run directory deserves. No torch at import.

Whoever evaluates a run means to run its model, not programs that came with it. Only the task's code is needed for that, and it is
imported unasked only where it is the user's own file: outside the run directory, and unchanged since the run recorded its hash.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.records import provenance, seals
from unified_rl.stages.fingerprints import content

_OURS = Path(__file__).parents[1]


def read_run(run_dir: Path, allow_code: bool = False) -> Config:
    """The configuration that a run directory holds. Nothing that it names is imported.

    Args:
        allow_code: whether the run may also do without the sandbox, if its configuration says so.

    Raises:
        ConfigError: there is none, or it is no configuration. DataError: it is not what the run recorded.
    """
    path = run_dir / "config.yaml"
    seals.check_file(run_dir, path.name)
    config = loading.load_resolved(path)
    return config if allow_code else replace(config, task=replace(config.task, allow_unsandboxed=False))


def check_code(task: str, run_dir: Path, allow_code: bool = False) -> None:
    """Refuse to import a task's code that may be a stranger's.

    Args:
        task: the name of the task, as the run directory has it.

    Raises:
        ConfigError: with the reason, and what allows it.
    """
    place = task.rpartition(":")[0]
    if allow_code or not place:
        return
    reason = _stranger(place, run_dir)
    if reason:
        raise ConfigError(
            f"{run_dir} names {task} for its task, {reason}; look at that code, then allow it with allow_code=true"
        )


def _stranger(place: str, run_dir: Path) -> str | None:
    """Why the file or module may not be the user's own; None if it is."""
    path = Path(place) if place.endswith(".py") else located(place)
    if path is None:
        return "which is no file of yours"
    if any(_within(path, base) for base in _installed()):
        return "which is not code of yours but of an installed package"
    if _within(path, run_dir):
        return "which lies inside the run directory"
    recorded = ((provenance.read(run_dir / provenance.FILE) or {}).get("inputs") or {}).get("code of task.name")
    if not path.is_file() or recorded != content(path):
        return f"and {path} is not the file that the run recorded" if recorded else f"and the run recorded no hash of {path}"
    return None


def located(module: str) -> Path | None:
    """The source file of a module, found without importing anything."""
    origin, places = None, None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), places)
        if spec is None:
            return None
        origin, places = spec.origin, spec.submodule_search_locations
    return Path(origin) if origin and origin.endswith(".py") else None


def _within(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, as it is written or once its links are followed."""
    return path.absolute().is_relative_to(folder.absolute()) or path.resolve().is_relative_to(folder.resolve())


def _installed() -> list[Path]:
    names = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [_OURS, *(Path(name) for name in {*names, *site.getsitepackages(), *sys.path} if name and _is_installed(Path(name)))]


def _is_installed(path: Path) -> bool:
    return path.name in ("site-packages", "dist-packages", "lib-dynload") or path == Path(sysconfig.get_path("stdlib"))
