"""What is measured on held-out text, against arithmetic by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from unified_rl.base.errors import DataError
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.pretraining.held_out import HeldOut, read_held_out
from unified_rl.tasks.tokenizers import word_tokenizer

SURE, UNSURE = math.log(0.9), math.log(0.4)
PIECES = [
    {"text": "Tom has 12.\n"},
    {"text": "12+3", "kind": "reading", "step": 0},
    {"text": "=", "step": 0},
    {"text": "15", "kind": "computing", "step": 0},
    {"text": "\n"},
    {"text": "#### 15", "kind": "reading", "step": 1},
]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(["Tom has 12.\n", "0123456789\n", "1+1=1\n#### 1"])


def sequence(length):
    return TokenSequence(np.array([2]), np.arange(length))


def test_facts_by_hand():
    """Two texts; of the second the first step has a token below one half, the second has not."""
    text = HeldOut(
        [sequence(2), sequence(3)],
        bytes=10,
        kinds=[np.array([1, 2], np.int8), np.array([1, 2, 0], np.int8)],
        steps=[np.array([0, 0]), np.array([0, 1, -1])],
    )
    found = text.facts(np.array([[SURE, SURE, 99.0], [UNSURE, SURE, UNSURE]]))
    total = -(3 * SURE + 2 * UNSURE)
    assert found == pytest.approx(
        {
            "loss": total / 5,
            "bits_per_byte": total / math.log(2) / 10,
            "reading/loss": -(SURE + UNSURE) / 2,
            "reading/right": 0.5,
            "computing/loss": -SURE,
            "computing/right": 1.0,
            "steps/right": 2 / 3,
        }
    )
    assert set(HeldOut([sequence(1)], 1).facts(np.array([[SURE]]))) == {"loss", "bits_per_byte"}


def test_marks_follow_their_tokens(tokenizer, tmp_path):
    path = tmp_path / "marked.jsonl"
    path.write_text(json.dumps({"pieces": PIECES}) + "\n")
    text = read_held_out(path, "held-out x", tokenizer, 64, 1000)
    ids = text.sequences[0].response_ids
    words = [tokenizer.decode([token]) for token in ids]

    def of(kind):
        return "".join(word for word, found in zip(words, text.kinds[0], strict=True) if found == kind)

    assert (of(1), of(2)) == ("12+3#### 15", "15")
    assert "".join(word for word, step in zip(words, text.steps[0], strict=True) if step == 0) == "12+3=15"
    assert ids[-1] == tokenizer.eos_token_id and text.sequences[0].prompt_ids.tolist() == [tokenizer.eos_token_id]
    assert text.bytes == sum(len(piece["text"]) for piece in PIECES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 1 is no marked text \(JSONDecodeError"),
        ('{"text": 1}', r"line 1 is no marked text \(KeyError"),
        ('{"pieces": [{"text": "Tom", "kind": "odd"}]}', r"line 1 is no marked text \(ValueError"),
        (json.dumps({"pieces": PIECES}), r"line 1 has more than the 8 tokens of a row"),
    ],
)
def test_lines_that_are_not_marked_text_are_refused(tokenizer, tmp_path, line, message):
    path = tmp_path / "marked.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        read_held_out(path, "held-out x", tokenizer, 8, 1000)
