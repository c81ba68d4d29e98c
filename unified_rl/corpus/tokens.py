"""Tokens of a text: counted and made by a Hugging Face tokenizer, or, without one, a token is a gram."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.corpus.grams import grams


def counter_of(tokenizer: str) -> Callable[[str], int]:
    """A function text -> number of tokens."""
    if not tokenizer:
        return lambda text: len(grams(text))
    made = read_tokenizer(tokenizer)
    return lambda text: len(made.encode(text, add_special_tokens=False).ids)


@cache
def read_tokenizer(path: str) -> Any:
    """The `tokenizers.Tokenizer` in a tokenizer.json, or in a folder that holds one. Nothing in it is executed.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    from tokenizers import Tokenizer

    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ConfigError(
            f"extraction.tokenizer={path} is no tokenizer.json and holds none; give a model's folder or that file"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ConfigError(f"extraction.tokenizer: {file} is not readable ({str(error)[:200]}); fetch it again") from error


def end_of_document(tokenizer: Any) -> int:
    """The id that ends a document: the first of the usual names that the tokenizer has. Raises ConfigError where it has none."""
    names = ("<|end▁of▁sentence|>", "<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|im_end|>", "[SEP]")
    found = next((token for name in names if (token := tokenizer.token_to_id(name)) is not None), None)
    if found is None:
        raise ConfigError(f"extraction.tokenizer has no token that ends a document ({', '.join(names)}); use another")
    return int(found)
