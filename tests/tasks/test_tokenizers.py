"""Tokenizers give the text back exactly, before and after a trip to disk, and never trip over unknown text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from unified_rl.base.errors import ConfigError
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.countdown import Countdown
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer
from unified_rl.tasks.word_pieces import SPECIAL_TOKENS, vocabulary

WORLD = Arithmetic()
TEXTS = [
    "Natalia sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 clips altogether.\n#### 72",
    "Weng earns $12 an hour. She’s paid 0.2 x 50 = $10 for 50 minutes.\n#### 10",
]
WORDS = word_tokenizer(Arithmetic.corpus())
BYTES = train_tokenizer(TEXTS, vocab_size=300)


@pytest.fixture(params=[WORDS, BYTES], ids=["words", "bytes"])
def tokenizer(request):
    return request.param


@pytest.fixture
def reloaded(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("slice", WORLD.slices)
def test_the_worlds_texts_survive_exactly_without_unknowns(slice):
    for problem in WORLD.problems("train", 500, slice):
        text = f"{problem.question}\n{Arithmetic.solution(problem)}"
        ids = WORDS.encode(text, add_special_tokens=False)
        assert WORDS.decode(ids) == text
        assert WORDS.unk_token_id not in ids


def test_digits_are_single_tokens_and_words_carry_their_spaces():
    tokens = WORDS.convert_ids_to_tokens(WORDS.encode("Tom has 43 apples.\n43-17=26\n#### 26", add_special_tokens=False))
    assert tokens == ["Tom", " has ", "4", "3", " apples", ".", "\n", *"43-17=26", "\n", "#### ", "2", "6"]


def test_the_vocabulary_is_what_the_tokenizer_splits_texts_into():
    """Counted without the tokenizer's library: its own splitter's pieces, line breaks in a row and unknown letters among them."""
    for texts in (Arithmetic.corpus(), Countdown.corpus(), ["Tom has 4\n\n\n5 é  é ## #### 6-x\t\r\n"]):
        made = word_tokenizer(texts)
        pieces = {piece for text in texts for piece, _ in made.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)}
        assert made.convert_ids_to_tokens(range(len(made))) == vocabulary(texts) == [*SPECIAL_TOKENS, *sorted(pieces)]


def test_main_problems_take_about_sixty_tokens():
    texts = [f"{demo.problem.question}\n{demo.solution}" for demo in WORLD.demonstrations(300)]
    assert 50 <= sum(len(WORDS.encode(text)) for text in texts) / len(texts) <= 70


def test_a_response_decoded_alone_is_the_end_of_the_whole_text():
    """Token by token: what the sampler's responses rely on."""
    text = "Tom has 43 apples.\n43-17=26\n#### 26"
    ids = WORDS.encode(text, add_special_tokens=False)
    assert "".join(WORDS.decode([token]) for token in ids) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_byte_level_is_lossless_on_any_text(text):
    if not any(token in text for token in SPECIAL_TOKENS):
        assert BYTES.decode(BYTES.encode(text, add_special_tokens=False)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=50)
def test_unknown_text_does_not_crash_the_word_tokenizer(text):
    assert all(0 <= token < len(WORDS) for token in WORDS.encode(text))


def test_an_unknown_word_becomes_one_unk():
    tokens = WORDS.convert_ids_to_tokens(WORDS.encode("Tom has 4 zebras.", add_special_tokens=False))
    assert tokens == ["Tom", " has ", "4", "<unk>", "."]


def test_byte_level_splits_every_digit():
    ids = BYTES.encode("48+1234=1282", add_special_tokens=False)
    assert len(ids) == len("48+1234=1282")


def test_byte_level_learns_words():
    assert len(BYTES.encode(" clips", add_special_tokens=False)) < len(" clips")
    assert len(BYTES) == 300


def test_special_tokens(tokenizer):
    special = tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id
    assert special == (0, 1, 2, 3)
    ids = tokenizer.encode("43")
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode([*ids, tokenizer.eos_token_id, 0, 0], skip_special_tokens=True) == "43"


def test_saving_and_loading_changes_nothing(tokenizer, reloaded):
    for text in (*TEXTS, "Tom has 43 apples. He loses 17.\n43-17=26\n#### 26", "Zebra  ?! é", ""):
        for special in (True, False):
            ids = tokenizer.encode(text, add_special_tokens=special)
            assert reloaded.encode(text, add_special_tokens=special) == ids
            assert reloaded.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids, skip_special_tokens=True)
    assert len(reloaded) == len(tokenizer)
    assert (reloaded.pad_token_id, reloaded.bos_token_id, reloaded.eos_token_id, reloaded.unk_token_id) == (0, 1, 2, 3)


def test_impossible_requests_are_refused():
    with pytest.raises(ConfigError, match="vocab_size=100"):
        train_tokenizer(TEXTS, vocab_size=100)
    with pytest.raises(ConfigError, match="got none"):
        word_tokenizer([])
