"""The closed vocabulary of a world's words, digits and signs: what `tokenizers.word_tokenizer` is made of. No transformers."""

from __future__ import annotations

import re
from collections.abc import Iterable

PAD, BOS, EOS, UNK = SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")

# A word takes the space before it, and the one after it where a digit follows, so that a number is nothing but its digits.
WORD_PIECES = r"[0-9]|#+ ?| ?[A-Za-z]+(?: (?=[0-9]))?|."
_PIECES = re.compile(rf"{WORD_PIECES}|\n+")  # between matches, the tokenizer's splitter leaves runs of line breaks whole


def vocabulary(texts: Iterable[str]) -> list[str]:
    """The tokens of a tokenizer of these texts' words, in the order of their ids: the special ones, then the pieces by letter."""
    return [*SPECIAL_TOKENS, *sorted({piece for text in texts for piece in _PIECES.findall(text)})]
