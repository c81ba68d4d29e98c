"""Reward models: a decoder with a scalar head, one logit after each token read. Building, saving, loading.

The logit after a token says how right the response is up to there. An outcome reward model (ORM) is read at the response's last
token, a process reward model (PRM) at the last token of each step; which of the two a model is, is what it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.models.policy_model import ScalarModel, copy_of_decoder

CARD_FILE = "reward_model.json"
KINDS = ("outcome", "process")


class RewardModel(ScalarModel):
    """Logit of "right so far" after each token."""

    head_file = "reward_head.safetensors"
    kind = "reward"


@dataclass(frozen=True)
class Card:
    """What a reward model is, kept beside its weights.

    kind: outcome | process. segmentation: name of the step segmentation it was trained on (`rewards.steps`). labels: what it was
    trained to predict. base: what its backbone was copied from, and further provenance.
    """

    kind: str
    segmentation: str
    labels: str = ""
    base: Mapping[str, Any] = field(default_factory=dict)


def build_reward_model(policy: PreTrainedModel) -> RewardModel:
    """A reward model on a copy of a causal language model's decoder, with a head of zeros: every logit is 0 at first."""
    return RewardModel(copy_of_decoder(policy)).eval()


def save_reward_model(model: RewardModel, tokenizer: PreTrainedTokenizerBase, card: Card, path: Path) -> None:
    """Backbone and tokenizer in Hugging Face format, head and card beside them. Not atomic. Raises CheckpointError."""
    model.save(path)
    tokenizer.save_pretrained(path)
    files.write_json(Path(path) / CARD_FILE, asdict(card))


def load_reward_model(
    path: Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[RewardModel, PreTrainedTokenizerBase, Card]:
    """What `save_reward_model` wrote, in eval mode.

    Raises:
        CheckpointError: something is missing or damaged.
    """
    path = Path(path)
    card = read_card(path)
    model = RewardModel.load(path, dtype, device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot load the tokenizer: {error}; restore its files") from error
    return model, tokenizer, card


def read_card(path: Path) -> Card:
    """What a reward model's directory says of it, without its weights.

    Raises:
        CheckpointError: the directory holds no reward model, or its card is damaged.
    """
    file = Path(path) / CARD_FILE
    try:
        card = Card(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{file} is missing or unreadable ({error}); give a reward model's directory") from error
    if card.kind not in KINDS:
        raise CheckpointError(f"{file}: kind={card.kind!r} is not one of {', '.join(KINDS)}; restore the file")
    return card
