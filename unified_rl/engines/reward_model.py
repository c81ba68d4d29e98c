"""Reward models: a decoder with a scalar head, one logit after each token read. Building, loading, training loss and serving.

The logit after a token says how right the response is up to there. An outcome reward model (ORM) is read at the response's last
token, a process reward model (PRM) at the last token of each step; which of the two a model is, is what it was trained on.

The packed engine reads a scalar head at the position that *predicts* a token, before that token is seen. So a response is given
one token more than it has: its logit after token t is then the output at place t + 1, and the last place belongs to the added
token, which predicts nothing, is never read, and may be any id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, DataError
from unified_rl.base.types import Prompt, Response
from unified_rl.engines.forward import response_values
from unified_rl.engines.layout import Layout
from unified_rl.engines.packing import Members, PackedRows, TokenSequence
from unified_rl.engines.passes import evaluate_role
from unified_rl.engines.policy_model import ScalarModel, copy_of_decoder
from unified_rl.engines.roles import Outputs

CARD_FILE = "reward_model.json"
KINDS = ("outcome", "process")
_ANY_TOKEN = 0
_SEQUENCES_AT_ONCE = 4096


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
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
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


def as_sequence(prompt: Prompt, token_ids: np.ndarray) -> TokenSequence:
    """A response (int64 [T]) as the trainer takes it: with the added token, so that all T tokens are read.

    Raises:
        DataError: the response has no tokens.
    """
    if len(token_ids) == 0:
        raise DataError(f"a response to prompt {prompt.id!r} has no tokens, so there is nothing to score; drop it")
    return TokenSequence(np.array(prompt.token_ids), np.append(token_ids, _ANY_TOKEN), prompt.id)


def reward_role(model: nn.Module, packed: PackedRows) -> Outputs:
    """Output "logit" at place t + 1: after token t was read. Place 0 is after the prompt alone."""
    return {"logit": response_values(model, packed)}  # type: ignore[arg-type]


class RewardLoss:
    """Binary cross-entropy with logits, a mean over all labelled tokens of the update:

        L = 1/M sum_{(i,t) labelled} -[ y log sigma(s) + (1 - y) log(1 - sigma(s)) ],   s = logit after token t of response i

    y may be any number in 0..1 (soft labels). M counts the labels of the whole update, before any split into micro-batches or
    over processes. An outcome label is one per response, at its last token; a process label one per step, so a response of six
    steps counts three times as much as one of two.

    Args of the constructor:
        ends: per sequence, int64 [K], the tokens that carry a label. labels: per sequence, [K] in 0..1; NaN is no label.

    Raises:
        DataError: labels that do not match their places or lie outside 0..1, or none at all.
    """

    def __init__(self, ends: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> None:
        known = [_known(index, *given) for index, given in enumerate(zip(ends, labels, strict=True))]
        self._count = sum(len(label_K) for _, label_K in known)
        if not self._count:
            raise DataError("no response of this update has a label; check the step labels and the segmentation")
        width = max(int(end_K.max(initial=0)) for end_K, _ in known) + 2
        label_BT = np.full((len(known), width), np.nan)  # at the place of the output after each labelled token; NaN elsewhere
        for row, (end_K, label_K) in zip(label_BT, known, strict=True):
            row[end_K + 1] = label_K
        self._label_BT = torch.from_numpy(label_BT)

    def __call__(self, outputs: Outputs, members: Members) -> Tensor:
        logits_bT = outputs["logit"]
        self._label_BT = self._label_BT.to(logits_bT)  # once
        label_bT = nn.functional.pad(
            self._label_BT[members.rows_b], (0, logits_bT.shape[1] - self._label_BT.shape[1]), value=torch.nan
        )
        label_N = members.tokens(label_bT)
        known_N = ~label_N.isnan()
        loss_N = nn.functional.binary_cross_entropy_with_logits(
            members.tokens(logits_bT), torch.where(known_N, label_N, 0), reduction="none"
        )
        return torch.where(known_N, loss_N, 0).sum() / self._count


def _known(index: int, end_K: np.ndarray, label_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labelled places of sequence `index`, int64 [K], and their labels; those that are NaN left out. Raises DataError."""
    end_K, label_K = np.asarray(end_K, dtype=np.int64), np.asarray(label_K, dtype=np.float64)
    if end_K.shape != label_K.shape:
        raise DataError(f"sequence {index} has {len(end_K)} labelled places but {len(label_K)} labels")
    known = ~np.isnan(label_K)
    if ((label_K[known] < 0) | (label_K[known] > 1)).any():
        raise DataError(f"sequence {index} has a label outside 0..1: {label_K[known].tolist()}")
    return end_K[known], label_K[known]


class RewardScorer:
    """Serves a reward model in batches. Implements `rewards.model.Scorer`.

    Attributes:
        kind: "outcome" or "process": where its logits mean something.
    """

    def __init__(self, model: RewardModel, kind: str, layout: Layout) -> None:
        self.kind = kind
        self._model, self._layout = model, layout

    def scores(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[np.ndarray]:
        """Logits, float32 [T] per response, after each of its tokens; `responses[i]` answers `prompts[i]`.

        Raises:
            DataError: a response without tokens, or longer than the model's context.
        """
        logits: list[np.ndarray] = []
        for start in range(0, len(responses), _SEQUENCES_AT_ONCE):
            chunk = slice(start, start + _SEQUENCES_AT_ONCE)
            sequences = [
                as_sequence(prompt, response.token_ids)
                for prompt, response in zip(prompts[chunk], responses[chunk], strict=True)
            ]
            outputs_BT = evaluate_role(self._model, reward_role, sequences, self._layout)["logit"].float().cpu().numpy()
            logits += [row[1 : len(one.response_ids)] for row, one in zip(outputs_BT, sequences, strict=True)]
        return logits
