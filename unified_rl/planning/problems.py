"""What `explain` says of the problems that a configuration names: they are looked at where they are here. No torch."""

from __future__ import annotations

from pathlib import Path

from unified_rl.config.schema import Config
from unified_rl.tasks import build_task
from unified_rl.tasks.reading import HUB


def described(config: Config) -> dict[str, str]:
    """A line about `data.path`: the columns that are read and how the file is divided, as far as the task says; {} without one.

    Raises:
        ConfigError, DataError: the data are here and cannot be used.
    """
    path, task = config.data.path, config.task
    if not path:
        return {}
    if path.startswith(HUB):
        return {"problems": f"{path}, which is fetched by the run and was not looked at"}
    if not Path(path).exists():
        return {"problems": f"{path} is not here, so that nothing of it was looked at"}
    if ":" in task.name:  # a user's own code, which explain does not run
        return {"problems": path}
    made = build_task(task.name, **task.options, path=path)
    return {"problems": made.in_words() if hasattr(made, "in_words") else path}
