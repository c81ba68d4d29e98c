"""What a dump lacks, from a model's folder: a tokenizer, and the log-probs of responses under the model or a reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unified_rl.base.errors import DataError
from unified_rl.base.terminal import one_line
from unified_rl.labs.audit.readers import Rollout
from unified_rl.labs.options import AuditOptions
from unified_rl.models.policy_model import load_policy
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.passes import evaluate_role

ROW_TOKENS, MICRO_BATCH_TOKENS = 2048, 8192


def rescored(rollouts: Sequence[Rollout], folder: str, name: str) -> str:
    """Give the rollouts that lack them the log-probs of their tokens under a model, at temperature 1; returns what was done.

    Raises:
        DataError: a rollout has no prompt as text, or no tokens that the model has.
    """
    bare = [one for one in rollouts if name not in one.logps]
    if not bare:
        return f"{name} of every response is the dump's own; {folder} was not asked"
    model, tokenizer = load_policy(Path(folder), torch.float32, "cpu")
    sequences = [_sequence(one, tokenizer, len(tokenizer)) for one in bare]
    longest = max(sequence.input_tokens for sequence in sequences) + 1
    layout = Layout(max(ROW_TOKENS, longest), max(MICRO_BATCH_TOKENS, longest))
    logp_BT = evaluate_role(model, policy_role(1.0), sequences, layout)["logp"].double()
    for one, row in zip(bare, logp_BT, strict=True):
        one.logps[name] = row[: len(one.tokens or [])].tolist()
    whose = "" if len(bare) == len(rollouts) else f" of {len(bare)} of {len(rollouts)} responses, which had none,"
    return f"{name}{whose} are those of {folder}, at temperature 1, in float32"


def lengths_of(rollouts: Sequence[Rollout], options: AuditOptions) -> tuple[list[int], list[str]]:
    """Tokens of each response, and how they were counted. Text alone is tokenised again, or counted in characters.

    Raises:
        DataError: no response has a token.
    """
    folder = options.tokenizer or options.model or options.reference
    texts = [one for one in rollouts if one.tokens is None]
    notes = _by_limit([one for one in rollouts if one.tokens is not None], folder, options.limit)
    if texts and folder:
        share = _tokenise(texts, folder, options.limit)
        notes.append(f"text was tokenised again by {folder}: {share:.1%} of the responses come back as they were")
    elif texts:
        notes.append("lengths are of characters, for want of tokens: say tokenizer=DIR to have the text tokenised again")
    lengths = [len(one.text or "") if one.tokens is None else len(one.tokens) for one in rollouts]
    if not any(lengths):
        raise DataError(
            f"{one_line(options.rollouts)}: every response is empty, and so there is nothing to push; dump another step"
        )
    return lengths, notes + _unsaid(rollouts)


def _by_limit(rollouts: Sequence[Rollout], folder: str, limit: int) -> list[str]:
    """Whether responses with tokens were truncated, where the dump does not say: those of the limit's length without an end."""
    unsaid = [one for one in rollouts if one.truncated is None] if limit else []
    full = [one for one in unsaid if len(one.tokens or ()) >= limit]
    ends = _ends(folder) if full and folder else ()
    for one in unsaid:
        one.truncated = False
    for one in full:
        one.truncated = not one.tokens or one.tokens[-1] not in ends
    if not full or ends:
        return []
    return [
        f"the {len(full)} responses of limit={limit} tokens count as truncated: say tokenizer=DIR to have an end told apart"
    ]


def _ends(folder: str) -> tuple[int | str, ...]:
    """The end of a response, as a number and as a text."""
    tokenizer = tokenizer_of(folder)
    return () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id, tokenizer.eos_token)


def _unsaid(rollouts: Sequence[Rollout]) -> list[str]:
    unsaid = sum(one.truncated is None for one in rollouts)
    if unsaid == len(rollouts):
        return ["which responses were truncated is not in the dump: say limit=N, the longest that was allowed, in tokens"]
    return [f"{unsaid} of {len(rollouts)} responses do not say whether they were truncated, and count as not"] if unsaid else []


def _tokenise(rollouts: Sequence[Rollout], folder: str, limit: int) -> float:
    """Tokens of each text, with the end that dumps leave out where there was room for it; the share that comes back whole."""
    tokenizer = tokenizer_of(folder)
    ids = tokenizer([one.text or "" for one in rollouts], add_special_tokens=False)["input_ids"]
    back = tokenizer.batch_decode(ids, skip_special_tokens=False)
    same = sum(again == one.text for again, one in zip(back, rollouts, strict=True))
    end = tokenizer.eos_token_id
    for one, tokens in zip(rollouts, ids, strict=True):
        ended = end is not None and (not limit or len(tokens) < limit) and tokens[-1:] != [end]
        one.tokens = [*tokens, end] if ended else list(tokens)
        if limit and one.truncated is None:
            one.truncated = not ended and tokens[-1:] != [end]
    return same / len(rollouts)


def tokenizer_of(folder: str) -> Any:
    """The tokenizer that a folder holds.

    Raises:
        DataError: it holds none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DataError(f"tokenizer={one_line(folder)} holds no tokenizer ({str(error).splitlines()[0][:80]})") from error


def _sequence(one: Rollout, tokenizer: object, size: int) -> TokenSequence:
    tokens = one.tokens or []
    if one.prompt_text is None:
        raise DataError(f"{one.where} has no prompt as text, which model= and reference= need to score its response")
    if not all(isinstance(token, int) and 0 <= token < size for token in tokens) or not tokens:
        raise DataError(f"{one.where}: its tokens are no numbers below {size}, which the model's tokenizer has")
    prompt = tokenizer(one.prompt_text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    return TokenSequence(np.array(prompt, np.int64), np.array(tokens, np.int64), one.where)
