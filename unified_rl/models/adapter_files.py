"""Adapter directories in PEFT's format before anything is loaded from them: which model they change, and by what. No torch.

Read by ourselves, for a stranger's adapter_config.json can name modules that PEFT would import. What is more than W + scale B A
in linear layers is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.base.errors import CheckpointError

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
#: What PEFT's names of tensors begin with: its wrapper around the model.
PREFIX = "base_model.model."
MERGE = "merge it into its base model (PEFT: merge_and_unload, then save_pretrained) and give that directory"
#: Settings that say how an adapter was made, or are read here; any other one that is set makes a layer compute something else.
_PLAIN = frozenset(
    (
        *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
        *("r", "lora_alpha", "use_rslora", "lora_dropout", "bias", "fan_in_fan_out", "init_lora_weights", "eva_config"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        *("megatron_core", "qalora_group_size", "runtime_config"),
    )
)
#: Ways to draw A and B that leave W as it is; the others take a part of W into them.
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal")
_LONGEST_CHAIN = 100
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Adapter:
    """base: folder of what it changes, another adapter or a whole model. scale: of the product B A. rank: of A and B."""

    folder: Path
    base: Path
    rank: int
    scale: float

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return any((folder / name).exists() for name in (CONFIG, WEIGHTS, PICKLE))


def read_adapter(folder: Path, base: Path | None = None) -> Adapter:
    """What a folder's adapter_config.json says.

    Args:
        base: of the adapter, in place of the one that it names.

    Raises:
        CheckpointError: files are missing or damaged, it is no plain LoRA, or its base model is not here.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise CheckpointError(
            f"{file} is missing, so that the adapter beside it means nothing; give the adapter's whole folder"
        )
    if not (folder / WEIGHTS).is_file():
        remedy = "save it as safetensors (PEFT: save_pretrained)" if (folder / PICKLE).exists() else "give its whole folder"
        raise CheckpointError(f"{folder} holds an adapter without {WEIGHTS}; {remedy}")
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    except (OSError, ValueError, TypeError, KeyError, ZeroDivisionError, AttributeError) as error:
        raise CheckpointError(
            f"{file}: not the settings of a LoRA adapter ({error!r:.80}); save it again, or {MERGE}"
        ) from error
    if other := _other_than_plain(settings):
        raise CheckpointError(f"{folder} holds an adapter that is more than W + scale B A ({other}): {MERGE}")
    return Adapter(folder, base or _base(file, settings), rank, scale)


def root_of(folder: Path) -> Path:
    """The whole model under an adapter, and under what that stands on; the folder itself where it holds none.

    Raises:
        CheckpointError: see `read_adapter`; or it stands on itself.
    """
    for _ in range(_LONGEST_CHAIN):
        if not is_adapter(folder):
            return folder
        folder = read_adapter(folder).base
    raise CheckpointError(f"{folder}: adapters that stand on each other in a circle; name another base model in their {CONFIG}")


def _other_than_plain(settings: Mapping[str, Any]) -> str:
    """What of its settings makes it more than a plain adapter; "" = nothing."""
    kind = settings.get("peft_type")
    if kind != "LORA":
        return f"peft_type={kind!r:.40}"
    if settings.get("bias", "none") != "none":
        return f"bias={settings['bias']!r:.40}"
    start = settings.get("init_lora_weights", True)
    if isinstance(start, str) and start not in _PLAIN_STARTS:
        return f"init_lora_weights={start!r:.40}"
    return next((f"{name}={value!r:.40}" for name, value in settings.items() if name not in _PLAIN and value), "")


def _base(file: Path, settings: Mapping[str, Any]) -> Path:
    name = settings.get("base_model_name_or_path")
    if isinstance(name, str) and name and Path(name).is_dir():
        return Path(name)
    where = f"set model.lora.path={file.parent} and model.path=BASE_DIR"
    if isinstance(name, str) and _HUB_NAME.fullmatch(name):
        where = f"fetch it (hf download {name} --local-dir BASE_DIR) and {where}"
    raise CheckpointError(f"{file}: its base model {str(name)!r:.200} is no folder here; {where}")
