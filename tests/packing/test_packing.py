"""The layout of packed rows, without a model: who sees whom, what predicts what, and how micro-batches are filled."""

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.models import attention
from unified_rl.models.attention import additive_mask, attention_mask, visible
from unified_rl.models.reach import Reach
from unified_rl.packing.packed_rows import TokenSequence, pack, padding_fraction, response_mask, scatter
from unified_rl.packing.rows import Holds


def sequence(prompt, response, name=""):
    return TokenSequence(np.array(prompt, dtype=np.int64), np.array(response, dtype=np.int64), name)


@st.composite
def batches(draw):
    """Groups of up to 4 ragged responses to up to 4 prompts; every token id occurs once, so that tokens can be told apart."""
    next_id = iter(range(1, 10_000))
    sequences = []
    for _ in range(draw(st.integers(1, 4))):
        prompt = [next(next_id) for _ in range(draw(st.integers(1, 9)))]
        for _ in range(draw(st.integers(1, 4))):
            sequences.append(sequence(prompt, [next(next_id) for _ in range(draw(st.integers(1, 12)))]))
    return sequences


layouts = st.fixed_dictionaries(
    {
        "row_tokens": st.integers(1, 60),
        "micro_batch_tokens": st.integers(1, 150),
        "holds": st.sampled_from(get_args(Holds)),
    }
)


@settings(max_examples=60, deadline=None)
@given(batches(), layouts)
def test_each_response_token_is_predicted_once_from_all_that_precedes_it_and_nothing_else(sequences, layout):
    found = []
    for packed in pack(sequences, **layout):
        ids_RL, length, visible_RLL = packed.input_ids_RL, packed.input_ids_RL.shape[1], visible(packed)
        rows = zip(packed.hidden_index_N, packed.sequence_N, packed.token_N, packed.targets_N, strict=True)
        for index, b, t, target in ((int(i), int(b), int(t), int(target)) for i, b, t, target in rows):
            row, column = divmod(index, length)
            context = [*sequences[b].prompt_ids, *sequences[b].response_ids[:t]]
            seen = visible_RLL[row, column]
            assert ids_RL[row][seen].tolist() == context
            assert packed.position_ids_RL[row][seen].tolist() == list(range(len(context)))
            assert ids_RL[row, column] == context[-1]
            assert target == sequences[b].response_ids[t]
            found.append((b, t))
    expected = [(b, t) for b, one in enumerate(sequences) for t in range(len(one.response_ids))]
    assert sorted(found) == expected


@settings(max_examples=60, deadline=None)
@given(batches(), layouts, st.data())
def test_units_stay_whole_and_budgets_hold(sequences, layout, data):
    unit_B = np.array([data.draw(st.integers(0, 3)) for _ in sequences])
    homes = {}
    for number, packed in enumerate(pack(sequences, unit_B=unit_B, **layout)):
        members = packed.sequences_b.tolist()
        units = {int(unit_B[index]) for index in members}
        for unit in units:
            assert homes.setdefault(unit, number) == number
        assert packed.input_ids_RL.numel() <= layout["micro_batch_tokens"] or len(units) == 1
        longest = max(sequences[index].input_tokens for index in members)
        assert packed.longest == longest
        assert packed.input_ids_RL.shape[1] <= max(layout["row_tokens"], longest)
    assert set(homes) == set(unit_B.tolist())


@settings(max_examples=30, deadline=None)
@given(batches(), layouts)
def test_scatter_and_gather_are_inverse(sequences, layout):
    mask_BT = response_mask(sequences)
    values_BT = torch.arange(mask_BT.numel(), dtype=torch.float64).view(mask_BT.shape) + 1
    whole_BT = torch.zeros_like(values_BT)
    for packed in pack(sequences, **layout):
        values_N = packed.gather(values_BT)
        whole_BT[packed.sequences_b] = packed.scatter(values_N, mask_BT.shape[1])
    assert torch.equal(whole_BT, values_BT * mask_BT)


