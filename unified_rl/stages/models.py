"""The model that a configuration brings: whether it is here, and in what precision it is loaded. No torch at import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from unified_rl.base.errors import ConfigError
from unified_rl.config.schema import Config
from unified_rl.models.adapter_files import CONFIG, WEIGHTS, is_adapter, read_adapter
from unified_rl.models.directory import check_directory

if TYPE_CHECKING:
    import torch

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def check_model_path(config: Config) -> None:
    """Refuse a pretrained model that is not on this machine. Raises ConfigError with the command that fetches it."""
    name, path = config.architecture.name, config.model.path
    if not path and name:
        raise ConfigError(
            f"stack={config.stack} starts from the pretrained model {name}, which you bring: hf download {name} --local-dir DIR, "
            "then set model.path=DIR"
        )
    for setting, place in (("model.path", path), ("model.lora.path", config.model.lora.path)):
        if _HUB_NAME.fullmatch(place) and not Path(place).exists():
            raise ConfigError(
                f"{setting}={place} is no folder here; if it is a model of the Hugging Face Hub, fetch it yourself: hf download "
                f"{place} --local-dir DIR, then set {setting}=DIR"
            )
    if path and Path(path).exists():
        check_directory(Path(path))
    if config.model.lora.path:
        _check_adapter(config.model.lora.path, path)
    if config.model.lora.rank:
        from unified_rl.models.adapters import require_peft

        require_peft()


def _check_adapter(folder: str, base: str) -> None:
    if not is_adapter(Path(folder)):
        raise ConfigError(f"model.lora.path={folder} holds no adapter ({CONFIG}, {WEIGHTS}); a whole model goes to model.path")
    if base:
        read_adapter(Path(folder), Path(base))
    else:
        check_directory(Path(folder))


def try_model(config: Config) -> None:
    """Load the model that a configuration brings, and try what rows and what decoding are right for it; then forget it.

    Before a run directory exists, so that a model which cannot be used leaves nothing behind. Not where a run goes on.

    Raises:
        CheckpointError, ConfigError: it cannot be loaded, or is refused, in one line.
    """
    path, lora = config.model.path or config.model.lora.path, config.model.lora
    if not path or Path(config.run_dir).exists():
        return
    from unified_rl.models.adapters import add_adapter
    from unified_rl.models.merging import merge
    from unified_rl.models.policy_model import load_policy
    from unified_rl.sampling.torch_generator import TorchGenerator

    model, tokenizer = load_policy(path, model_dtype(config), config.model.device)
    if config.model.path and lora.path:
        merge(model, read_adapter(Path(lora.path), Path(path)))
    if lora.rank:
        add_adapter(model, lora, Path(path), config.seed)
    if config.generator.name == "torch":
        TorchGenerator(model, tokenizer).look_at_decoding()


def model_dtype(config: Config) -> torch.dtype:
    """The precision of `model.dtype`."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[config.model.dtype]
