"""The draw of one token: against exact probabilities, and against an independent reading of top-k and top-p."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unified_rl.base.types import Decoding
from unified_rl.sampling.draws import draw, request_uniforms, sampler_logp


def reference_distribution(logits: list[float], decoding: Decoding) -> np.ndarray:
    """Temperature, then top-k, then top-p, one token at a time, in plain Python."""
    weights = {token: float(np.exp((logit - max(logits)) / decoding.temperature)) for token, logit in enumerate(logits)}
    ranked = sorted(weights, key=lambda token: (-weights[token], token))
    if decoding.top_k:
        ranked = ranked[: decoding.top_k]
    kept, reached, total = [], 0.0, sum(weights[token] for token in ranked)
    for token in ranked:
        if reached >= decoding.top_p and kept:
            break
        kept.append(token)
        reached += weights[token] / total
    probability = np.zeros(len(logits))
    for token in kept:
        probability[token] = weights[token] / sum(weights[other] for other in kept)
    return probability


# Logits a twentieth apart: no top-p edge lies within rounding of the reference's.
logit_lists = st.lists(st.integers(-100, 100), min_size=1, max_size=12, unique=True).map(lambda row: [x / 20 for x in row])
decodings = st.builds(
    Decoding,
    temperature=st.sampled_from([0.5, 0.7, 1.0, 1.7]),
    top_k=st.integers(0, 13),
    top_p=st.sampled_from([0.05, 0.31, 0.77, 0.953, 1.0]),
)


@settings(max_examples=300, deadline=None)
@given(logit_lists, decodings)
def test_distribution_and_support_equal_the_reference(logits, decoding):
    expected = reference_distribution(logits, decoding)
    actual = sampler_logp(torch.tensor([logits]), decoding)[0].exp().numpy()
    np.testing.assert_array_equal(actual > 0, expected > 0)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(logit_lists, decodings, st.floats(0, 1, exclude_max=True))
def test_draw_inverts_the_cumulative_distribution(logits, decoding, uniform):
    """Token i is drawn exactly when u lies in [cdf(i - 1), cdf(i)); within 1e-6 of an edge either side is right."""
    edges = np.cumsum(reference_distribution(logits, decoding))
    token, logp = draw(torch.tensor([logits]), torch.tensor([uniform], dtype=torch.float64), decoding)
    below = edges[token.item() - 1] if token.item() > 0 else 0.0
    assert below - 1e-6 <= uniform <= edges[token.item()] + 1e-6
    assert torch.isfinite(logp).all()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_extreme_uniforms_draw_kept_tokens_only(uniform):
    logits = torch.tensor([[-1.0, 3.0, 2.0, -2.0]])
    token, logp = draw(logits, torch.tensor([uniform], dtype=torch.float64), Decoding(top_k=2))
    assert token.item() in (1, 2)
    assert torch.isfinite(logp).all()


def test_ties_at_the_edge_of_top_k_keep_exactly_k():
    kept = sampler_logp(torch.zeros(1, 6), Decoding(top_k=2))[0].exp()
    np.testing.assert_allclose(kept.numpy(), [0.5, 0.5, 0, 0, 0, 0])


def test_greedy_takes_the_likeliest_and_reports_temperature_one():
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    token, logp = draw(logits, torch.tensor([0.99], dtype=torch.float64), Decoding(temperature=0))
    assert token.item() == 1
    torch.testing.assert_close(logp, logits.log_softmax(-1)[:, 1])


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(temperature=0.7, top_p=0.9), Decoding(temperature=1.5, top_k=7)])
def test_frequencies_match_the_distribution(decoding):
    """Chi-square over 20,000 requests' second numbers; alpha 1e-4, and the draws are fixed, so it never flickers."""
    logits = torch.randn(11, generator=torch.Generator().manual_seed(3))
    uniforms = torch.tensor([request_uniforms(seed, 2)[1] for seed in range(20_000)])
    tokens, _ = draw(logits.expand(20_000, -1), uniforms, decoding)
    expected = reference_distribution(logits.tolist(), decoding)
    counts = np.bincount(tokens.numpy(), minlength=11)
    assert counts[expected == 0].sum() == 0
    kept = expected > 0
    assert stats.chisquare(counts[kept], 20_000 * expected[kept] / expected[kept].sum()).pvalue > 1e-4


def test_uniforms_depend_on_the_seed_and_a_larger_count_only_appends():
    np.testing.assert_array_equal(request_uniforms(5, 10), request_uniforms(5, 40)[:10])
    assert not np.array_equal(request_uniforms(5, 10), request_uniforms(6, 10))
    assert stats.kstest(np.concatenate([request_uniforms(seed, 8) for seed in range(500)]), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(temperature=0.6, top_k=5), Decoding(temperature=0)])
def test_several_draws_from_a_row_are_those_of_copies_of_it(decoding):
    numbers = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 40, generator=numbers)
    uniforms = torch.rand(7, 5, generator=numbers, dtype=torch.float64)
    tokens, logp = draw(logits, uniforms, decoding)
    expected, expected_logp = draw(logits.repeat_interleave(5, dim=0), uniforms.flatten(), decoding)
    assert tokens.shape == logp.shape == (7, 5)
    assert torch.equal(tokens.flatten(), expected)
    torch.testing.assert_close(logp.flatten(), expected_logp)