def test_deterministic():
    random = np.random.default_rng(0)
    sequences = [sequence(range(random.integers(1, 9)), range(random.integers(1, 20))) for _ in range(40)]
    first, second = (pack(sequences, row_tokens=30, micro_batch_tokens=100) for _ in range(2))
    assert all(torch.equal(a.input_ids_RL, b.input_ids_RL) for a, b in zip(first, second, strict=True))


def test_two_responses_share_a_prompt_by_hand():
    """Prompt [5, 6]; responses [7, 8, 1] and [9, 1]. Read: 5 6 | 7 8 | 9; the last tokens (EOS = 1) are targets only."""
    (packed,) = pack([sequence([5, 6], [7, 8, 1]), sequence([5, 6], [9, 1])], row_tokens=8)
    assert packed.input_ids_RL.tolist() == [[5, 6, 7, 8, 9]]
    assert packed.position_ids_RL.tolist() == [[0, 1, 2, 3, 2]]
    assert visible(packed).int().tolist() == [
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    ]
    # Both first tokens are predicted from the prompt's last.
    assert packed.hidden_index_N.tolist() == [1, 2, 3, 1, 4]
    assert packed.targets_N.tolist() == [7, 8, 1, 9, 1]
    assert packed.sequence_N.tolist() == [0, 0, 0, 1, 1]
    assert packed.token_N.tolist() == [0, 1, 2, 0, 1]


def test_prompts_that_only_begin_alike_are_not_shared():
    (packed,) = pack([sequence([5, 6], [7, 1]), sequence([5, 8], [9, 1])], row_tokens=8)
    assert packed.input_ids_RL.flatten().tolist() == [5, 6, 7, 5, 8, 9]


def test_unshared_prompts_are_repeated():
    (packed,) = pack([sequence([5, 6], [7, 8, 1]), sequence([5, 6], [9, 1])], row_tokens=8, holds="whole sequences")
    assert packed.input_ids_RL.tolist() == [[5, 6, 7, 8, 5, 6, 9]]
    assert packed.position_ids_RL.tolist() == [[0, 1, 2, 3, 0, 1, 2]]


def test_a_long_sequence_gets_a_row_of_its_own_length_and_one_beyond_the_budget_stands_alone():
    lengths = [3, 40, 3, 90]
    packed = pack([sequence([1], range(n)) for n in lengths], row_tokens=10, micro_batch_tokens=50, holds="whole sequences")
    assert [p.sequences_b.tolist() for p in packed] == [[3], [1], [0, 2]]
    assert [tuple(p.input_ids_RL.shape) for p in packed] == [(1, 90), (1, 40), (2, 3)]


def test_sharing_and_packing_save_tokens():
    random = np.random.default_rng(0)
    prompts = [random.integers(2, 60, 35) for _ in range(8)]
    sequences = [TokenSequence(prompt, random.integers(2, 60, random.integers(20, 60))) for prompt in prompts for _ in range(8)]
    plain, shared = (pack(sequences, holds=holds) for holds in ("whole sequences", "shared prompts"))
    size = [sum(p.input_ids_RL.numel() for p in packed) for packed in (plain, shared)]
    assert size[1] < 0.75 * size[0]
    assert padding_fraction(plain) < 0.15
    assert padding_fraction(shared) < 0.15


def test_padding_fraction_counts_padding():
    packed = pack([sequence([1, 2], [3, 4]), sequence([5], [6])], row_tokens=3, micro_batch_tokens=6)
    assert [tuple(p.input_ids_RL.shape) for p in packed] == [(2, 3)]
    assert padding_fraction(packed) == pytest.approx(1 - 4 / 6)


def test_attention_mask_is_additive_and_finite():
    (packed,) = pack([sequence([1, 2], [3, 4]), sequence([5], [6])], row_tokens=3)
    for dtype in (torch.float32, torch.bfloat16):
        mask = additive_mask(packed, dtype)
        assert mask.dtype == dtype and mask.shape == (2, 1, 3, 3) and torch.isfinite(mask).all()
        assert torch.equal(mask[:, 0] == 0, visible(packed))


