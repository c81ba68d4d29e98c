"""What is measured on text that is not trained on: its loss, bits per byte and, of marked text, reading and computing apart.

Token files give losses. A marked text is a line of JSON, `{"pieces": [{"text": "3*12", "kind": "reading", "step": 0}, ...]}`:
pieces that follow each other, of which some are *read* off what stands before them and others *computed*, in steps that are right
where all of their tokens are. A token counts as right where the model gives it more than half of the probability, after the true
ones before it (teacher-forced): greedy decoding would write it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from unified_rl.base.errors import DataError
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.pretraining.rows import token_files

KINDS = ("", "reading", "computing")
MARKED = ".jsonl"


@dataclass(frozen=True)
class HeldOut:
    """Held-out text as sequences, each token but the first of them predicted once.

    Attributes:
        bytes: of the text in UTF-8, tokens that end documents aside.
        kinds, steps: of each response token, by sequence; int8 [T] into `KINDS`, int64 [T] with -1 for none. [] for plain text.
    """

    sequences: list[TokenSequence]
    bytes: int
    kinds: list[np.ndarray] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)

    def facts(self, logp_BT: np.ndarray) -> dict[str, float]:
        """What the log-probs [B, T] of its tokens come to: `loss` in nats a token, `bits_per_byte`, and shares of what is right."""
        logp = [row[: len(item.response_ids)].astype(np.float64) for row, item in zip(logp_BT, self.sequences, strict=True)]
        every = np.concatenate(logp)
        found = {"loss": -float(every.mean()), "bits_per_byte": -float(every.sum()) / math.log(2) / max(1, self.bytes)}
        if not self.kinds:
            return found
        kinds, right = np.concatenate(self.kinds), every > math.log(0.5)
        for number, kind in enumerate(KINDS[1:], start=1):
            if (kinds == number).any():
                found |= {f"{kind}/loss": -float(every[kinds == number].mean()), f"{kind}/right": right[kinds == number].mean()}
        steps = [
            bool((row[of == step] > math.log(0.5)).all())
            for row, of in zip(logp, self.steps, strict=True)
            for step in np.unique(of[of >= 0])
        ]
        return found | ({"steps/right": float(np.mean(steps))} if steps else {})


def read_held_out(path: Path, field: str, tokenizer: PreTrainedTokenizerBase, context: int, tokens: int) -> HeldOut:
    """Held-out text from token files or marked text.

    Args:
        field: where the path was given, for errors. context: longest sequence, in tokens that are predicted.
        tokens: how many at most, in whole documents.

    Raises:
        DataError: there is no text, or a line is not of that form.
    """
    if path.suffix == MARKED:
        return _marked(path, field, tokenizer, context, tokens)
    end = _end(tokenizer)
    sequences, size, taken = [], 0, 0
    for file in token_files(path, field):
        for number in range(len(file)):
            ids = np.asarray(file[number], dtype=np.int64)
            if taken >= tokens:
                break
            sequences += _windows(ids, end, context)
            size += len(str(tokenizer.decode(ids.tolist(), skip_special_tokens=True)).encode())
            taken += len(ids)
    if not sequences:
        raise DataError(f"{field}={path} holds no text to measure; name other token files")
    return HeldOut(sequences, size)


def _windows(ids: np.ndarray, end: int, context: int) -> list[TokenSequence]:
    """A document after the token that ended another one, cut where it is longer than a row."""
    whole = np.concatenate([[end], ids]).astype(np.int64)
    return [
        TokenSequence(whole[at : at + 1], whole[at + 1 : at + 1 + context], "held-out text")
        for at in range(0, len(ids), context)
    ]


def _marked(path: Path, field: str, tokenizer: PreTrainedTokenizerBase, context: int, tokens: int) -> HeldOut:
    end, taken = _end(tokenizer), 0
    made: list[tuple[TokenSequence, int, np.ndarray, np.ndarray]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{field}={path} cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        if taken >= tokens:
            break
        try:
            made.append(_encoded(json.loads(line)["pieces"], tokenizer, end))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number} is no marked text ({type(error).__name__}: {error}); mend or drop it"
            ) from error
        taken += len(made[-1][0].response_ids)
        if len(made[-1][0].response_ids) > context:
            raise DataError(f"{path}, line {number} has more than the {context} tokens of a row; drop it, or raise the context")
    if not made:
        raise DataError(f"{field}={path} holds no line; name another file")
    return HeldOut(
        [sequence for sequence, *_ in made],
        sum(size for _, size, *_ in made),
        [kinds for *_, kinds, _ in made],
        [steps for *_, steps in made],
    )


def _encoded(
    pieces: Sequence[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, end: int
) -> tuple[TokenSequence, int, np.ndarray, np.ndarray]:
    """A marked text's sequence, its bytes, and kind and step of its tokens: those of the piece in which a token ends."""
    text = "".join(piece["text"] for piece in pieces)
    ends = np.cumsum([len(piece["text"]) for piece in pieces])
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    of = np.searchsorted(ends, [stop - 1 for _, stop in found["offset_mapping"]], "right")
    kind_of = np.array([KINDS.index(piece.get("kind", "")) for piece in pieces], dtype=np.int8)
    step_of = np.array([int(piece.get("step", -1)) for piece in pieces], dtype=np.int64)
    ids = np.array([*found["input_ids"], end], dtype=np.int64)
    sequence = TokenSequence(np.array([end], dtype=np.int64), ids, "marked text")
    return sequence, len(text.encode()), np.append(kind_of[of], np.int8(0)), np.append(step_of[of], -1)


def _end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends documents."""
    if tokenizer.eos_token_id is None:
        raise DataError("the tokenizer names no eos_token, which ends documents; set it in tokenizer_config.json")
    return int(tokenizer.eos_token_id)
