"""From problem to prompt: the text, the special tokens around it, and the inputs that are refused."""

import pytest

from unified_rl.errors import ConfigError, DataError
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.templates import TEMPLATES, encode, render
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer
from unified_rl.types import Problem

PROBLEM = Problem("p", "What is {2} + {}?", "2")


class FakeTokenizer:
    """One token per character, with the special tokens that a tokenizer may put in front (-1) and behind (-2)."""

    def __init__(self, front=(), behind=()):
        self.front, self.behind = list(front), list(behind)

    def encode(self, text, add_special_tokens=True):
        ids = [ord(character) for character in text]
        return [*self.front, *ids, *self.behind] if add_special_tokens else ids


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_template_holds_the_question_once_and_untouched(name):
    assert render(PROBLEM, name).count(PROBLEM.question) == 1


def test_the_deepseek_template_is_the_published_one():
    assert render(Problem("p", "Q?", "1"), "deepseek") == (
        "User: Q?\nPlease reason step by step, and put your final answer within \\boxed{}.\n\nAssistant:"
    )


def test_a_template_of_ones_own():
    assert render(PROBLEM, "Q: {question} A:") == "Q: What is {2} + {}? A:"


@pytest.mark.parametrize("front", [(), (-1,), (-1, -3)])
@pytest.mark.parametrize("behind", [(), (-2,)])
def test_front_special_tokens_stay_and_those_behind_go(front, behind):
    prompt = encode(PROBLEM, FakeTokenizer(front, behind), "completion")
    assert prompt.token_ids == (*front, *map(ord, PROBLEM.question + "\n"))
    assert prompt.problem is PROBLEM


@pytest.mark.parametrize("make", [lambda: word_tokenizer(Arithmetic.corpus()), lambda: train_tokenizer(["a b"], 300)])
def test_our_tokenizers_put_one_bos_in_front_and_nothing_behind(make):
    tokenizer = make()
    ids = encode(Problem("p", "Tom has 43 apples.", "43"), tokenizer, "arithmetic").token_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.bos_token_id not in ids[1:]
    assert tokenizer.decode(ids[1:]) == "Tom has 43 apples.\n"


@pytest.mark.parametrize("question", ["", "  \n"])
def test_a_blank_question_is_refused_by_id(question):
    with pytest.raises(DataError, match="'p7'"):
        encode(Problem("p7", question, "1"), FakeTokenizer(), "completion")


def test_a_prompt_without_tokens_is_refused():
    class Mute:
        def encode(self, text, add_special_tokens=True):
            return []

    with pytest.raises(DataError, match="no tokens"):
        encode(PROBLEM, Mute(), "completion")


def test_an_unknown_template_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'arithmetic'"):
        render(PROBLEM, "aritmetic")
