"""Rows of token files: every token predicted once an epoch, a row a function of (seed, number), documents masked or joined."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.base.errors import DataError
from unified_rl.corpus.token_files import TokenFile, TokenWriter
from unified_rl.models.policy_model import build_llama
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.pretraining.rows import Row, RowMixture, SourceRows, token_files
from unified_rl.training.passes import evaluate_role

END = 1


def write(folder, documents, name="documents"):
    folder.mkdir(parents=True, exist_ok=True)
    writer = TokenWriter(folder / name, 3000)
    for document in documents:
        writer.add(list(document))
    writer.close()
    return TokenFile(folder / name)


def documents(count, first=2, longest=13):
    """Documents of tokens that occur once each, and end with END."""
    draw, made = np.random.default_rng(0), []
    for _ in range(count):
        length = int(draw.integers(1, longest))
        made.append([*range(first, first + length), END])
        first += length
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    every = documents(60)
    folder = tmp_path_factory.mktemp("tokens")
    return [write(folder / "a", every[:37]), write(folder / "b", every[37:])], every


@pytest.mark.parametrize("context", [3, 8, 50])
def test_an_epoch_predicts_every_token_once_but_a_tail_shorter_than_a_row(files, context):
    source = SourceRows("s", files[0], context, seed=5)
    wanted = Counter(token for document in files[1] for token in document)
    for epoch in range(3):
        rows = [source.row(epoch * source.per_epoch + place)[0] for place in range(source.per_epoch)]
        found = Counter(token for tokens in rows for token in tokens[1:].tolist())
        missing = wanted - found
        assert not found - wanted and sum(missing.values()) <= context
        assert all(len(tokens) == context + 1 for tokens in rows)


def test_between_two_starts_stands_a_whole_document(files):
    """And before the first one the end of a document, after the last one the beginning of one."""
    source, whole = SourceRows("s", files[0], 17, seed=5), {tuple(document) for document in files[1]}
    for place in range(2 * source.per_epoch):
        tokens, starts = source.row(place)
        pieces = [tuple(piece.tolist()) for piece in np.split(tokens, starts)]
        before, *inside, last = pieces
        assert set(inside) <= whole
        assert not before or any(document[-len(before) :] == before for document in whole)
        assert any(document[: len(last)] == last for document in whole)


def test_a_row_is_a_function_of_seed_and_number(files):
    one, other = (SourceRows("s", files[0], 8, seed=5) for _ in range(2))
    order = [3, 200, 0, 57, 3, 199]
    for number in order:
        assert np.array_equal(one.row(number)[0], other.row(number)[0])
    differing = [not np.array_equal(one.row(at)[0], SourceRows("s", files[0], 8, seed=6).row(at)[0]) for at in range(20)]
    assert sum(differing) > 15
    later = [not np.array_equal(one.row(at)[0], one.row(at + one.per_epoch)[0]) for at in range(20)]
    assert sum(later) > 15, "another epoch is another order"


@given(st.lists(st.integers(0, 8), max_size=4).map(sorted))
def test_masked_or_joined_every_token_after_the_first_is_predicted_once(starts):
    row = Row(0, np.arange(10, 19), np.array(starts, dtype=np.int64))
    for documents in ("masked", "joined"):
        sequences = row.sequences(documents)
        assert np.concatenate([one.response_ids for one in sequences]).tolist() == list(range(11, 19))
        assert all(len(one.prompt_ids) == 1 for one in sequences)
        assert all(one.response_ids[0] == one.prompt_ids[0] + 1 for one in sequences)
    assert len(row.sequences("joined")) == 1


def test_a_masked_document_is_read_as_if_it_stood_alone(files):
    """Its log-probs in a row are those of the document after the token that ends documents; joined, they are others."""
    model = build_llama(
        vocab_size=700,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        eos_token_id=END,
        init_std=0.3,
    ).double()
    source = SourceRows("s", files[0], 30, seed=1)
    row = next(row for row in (Row(0, *source.row(at)) for at in range(20)) if len(row.starts) > 1 and row.starts[0] > 1)
    first, second = row.starts[:2].tolist()
    alone = row.tokens[first - 1 : second]

    def logp(sequences):
        found = evaluate_role(model, policy_role(1.0), sequences, Layout(30, 60))["logp"]
        return [one[: len(item.response_ids)] for one, item in zip(found, sequences, strict=True)]

    with torch.no_grad():
        plain = model(torch.tensor(alone)[None]).logits[0, :-1].log_softmax(-1)
    wanted = plain[torch.arange(len(alone) - 1), torch.tensor(alone[1:])]
    pieces = row.sequences("masked")
    masked = logp(pieces)[[one.response_ids[0] for one in pieces].index(row.tokens[first])]
    joined = logp(row.sequences("joined"))[0][first - 1 : second - 1]
    assert torch.allclose(masked, wanted, atol=1e-12)
    assert (joined - wanted).abs().max() > 1e-3


def test_sources_take_their_own_rows_in_order(files, tmp_path):
    other = write(tmp_path, documents(40, first=1500))
    sources = [SourceRows("a", files[0], 8, 0), SourceRows("b", [other], 8, 0)]
    mixture = RowMixture(sources, [3, 1])
    taken = [0, 0]
    for number in range(60):
        row = mixture.row(number)
        assert np.array_equal(row.tokens, sources[row.source].row(taken[row.source])[0])
        taken[row.source] += 1
    assert mixture.counts(60).tolist() == taken == [45, 15]
    assert mixture.epochs(60).tolist() == [45 / sources[0].per_epoch, 15 / sources[1].per_epoch]


def test_what_holds_no_row_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"source short holds 3 tokens, which is no row of 9; add text, or lower"):
        SourceRows("short", [write(tmp_path, [[2, 3, END]])], 8, 0)
    with pytest.raises(DataError, match=r"path=.* holds no token files"):
        token_files(tmp_path / "nothing", "path")
    assert len(token_files(tmp_path, "path")) == len(token_files(tmp_path / "documents.idx", "path")) == 1
    assert len(token_files(tmp_path / "documents", "path")[0]) == 1
