"""What the key of an artefact says of the world outside the configuration: data, code and models, by their content. No torch."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.config.schema import Config
from unified_rl.config.stages import SCHEDULES, SHAPE
from unified_rl.config.training import TrainerConfig
from unified_rl.models.adapter_files import CONFIG, WEIGHTS, is_adapter, read_adapter
from unified_rl.stages import world
from unified_rl.tasks.reading import HUB, hub_commit

#: Of section trainer: packing, which results do not depend on; a budget and a compiled pass, which stages do not have.
_NOT_IN_KEY = frozenset({"compiled", "micro_batch_tokens", "row_tokens", "token_budget", "budget_counts"})
_FACTS_OF_TASKS: dict[str, dict[str, Any]] = {}


def world_settings(config: Config) -> dict[str, Any]:
    """What an artefact depends on through the task: its settings, its code, and the content of the data it reads."""
    settings = {
        "task": asdict(config.task),
        "data": path_fingerprint(config.data.path),
    } | _mix_settings(config)
    return settings | _task_facts(config)


def user_code(config: Config) -> dict[str, str]:
    """Fingerprints of the user's own code (FILE.py:NAME or package.module:NAME) of a run, by the field that names it."""
    named = {
        "method": config.method,
        "coefficient": config.coefficient.name,
        **{f"{where}.source": judge.source for where, judge in config.reward.judges.items()},
        "task.name": config.task.name,
    }
    places = {field: _source(name.rpartition(":")[0]) for field, name in named.items()}
    # Code is small, and edited between two runs of one session: it is read again for each.
    return {f"code of {field}": content(place) for field, place in places.items() if place is not None}


def _source(place: str) -> Path | None:
    """The file that `FILE.py` or `package.module` is; None where it is neither. Both have been imported."""
    if not place or place.endswith(".py"):
        return Path(place) if place else None
    origin = getattr(sys.modules.get(place), "__file__", None)
    return Path(origin) if origin else None


def trainer_settings(trainer: TrainerConfig) -> dict[str, Any]:
    """What trained weights depend on in section trainer."""
    unread = {*SHAPE} - {*SCHEDULES[trainer.schedule]}
    return {name: value for name, value in asdict(trainer).items() if name not in _NOT_IN_KEY | unread}


def sampler_key(config: Config) -> dict[str, str]:
    """What the key of stored samples says of the engine that drew them; nothing for the torch generator as it is."""
    name = "compiled" if config.generator.compiled else config.generator.name
    return {} if name == "torch" else {"generator": name}


def draws_key(config: Config) -> dict[str, int]:
    """What the key of a frozen policy's samples says of their random numbers, which go by `sft.seed`; nothing for seed 0.

    Starts that are drawn anew would otherwise answer with the same noise, and not be draws of their own.
    """
    return {"drawn_by": config.sft.seed} if config.sft.seed else {}


def path_fingerprint(path: str) -> str:
    """A hash of the content of a file or folder, or of the commit of a `hub:` data set; "" for no path.

    The content is read whole the first time in a process that the path is asked for; sizes and times of change are not trusted.

    Raises:
        DataError: there is nothing at `path`.
    """
    if not path:
        return ""
    if path.startswith(HUB):
        return hub_commit(path)
    root = Path(path)
    if not root.exists():
        raise DataError(f"{path} does not exist; check data.path and model.path")
    return _content_once(root.resolve())


@cache
def _content_once(root: Path) -> str:
    return adapter_content(root) if is_adapter(root) else content(root)


def adapter_content(root: Path) -> str:
    """A hash of an adapter and of all that it stands on, wherever that is."""
    named = json.loads((root / CONFIG).read_text(encoding="utf-8"))
    under = path_fingerprint(str(read_adapter(root).base))
    parts = [named | {"base_model_name_or_path": under}, files.file_hash(root / WEIGHTS)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def adapter_settings(config: Config) -> dict[str, Any]:
    """What trained weights depend on in section model.lora; nothing where all weights are trained."""
    lora = config.model.lora
    return {"lora": {"rank": lora.rank, "scale": lora.scale, "targets": sorted(lora.targets)}} if lora.rank else {}


def content(root: Path) -> str:
    """A hash of the names and bytes of a file, or of all below a folder."""
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if file.is_file():
            digest.update(f"{file.relative_to(root)} {files.file_hash(file)}\n".encode())
    return digest.hexdigest()[:20]


def _task_facts(config: Config) -> dict[str, Any]:
    """The task's code and, where it states one, its identity. Building a task may read its data, so each is built once."""
    asked = json.dumps([asdict(config.task), config.data.path], sort_keys=True, default=str)
    if asked not in _FACTS_OF_TASKS:
        task = world.problems_task(config)
        facts: dict[str, Any] = {"task_code": path_fingerprint(inspect.getfile(type(task)))}
        _FACTS_OF_TASKS[asked] = facts | ({"task_identity": task.identity} if hasattr(task, "identity") else {})
    return _FACTS_OF_TASKS[asked]


def _mix_settings(config: Config) -> dict[str, Any]:
    """What an artefact depends on through a mix of demonstrations; {} without one."""
    data = config.data
    if not data.mixed:
        return {}
    parts = [asdict(part) | {"content": path_fingerprint(part.path)} for part in data.demonstrations]
    return {"mix": parts, "batch": data.batch, "context_tokens": data.context_tokens}
