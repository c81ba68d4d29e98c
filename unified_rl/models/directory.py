"""A model's directory before anything is loaded from it: whether it is a whole model that can be trained. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.models import adapter_files

HEAD_FILES = "*_head.safetensors"
REMEDY = "Give the directory of a complete checkpoint in Hugging Face format, or make it again"


def check_directory(path: Path) -> None:
    """Refuse a directory that is neither a whole model in a trainable precision nor an adapter of one.

    Raises:
        CheckpointError: no such directory, a file is missing or damaged, or it holds both a model and an adapter, or quantised
            weights.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such directory. {REMEDY}")
    if adapter_files.is_adapter(path):
        if (path / "config.json").is_file():
            raise CheckpointError(
                f"{path} holds a whole model and an adapter beside it, which would not be a part of the model: "
                f"{adapter_files.MERGE}, or take one of the two away"
            )
        check_directory(adapter_files.root_of(path))
        return
    if not (path / "config.json").is_file():
        raise CheckpointError(f"{path}: config.json is missing. {REMEDY}")
    config = _settings(path / "config.json")
    if config.get("quantization_config"):
        raise CheckpointError(
            f"{path} holds quantised weights (quantization_config in config.json), which are not trained here: give the model as "
            "it was before it was quantised"
        )
    weights = [file for pattern in ("*.safetensors", "*.bin") for file in path.glob(pattern) if not file.match(HEAD_FILES)]
    if not weights:
        raise CheckpointError(f"{path}: model.safetensors (or its shards) is missing. {REMEDY}")


def declared_eos(path: Path) -> Any:
    """The ids that end a response as generation_config.json, else config.json says; None where neither does."""
    for name in ("generation_config.json", "config.json"):
        if (path / name).is_file() and (found := _settings(path / name).get("eos_token_id")) is not None:
            return found
    return None


def _settings(file: Path) -> dict[str, Any]:
    try:
        settings = files.read_json(file)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot load the model: {error}. {REMEDY}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{file}: holds no settings. {REMEDY}")
    return settings