def test_a_mask_is_made_once_unless_it_is_large(monkeypatch):
    (packed,) = pack([sequence([1, 2], [3, 4]), sequence([5], [6])], row_tokens=3)
    first = additive_mask(packed, torch.float32)
    assert additive_mask(packed, torch.float32) is first
    assert additive_mask(packed, torch.float64).dtype == torch.float64
    assert not packed.to("cpu").masks
    monkeypatch.setattr(attention, "KEPT_MASK_BYTES", first.nbytes - 1)
    large = packed.to("cpu")
    assert additive_mask(large, torch.float32) is not additive_mask(large, torch.float32)
    assert torch.equal(additive_mask(large, torch.float32), first)


@settings(max_examples=40, deadline=None)
@given(batches(), layouts, st.integers(1, 9), st.integers(1, 9))
def test_a_window_counts_positions_and_a_chunk_begins_at_its_multiple(sequences, layout, window, chunk):
    for packed in pack(sequences, **layout):
        whole, position = visible(packed), packed.position_ids_RL
        i, j = position[:, :, None], position[:, None, :]
        assert torch.equal(visible(packed, Reach(window=window)), whole & (i - j < window))
        assert torch.equal(visible(packed, Reach(chunk=chunk)), whole & (i // chunk == j // chunk))


@settings(max_examples=30, deadline=None)
@given(batches(), layouts)
def test_rows_of_one_sequence_hold_one(sequences, layout):
    for packed in pack(sequences, **{**layout, "holds": "one sequence"}):
        starts = ((packed.position_ids_RL == 0) & (packed.segment_RL >= 0)).sum(1)
        assert starts.tolist() == [1] * len(packed.sequences_b)
        assert (packed.input_ids_RL.shape[1], packed.holds) == (packed.longest, "one sequence")


def test_an_attention_that_cannot_keep_segments_apart_is_refused():
    (packed,) = pack([sequence([1, 2], [3, 4])])
    decoder = SimpleNamespace(config=SimpleNamespace(_attn_implementation="flash_attention_2"), dtype=torch.float32)
    with pytest.raises(ConfigError, match=r"flash_attention_2.*choose one of: eager, sdpa"):
        attention_mask(decoder, packed)


def test_scatter_is_differentiable():
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    padded = scatter(values, torch.tensor([0, 1]), torch.tensor([1, 0]), (2, 2), fill=-1.0)
    assert padded.tolist() == [[-1, 1], [2, -1]]
    padded[1, 0].backward()
    assert values.grad.tolist() == [0, 1]


def test_to_moves_every_tensor():
    (packed,) = pack([sequence([1, 2], [3, 4])])
    moved = packed.to("meta")
    assert moved.targets_N.is_meta and moved.segment_RL.is_meta and moved.sequences_b.is_meta
    assert moved.longest == packed.longest


@pytest.mark.parametrize(
    ("sequences", "options", "error", "message"),
    [
        ([], {}, DataError, "no sequences to train on"),
        ([sequence([1], [2]), sequence([1], [], "gsm8k-7")], {}, DataError, "sequence 1 .*gsm8k-7.* response with no tokens"),
        ([sequence([], [2])], {}, DataError, "sequence 0 has an empty prompt"),
        ([sequence([1], [2])], {"unit_B": np.array([0, 1])}, DataError, "units of 2 sequences, but there are 1"),
        ([sequence([1], [2])], {"row_tokens": 0}, ConfigError, "at least 1"),
        ([sequence([1], [2])], {"micro_batch_tokens": 0}, ConfigError, "at least 1"),
    ],
)
def test_bad_input_is_named(sequences, options, error, message):
    with pytest.raises(error, match=message):
        pack(sequences, **options)
