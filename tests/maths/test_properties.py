"""Properties that hold for all inputs, and facts of theory under the conditions in which they are true."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unified_rl.ops import advantages as adv
from unified_rl.ops import aggregation as agg
from unified_rl.ops import kl

finite = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))
logps = hnp.arrays(np.float64, (3, 4), elements=st.floats(-6, 0))


@st.composite
def grouped_rewards(draw):
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    group = np.repeat(np.arange(len(sizes)), sizes)
    rewards = draw(hnp.arrays(np.float64, len(group), elements=finite))
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(group))
    return torch.tensor(rewards[order]), torch.tensor(group[order])


@given(grouped_rewards())
def test_group_advantages_match_numpy(data):
    rewards, group = data
    normalised, centred, loo = (f(rewards, group) for f in (adv.group_normalised, adv.group_centred, adv.leave_one_out))
    for g in group.unique():
        rows = (group == g).nonzero()[:, 0]
        r = rewards[rows].numpy()
        flat = r.std() <= 1e-6 * max(1, abs(r).max())
        assert np.allclose(normalised[rows], 0 if flat else (r - r.mean()) / r.std(), atol=1e-9)
        assert np.allclose(centred[rows], r - r.mean(), atol=1e-12)
        others = [np.delete(r, i).mean() if len(r) > 1 else r[i] for i in range(len(r))]
        assert np.allclose(loo[rows], r - np.array(others), atol=1e-12)


@given(grouped_rewards(), st.floats(0.1, 10), finite)
def test_normalised_advantages_ignore_scale_and_shift_of_rewards(data, scale, shift):
    rewards, group = data
    flat = adv.zero_variance_groups(rewards, group)
    moved = adv.group_normalised(rewards * scale + shift, group)
    if not flat.any():
        assert torch.allclose(moved, adv.group_normalised(rewards, group), atol=1e-6)


@given(st.integers(1, 63), st.just(64))
def test_grpo_weight_on_the_pass_rate(correct, size):
    """facts of B4: with 0/1 rewards the advantage of a right answer is sqrt((1-p)/p), so the weight on grad p is 1/sqrt(p(1-p))."""
    rewards = torch.zeros(size, dtype=torch.float64)
    rewards[:correct] = 1
    p = correct / size
    found = adv.group_normalised(rewards, torch.zeros(size, dtype=torch.long))
    weight = (found * rewards).mean() / (p * (1 - p))
    assert weight.item() == pytest.approx((p * (1 - p)) ** -0.5, rel=1e-9)


@given(logps, logps)
def test_kl_estimators_are_right_and_their_terms_are_their_derivatives(a, b):
    logp, ref = torch.tensor(a, requires_grad=True), torch.tensor(b)
    old = torch.tensor(a) - 0.1
    assert (kl.k3(logp, ref) >= -1e-12).all()
    assert (kl.k2(logp, ref) >= 0).all()
    values = {"k1": kl.k1(logp, ref), "k2": kl.k2(logp, ref), "k3": kl.k3(logp, ref)}
    values["abs"] = (logp - ref).abs()
    for name in ("k1", "k2", "k3"):
        values[f"weighted_{name}"] = torch.exp(logp - old) * values[name]
        values[f"full_{name}"] = torch.exp(logp - logp.detach()) * values[name]
    for name, value in values.items():
        (derivative,) = torch.autograd.grad(value.sum(), logp, retain_graph=True)
        term = kl.loss_term(name, logp.detach(), ref, old, 0.3).value()
        assert torch.allclose(term, -0.3 * derivative, atol=1e-9, rtol=1e-9)


def _two_token_sequences(seed):
    """All sequences of two tokens under an autoregressive policy over a 3-letter alphabet, and a reference."""
    generator = torch.Generator().manual_seed(seed)
    make = lambda: torch.randn(4, 3, generator=generator, dtype=torch.float64)  # noqa: E731  row 0: first token; 1..3: after token i
    theta, phi = make().requires_grad_(True), make()

    def sequence_logps(table):
        rows = torch.log_softmax(table, -1)
        return torch.stack([torch.stack([rows[0, i], rows[1 + i, j]]) for i, j in itertools.product(range(3), range(3))])

    return theta, sequence_logps(theta), sequence_logps(phi)


def _expected_score(theta, logp, coefficient):
    """E[sum_t coefficient_t grad log pi(o_t)], by enumeration."""
    probability = logp.sum(1).exp().detach()
    (gradient,) = torch.autograd.grad((probability[:, None] * coefficient.detach() * logp).sum(), theta, retain_graph=True)
    return gradient


def test_k1_in_the_loss_regularises_nothing_and_k1_in_the_reward_is_exact():
    """True of token *sums* (not under 1/|o|); see B9."""
    theta, logp, ref = _two_token_sequences(0)
    assert _expected_score(theta, logp, kl.k1_loss_term(logp, ref, 1.0).value()).abs().max() < 1e-12
    to_go = (logp - ref).flip(1).cumsum(1).flip(1)
    exact = ((logp.sum(1).exp()) * (logp.sum(1) - ref.sum(1))).sum()
    (gradient,) = torch.autograd.grad(exact, theta, retain_graph=True)
    assert torch.allclose(_expected_score(theta, logp, to_go), gradient, atol=1e-12)


def test_k3_in_the_loss_follows_the_forward_kl_of_each_state_and_k2_the_reverse():
    theta, logp, ref = _two_token_sequences(1)
    # the first token's state: one state, so per-state and sequence-level coincide there
    pi, reference = torch.log_softmax(theta, -1)[0], ref[[0, 3, 6], 0]
    (forward,) = torch.autograd.grad((reference.exp() * (reference - pi)).sum(), theta, retain_graph=True)
    (reverse,) = torch.autograd.grad((pi.exp() * (pi - reference)).sum(), theta, retain_graph=True)
    k3 = _expected_score(theta, logp, kl.k3_loss_term(logp, ref, 1.0).value())
    k2 = _expected_score(theta, logp, kl.k2_loss_term(logp, ref, 1.0).value())
    assert torch.allclose(k3[0], -forward[0], atol=1e-12)
    assert torch.allclose(k2[0], -reverse[0], atol=1e-12)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=8), st.integers(0, 5))
def test_aggregation_weights_sum_as_promised(lengths, seed):
    lengths = torch.tensor(lengths)
    group = torch.tensor(np.random.default_rng(seed).integers(0, 3, len(lengths)))
    tokens = lengths.double()
    filled = (lengths > 0).double().mean().item()
    assert (agg.sequence_mean(lengths) * tokens).sum().item() == pytest.approx(filled)
    if lengths.sum() > 0:
        assert (agg.batch_token_mean(lengths) * tokens).sum().item() == pytest.approx(1.0)
        groups = [g for g in group.unique() if lengths[group == g].sum() > 0]
        expected = len(groups) / len(group.unique())
        assert (agg.prompt_token_mean(lengths, group) * tokens).sum().item() == pytest.approx(expected)


@given(hnp.arrays(np.float64, (2, 5), elements=finite), hnp.arrays(np.float64, (2, 5), elements=finite))
def test_gae_with_full_traces_is_return_minus_value(rewards, values):
    """discount = trace_decay = 1: A_t = sum of rewards from t on - V_t, whatever the values in between."""
    mask = torch.ones(2, 5, dtype=torch.bool)
    advantages, returns = adv.gae(torch.tensor(rewards), torch.tensor(values), mask, discount=1.0, trace_decay=1.0)
    to_go = rewards[:, ::-1].cumsum(1)[:, ::-1]
    assert np.allclose(advantages, to_go - values, atol=1e-9)
    assert np.allclose(returns, to_go, atol=1e-9)
