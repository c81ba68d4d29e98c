"""What an update's record counts: against sums taken the plain way, token by token and by boolean masks."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl import coefficients as c
from unified_rl.loop.record import Record, Watched
from unified_rl.loop.surrogate import token_sum
from unified_rl.ops import kl
from unified_rl.ops.terms import term
from unified_rl.packing.packed_rows import Members


def test_record_means_are_token_means_over_all_micro_batches():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    blank = torch.zeros(2, 3)
    inputs = c.Inputs(mask, torch.tensor([0, 0]), blank[:, 0], blank[:, 0], mask[:, 0], blank)
    record = Record()
    coefficient = torch.tensor([[1.0, -3.0, 9.0], [2.0, 9.0, 9.0]])
    micro_batches = (
        Members(torch.tensor([0]), torch.tensor([0, 0]), torch.tensor([0, 1])),
        Members(torch.tensor([1]), torch.tensor([0]), torch.tensor([0])),
    )
    for members in micro_batches:
        rows = members.rows_b
        outputs = {"logp": blank[rows] - 2, "entropy": blank[rows] + 0.5}
        record.add({}, coefficient[rows], outputs, inputs.rows(rows), members)
    found = record.metrics()
    assert found["coef/total/mean"] == pytest.approx(0.0)
    assert found["coef/total/abs_mean"] == pytest.approx(2.0)
    assert found["entropy/mean"] == pytest.approx(0.5)
    assert found["logp/mean"] == pytest.approx(-2.0)


def update(seed, holes):
    """A random update: inputs [B, T] with ragged responses, log-probs, entropies, a coefficient of two terms, and micro-batches.

    holes: whether some tokens are a program's; off the mask there is nothing but NaN.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 9, random.integers(1, 7))
    own = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
    mask = own & (torch.from_numpy(random.random(own.shape) < 0.7) if holes else True)

    def values():
        drawn = torch.from_numpy(random.normal(size=own.shape).astype(np.float32))
        return torch.where(mask, drawn, torch.nan)

    blank_B = torch.zeros(len(lengths))
    inputs = c.Inputs(
        mask, blank_B.long(), blank_B, blank_B, blank_B.bool(), values(), old_logp_BT=values(), ref_logp_BT=values()
    )
    terms = {
        "advantage": term(weight=values(), not_clipped=(values() > 0).float()),
        "kl": term(kl_coef=torch.tensor(0.1), x=values()),
    }
    cuts = np.sort(random.choice(np.arange(1, len(lengths)), random.integers(0, len(lengths)), replace=False))
    micro_batches = [torch.from_numpy(part) for part in np.split(np.arange(len(lengths)), cuts)]
    return inputs, {"logp": values(), "entropy": values()}, terms, micro_batches, own


def members_of(rows, own):
    return Members(rows, *own[rows].nonzero(as_tuple=True))


def of_rows(terms, rows):
    return {name: term(**{k: v[rows] if v.dim() else v for k, v in item.factors.items()}) for name, item in terms.items()}


def plainly(inputs, outputs, terms, micro_batches):
    """Some of the metrics by boolean masks, micro-batch by micro-batch."""
    sums, tokens, largest = {}, 0, 0.0
    for rows in micro_batches:
        mask, logp = inputs.response_mask_BT[rows], outputs["logp"][rows]
        ref, old = inputs.ref_logp_BT[rows], inputs.old_logp_BT[rows]
        found = {
            "coef/advantage/mean": terms["advantage"].value()[rows],
            "coef/kl/abs_mean": terms["kl"].value()[rows].abs(),
            "ratio/clip_fraction": 1 - terms["advantage"].factors["not_clipped"][rows],
            "entropy/mean": outputs["entropy"][rows],
            "ratio/mean": torch.exp(logp - old),
            "kl/k3": kl.k3(logp, ref),
            "sampler/logp_difference": (logp - inputs.behaviour_logp_BT[rows]).abs(),
        }
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value[mask].sum(dtype=torch.float64).item()
        tokens += int(mask.sum())
        if mask.any():
            largest = max(largest, (logp - ref).abs()[mask].max().item())
    return {name: value / max(tokens, 1) for name, value in sums.items()} | {"kl/max_log": largest}


def recorded(inputs, outputs, terms, micro_batches, own):
    record = Record()
    for rows in micro_batches:
        picked = {name: value[rows] for name, value in outputs.items()}
        coef = sum(item.value() for item in terms.values())[rows]
        record.add(of_rows(terms, rows), coef, picked, inputs.rows(rows), members_of(rows, own))
    return record


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_sums_are_those_by_boolean_masks_bit_for_bit(seed):
    inputs, outputs, terms, micro_batches, own = update(seed, holes=False)
    found = recorded(inputs, outputs, terms, micro_batches, own).metrics()
    expected = plainly(inputs, outputs, terms, micro_batches)
    assert {name: found[name] for name in expected} == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_what_the_policy_did_not_write_does_not_count(seed):
    inputs, outputs, terms, micro_batches, own = update(seed, holes=True)
    found = recorded(inputs, outputs, terms, micro_batches, own).metrics()
    expected = plainly(inputs, outputs, terms, micro_batches)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-15)
    rows = micro_batches[0]
    mask = inputs.response_mask_BT[rows]
    total = token_sum(outputs["logp"][rows], mask, members_of(rows, own))
    assert total.item() == pytest.approx(outputs["logp"][rows][mask].sum().item(), rel=1e-5, abs=1e-6)


def test_ranks_records_travel_and_add_up_in_their_order():
    inputs, outputs, terms, micro_batches, own = next(
        found for found in (update(seed, holes=False) for seed in range(100)) if len(found[3]) > 2
    )
    parts = [recorded(inputs, outputs, terms, part, own) for part in (micro_batches[:1], micro_batches[1:])]
    merged = Record.merged([pickle.loads(pickle.dumps(part.read())) for part in parts])
    whole = recorded(inputs, outputs, terms, micro_batches, own)
    assert merged.metrics() == pytest.approx(whole.metrics(), rel=1e-12)
    assert list(merged.metrics()) == list(whole.metrics())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 7)), st.booleans())
def test_watched_rows_are_kept_wherever_they_fall(seed, rows, holes):
    inputs, outputs, terms, micro_batches, own = update(seed, holes)
    watched = Watched(rows, inputs)
    for part in micro_batches:
        watched.add(of_rows(terms, part), terms["kl"].value()[part], outputs["logp"][part], members_of(part, own))
    present = [row for row in sorted(rows) if row < len(own)]
    seen = watched.read()
    assert list(seen) == present
    for row in present:
        mask = inputs.response_mask_BT[row]
        assert list(seen[row]) == ["total", "logp", "advantage", "kl"]
        assert seen[row]["logp"] == outputs["logp"][row][mask].tolist()
        assert seen[row]["advantage"] == terms["advantage"].value()[row][mask].tolist()


def test_rows_of_another_rank_are_not_seen():
    inputs, outputs, terms, _, own = next(found for found in (update(seed, False) for seed in range(100)) if len(found[4]) > 3)
    part, watched = torch.tensor([1, 3]), Watched({0, 3}, inputs)
    watched.add(of_rows(terms, part), terms["kl"].value()[part], outputs["logp"][part], members_of(part, own))
    assert set(watched.read()) == {3}
    assert Watched({0}, replace(inputs)).read() == {}
