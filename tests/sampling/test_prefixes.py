"""Responses that share rows for as long as they are alike: what each receives, and what is decoded for it."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_torch_generator import IdTokenizer, assert_same, build, generate_one, make_prompts

from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding
from unified_rl.sampling.prefixes import PrefixDecoding
from unified_rl.sampling.torch_generator import TorchGenerator

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model():
    """Peaked enough that a few tokens are likely and others are drawn now and then."""
    return build("llama", initializer_range=0.25)


@pytest.fixture
def active(monkeypatch):
    """Rows in use at each step."""
    rows, draw = [], PrefixDecoding._draw
    monkeypatch.setattr(PrefixDecoding, "_draw", lambda self: rows.append(self.active) or draw(self))
    return rows


def prefixes(groups) -> int:
    """Distinct prefixes of the responses to each prompt, the empty one among them, the whole responses not."""
    return sum(
        len({tuple(one.token_ids[:count]) for one in group for count in range(len(one.token_ids))}) for group in groups if group
    )


@pytest.mark.bit_equality
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), temperature=st.sampled_from([0.0, 0.3, 1.0]), top_k=st.sampled_from([0, 3]))
def test_each_receives_what_it_receives_alone(model, seed, temperature, top_k):
    """However few the rows are, and however many of them a prompt's responses come to."""
    numbers = generator(seed, "test_prefixes")
    prompts = make_prompts(numbers.integers(1, 40, size=4), seed=seed % 7)
    seeds = [numbers.integers(0, 6, size=numbers.integers(0, 12)).tolist() for _ in prompts]
    decoding = Decoding(temperature=temperature, top_k=top_k, max_new_tokens=int(numbers.integers(1, 14)))
    rows, chunk = int(numbers.integers(1, 30)), int(numbers.integers(1, 200))
    caller = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=rows, prefill_tokens=chunk, eos_token_ids=range(5))
    groups = caller.generate(prompts, seeds, decoding, 0)
    alone = {
        (i, one): generate_one(model, prompt, one, decoding, eos_token_ids=range(5))
        for i, prompt in enumerate(prompts)
        for one in set(seeds[i])
    }
    for i, (group, asked) in enumerate(zip(groups, seeds, strict=True)):
        for response, one in zip(group, asked, strict=True):
            assert_same(alone[i, one], response)


def test_every_distinct_prefix_is_decoded_once(model, active):
    prompts = make_prompts([3, 20, 9])
    caller = TorchGenerator(model, IdTokenizer(), eos_token_ids=range(8))
    groups = caller.generate(prompts, [range(40), range(40), range(3)], Decoding(temperature=0.5, max_new_tokens=25), 0)
    assert sum(active) == prefixes(groups)
    assert sum(active) < 0.7 * sum(map(len, chain(*groups))), "the responses should begin alike, or the test shows little"


def test_responses_that_are_alike_take_one_row(model, active):
    (group,) = TorchGenerator(model, IdTokenizer()).generate(make_prompts([7]), [[5] * 300], Decoding(max_new_tokens=9), 0)
    assert active == [1] * len(group[0])
    assert len({id(response.token_ids) for response in group}) == 300, "each has arrays of its own"


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_where_rows_are_few_some_begin_again_and_none_is_lost(model, active, rows):
    done = []
    caller = TorchGenerator(
        model, IdTokenizer(), max_concurrent_sequences=rows, on_progress=lambda now, wanted: done.append((now, wanted))
    )
    groups = caller.generate(make_prompts([5] * 3), [range(30)] * 3, Decoding(temperature=1.5, max_new_tokens=12), 0)
    assert max(active) <= rows and done[-1] == (90, 90)
    assert [response.seed for group in groups for response in group] == [*range(30)] * 3
    assert sum(active) < 2 * sum(map(len, chain(*groups))), (
        "what is decoded again costs less than sharing saves, or little more"
    )


def test_waiting_responses_move_in_as_others_end(model, active):
    """Of prompts with many alike responses, far more responses than rows are answered at a time."""
    caller = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=32, eos_token_ids=range(8))
    groups = caller.generate(make_prompts([5] * 40), [range(16)] * 40, Decoding(temperature=0.3, max_new_tokens=40), 0)
    assert len(active) < 1.6 * sum(active) / 32 + 40, "rows are in use until the last ones"
    assert sum(active) < 1.3 * prefixes(groups)
    assert np.mean(active) > 16
