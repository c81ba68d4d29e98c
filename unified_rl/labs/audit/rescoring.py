"""What a dump lacks, from a model's folder: a tokenizer, and the log-probs of responses under the model or a reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unified_rl.base.errors import DataError
from unified_rl.labs.audit.readers import Rollout
from unified_rl.models.policy_model import load_policy
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.passes import evaluate_role

ROW_TOKENS, MICRO_BATCH_TOKENS = 2048, 8192


def rescored(rollouts: Sequence[Rollout], folder: str, name: str) -> str:
    """Give every rollout the log-probs of its tokens under a model, at temperature 1; returns what was done, in words.

    Raises:
        DataError: a rollout has no prompt as text, or no tokens that the model has.
    """
    model, tokenizer = load_policy(Path(folder), torch.float32, "cpu")
    sequences = [_sequence(one, tokenizer, len(tokenizer)) for one in rollouts]
    longest = max(sequence.input_tokens for sequence in sequences) + 1
    layout = Layout(max(ROW_TOKENS, longest), max(MICRO_BATCH_TOKENS, longest))
    logp_BT = evaluate_role(model, policy_role(1.0), sequences, layout)["logp"].double()
    for one, row in zip(rollouts, logp_BT, strict=True):
        one.logps[name] = row[: len(one.tokens or [])].tolist()
    return f"{name} are those of {folder}, at temperature 1, in float32"


def tokenizer_of(folder: str) -> Any:
    """The tokenizer that a folder holds.

    Raises:
        DataError: it holds none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DataError(f"tokenizer={folder} holds no tokenizer ({str(error).splitlines()[0][:80]})") from error


def _sequence(one: Rollout, tokenizer: object, size: int) -> TokenSequence:
    tokens = one.tokens or []
    if one.prompt_text is None:
        raise DataError(f"{one.where} has no prompt as text, which model= and reference= need to score its response")
    if not all(isinstance(token, int) and 0 <= token < size for token in tokens) or not tokens:
        raise DataError(f"{one.where}: its tokens are no numbers below {size}, which the model's tokenizer has")
    prompt = tokenizer(one.prompt_text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    return TokenSequence(np.array(prompt, np.int64), np.array(tokens, np.int64), one.where)
