"""A run's policy for others: whole weights in Hugging Face format, or the adapter that it trained in PEFT's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, RunDirectoryError
from unified_rl.models.adapter_files import CONFIG, PREFIX, WEIGHTS, Adapter, is_adapter, read_adapter
from unified_rl.models.merging import low_rank_pairs
from unified_rl.models.policy_model import load_policy, load_tokenizer, save_policy
from unified_rl.records import runs
from unified_rl.stages import stored
from unified_rl.stages.models import model_dtype


def export_policy(run_dir: Path, out: Path, merged: bool = False) -> str:
    """Write the policy of a run's latest checkpoint to a new folder; returns what was written, in words.

    Args:
        merged: adapters become a part of the weights; else the run's, with all that it stands on, is one of the whole model.

    Raises:
        CheckpointError: the run has no checkpoint, or what it stands on is not there. RunDirectoryError: `out` is not empty.
    """
    config, checkpoint = stored.read_run(run_dir), runs.latest_checkpoint(run_dir)
    if checkpoint is None:
        raise CheckpointError(f"{run_dir} has no checkpoint to export; train it first (or go on with resume=true)")
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise RunDirectoryError(f"{out} exists already and is not empty; choose another out=..., or delete it")
    policy = checkpoint / "policy"
    with files.replacing(out) as aside:
        if is_adapter(policy) and not merged:
            return f"{out}: an adapter of rank {_write_adapter(policy, aside)}, whose {CONFIG} names its base model"
        if is_adapter(policy):
            save_policy(*load_policy(policy, model_dtype(config)), aside)
        else:
            shutil.copytree(policy, aside)
    return f"{out}: whole weights in Hugging Face format"


def _write_adapter(policy: Path, folder: Path) -> int:
    """Adapters on adapters, down to the whole model, as one adapter of that; returns its rank."""
    chain = [read_adapter(policy)]
    while is_adapter(chain[-1].base):
        chain.append(read_adapter(chain[-1].base))
    root = chain[-1].base
    if len(chain) == 1:
        shutil.copytree(policy, folder)
        return chain[0].rank
    joined, rank = _joined(chain), sum(adapter.rank for adapter in chain)
    folder.mkdir(parents=True)
    save_file(joined, folder / WEIGHTS, metadata={"format": "pt"})
    settings = json.loads((policy / CONFIG).read_text(encoding="utf-8"))
    targets = sorted({name.removeprefix(PREFIX).rpartition(".lora_")[0].rpartition(".")[2] for name in joined})
    changed = {
        "base_model_name_or_path": str(root),
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        "target_modules": targets,
    }
    files.write_json(folder / CONFIG, settings | changed)
    load_tokenizer(policy).save_pretrained(folder)
    return rank


def _joined(chain: list[Adapter]) -> dict[str, Tensor]:
    """Sums of scale B A as one B A: the As below, the scaled Bs beside each other; 0 where an adapter leaves a layer alone."""
    pairs = [{name: (a, b) for name, a, b in low_rank_pairs(adapter)} for adapter in chain]
    tensors: dict[str, Tensor] = {}
    for name in sorted(set().union(*pairs)):
        like_a, like_b = next(found[name] for found in pairs if name in found)
        parts_a, parts_b = [], []
        for adapter, found in zip(chain, pairs, strict=True):
            nothing = torch.zeros(adapter.rank, like_a.shape[1]), torch.zeros(like_b.shape[0], adapter.rank)
            a_RI, b_OR = found.get(name, nothing)
            parts_a.append(a_RI.float())
            parts_b.append(adapter.scale * b_OR.float())
        tensors[f"{PREFIX}{name}.lora_A.weight"] = torch.cat(parts_a)
        tensors[f"{PREFIX}{name}.lora_B.weight"] = torch.cat(parts_b, dim=1)
    return tensors
