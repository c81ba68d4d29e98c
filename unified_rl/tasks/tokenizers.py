"""Tokenizers for policies that are trained from scratch. Both give real Hugging Face tokenizers, saved and loaded as such.

Every tokenizer made here has `<pad>`, `<s>` (BOS), `</s>` (EOS) and `<unk>` with ids 0 to 3, puts BOS in front when asked for
special tokens, and writes each digit as one token, so that arithmetic is arithmetic on digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from unified_rl.base.errors import ConfigError
from unified_rl.tasks.word_pieces import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, WORD_PIECES, vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

# Bytes that a byte-level tokenizer must know.
_BYTES = 256


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A closed vocabulary of the words, digits and signs of `texts`, e.g. `Arithmetic.corpus()`.

    Text made of known pieces survives encoding and decoding exactly; each unknown piece becomes `<unk>`.

    Raises:
        ConfigError: where `texts` holds no text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokens = vocabulary(texts)
    if len(tokens) == len(SPECIAL_TOKENS):
        raise ConfigError("a word tokenizer needs text to take its words from, and got none")
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return _wrap(tokenizer)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, trained on `texts` (e.g. GSM8K's). Any text survives it exactly.

    Raises:
        ConfigError: where `vocab_size` leaves no room for the bytes and special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    smallest = _BYTES + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise ConfigError(f"vocab_size={vocab_size} must be at least {smallest}: 256 bytes and the special tokens")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrap(tokenizer)


def _wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Special tokens, BOS in front, and no tidying of the decoded text."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, bos_id)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
    )
