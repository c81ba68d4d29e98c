"""The policy before any training: the model that the user brings, or a Llama from scratch. No torch until it is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.types import Task
from unified_rl.config.schema import Config
from unified_rl.models import adapter_files
from unified_rl.presets.chain import POLICY, Kind
from unified_rl.records.artifacts import Artifact, ArtifactStore, Stage
from unified_rl.stages.fingerprints import content, path_fingerprint, world_settings
from unified_rl.stages.pretraining_data import fingerprint, located
from unified_rl.stages.world import problems_task
from unified_rl.tasks.demonstration_files import read_demonstrations
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer

RECIPE = 1
#: Of section model: where it is and what is done with it, which its weights do not depend on.
_NOT_OF_SHAPE = frozenset({"path", "dtype", "device", "lora", "tokenizer"})


def stage(config: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage | Artifact:
    """The untrained policy: the given Hugging Face or adapter's directory, or a Llama built from the configuration."""
    path, adapter = config.model.path, config.model.lora.path
    if path and adapter:
        return _on_base(path, adapter)
    if path or adapter:
        return Artifact(path_fingerprint(path or adapter), Path(path or adapter))
    shape = {name: value for name, value in asdict(config.model).items() if name not in _NOT_OF_SHAPE}
    return Stage(
        kind="base",
        settings={"model": shape, **_words_from(config)},
        inputs={},
        make=lambda folder, inputs, store: _build_base(config, folder, store),
        recipe=RECIPE,
    )


def _words_from(config: Config) -> dict[str, Any]:
    """What the tokenizer depends on: the one that is given, or the task."""
    if config.model.tokenizer:
        return {"tokenizer": fingerprint(config, config.model.tokenizer)}
    return {**world_settings(config), "demonstrations": config.sft.demonstrations}


def _on_base(path: str, adapter: str) -> Stage:
    """An adapter on another base model than it names, or on the same elsewhere."""

    def make(folder: Path, inputs: Mapping[str, Artifact], store: object) -> None:
        copied = shutil.copytree(adapter, folder, dirs_exist_ok=True)
        file = Path(copied) / adapter_files.CONFIG
        settings = json.loads(file.read_text(encoding="utf-8"))
        files.write_json(file, {**settings, "base_model_name_or_path": str(Path(path).resolve())})

    settings = {"base": path_fingerprint(path), "adapter": content(Path(adapter)), "path": str(Path(path).resolve())}
    return Stage(kind="adapted", settings=settings, inputs={}, make=make, recipe=RECIPE)


def _build_base(config: Config, folder: Path, store: ArtifactStore) -> None:
    from unified_rl.models.policy_model import build_llama, load_tokenizer, save_policy

    shape, given = config.model, config.model.tokenizer
    tokenizer = load_tokenizer(located(config, given, store)) if given else _make_tokenizer(problems_task(config), config)
    model = build_llama(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        init_std=shape.init_std,
        seed=shape.seed,
    )
    shutil.rmtree(folder)  # whatever a killed attempt left
    save_policy(model, tokenizer, folder)


def _make_tokenizer(task: Task, config: Config) -> Any:
    """The closed vocabulary of a task that states its `corpus()`, else byte-level BPE trained on the demonstrations' text."""
    if hasattr(task, "corpus"):
        return word_tokenizer(task.corpus())
    mixed = [item for part in config.data.demonstrations for item in read_demonstrations(part) if item]
    demonstrations = mixed or task.demonstrations(config.sft.demonstrations or None)
    texts = [text for item in demonstrations for text in (item.problem.question, item.solution)]
    return train_tokenizer(texts, vocab_size=config.model.vocabulary)


KIND = Kind(
    provides=POLICY,
    stage=stage,
    brought=lambda config: bool(config.model.path or config.model.lora.path or config.architecture.name),
    words=lambda config: "the base model",
)
