"""`token_logps` against a plain log-softmax: values, entropies and gradients, whole and in chunks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unified_rl.ops.logprobs import token_logps

TOKENS, WIDTH, VOCABULARY = 7, 5, 11
WHOLE = TOKENS * VOCABULARY
# One token at a time, two with a remainder, all but one, all at once.
CHUNKS = [1, 2 * VOCABULARY + 3, (TOKENS - 1) * VOCABULARY, WHOLE]


def inputs(dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=random, dtype=torch.float64)
    weight = torch.randn(VOCABULARY, WIDTH, generator=random, dtype=torch.float64)
    bias = torch.randn(VOCABULARY, generator=random, dtype=torch.float64)
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=random)
    return [tensor.to(dtype).requires_grad_() for tensor in (hidden, weight, bias)], targets


def naive(hidden, weight, bias, targets, temperature):
    logp = torch.log_softmax((hidden @ weight.T + (0 if bias is None else bias)) / temperature, dim=-1)
    return logp[torch.arange(len(targets)), targets], -(logp.exp() * logp).sum(dim=-1)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_equal_log_softmax(chunk_elements, temperature, with_bias):
    (hidden, weight, bias), targets = inputs()
    bias = bias if with_bias else None
    leaves = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    upstream = torch.randn(TOKENS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    logp, entropy = token_logps(hidden, weight, bias, targets, temperature=temperature, chunk_elements=chunk_elements)
    expected_logp, expected_entropy = naive(hidden, weight, bias, targets, temperature)

    torch.testing.assert_close(logp, expected_logp, rtol=0, atol=1e-12)
    torch.testing.assert_close(entropy, expected_entropy, rtol=0, atol=1e-12)
    assert not entropy.requires_grad
    found = torch.autograd.grad(logp, leaves, upstream)
    expected = torch.autograd.grad(expected_logp, leaves, upstream)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(("scale", "cap"), [(0.25, 0.0), (1.0, 1.5), (3.0, 2.0)])
def test_scaled_and_soft_capped_logits(chunk_elements, temperature, scale, cap):
    """cap tanh(scale (W h + b) / cap), then the temperature: against autograd of that formula, logits well beyond the cap."""
    leaves, targets = inputs(seed=5)
    hidden, weight, bias = leaves
    upstream = torch.randn(2, TOKENS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = scale * (hidden @ weight.T + bias)
    logits = cap * torch.tanh(logits / cap) if cap else logits
    expected_logp = torch.log_softmax(logits / temperature, dim=-1)
    expected = expected_logp[torch.arange(TOKENS), targets], -(expected_logp.exp() * expected_logp).sum(dim=-1)
    options = {"temperature": temperature, "scale": scale, "cap": cap, "chunk_elements": chunk_elements}
    found = token_logps(hidden, weight, bias, targets, differentiable_entropy=True, **options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradients = (torch.autograd.grad(pair, leaves, list(upstream)) for pair in (found, expected))
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_entropy_has_a_gradient_where_it_is_asked_for(chunk_elements, temperature, with_bias):
    """Against autograd of the plain formula: of the entropy alone, and of entropy and log-probs together."""
    (hidden, weight, bias), targets = inputs(seed=3)
    bias = bias if with_bias else None
    leaves = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    random = torch.Generator().manual_seed(4)
    of_logp, of_entropy = (torch.randn(TOKENS, generator=random, dtype=torch.float64) for _ in range(2))
    options = {"temperature": temperature, "chunk_elements": chunk_elements, "differentiable_entropy": True}
    expected = naive(hidden, weight, bias, targets, temperature)
    for scale in (0.0, 1.0):
        logp, entropy = token_logps(hidden, weight, bias, targets, **options)
        torch.testing.assert_close(entropy, expected[1], rtol=0, atol=1e-12)
        found = torch.autograd.grad((scale * of_logp * logp + of_entropy * entropy).sum(), leaves)
        wanted = torch.autograd.grad(
            (scale * of_logp * expected[0] + of_entropy * expected[1]).sum(), leaves, retain_graph=True
        )
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
def test_gradcheck(chunk_elements):
    (hidden, weight, bias), targets = inputs()

    def logps(*leaves):
        return token_logps(*leaves, targets, temperature=0.8, chunk_elements=chunk_elements)[0]

    assert torch.autograd.gradcheck(logps, (hidden, weight, bias))


@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize("frozen", ["hidden", "weight", "bias"])
def test_frozen_parts_get_no_gradient_and_leave_the_others_right(frozen, chunk_elements):
    leaves, targets = inputs()
    index = ["hidden", "weight", "bias"].index(frozen)
    leaves[index].requires_grad_(False)
    free = [leaf for leaf in leaves if leaf.requires_grad]
    found = torch.autograd.grad(token_logps(*leaves, targets, chunk_elements=chunk_elements)[0].sum(), free)
    expected = torch.autograd.grad(naive(*leaves, targets, 1.0)[0].sum(), free)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
def test_head_tied_to_embeddings_collects_both_gradients(chunk_elements):
    (_, weight, _), targets = inputs()
    tokens = torch.arange(TOKENS)
    found = torch.autograd.grad(
        token_logps(weight[tokens], weight, None, targets, chunk_elements=chunk_elements)[0].sum(), weight
    )
    expected = torch.autograd.grad(naive(weight[tokens], weight, None, targets, 1.0)[0].sum(), weight)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
def test_bfloat16_is_accumulated_in_float32(chunk_elements):
    leaves, targets = inputs(torch.bfloat16)
    logp, entropy = token_logps(*leaves, targets, chunk_elements=chunk_elements)
    exact_leaves = [leaf.detach().double().requires_grad_() for leaf in leaves]
    exact_logp, exact_entropy = naive(*exact_leaves, targets, 1.0)
    assert logp.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(logp.double(), exact_logp, rtol=0, atol=1e-5)
    torch.testing.assert_close(entropy.double(), exact_entropy, rtol=0, atol=1e-5)
    found = torch.autograd.grad(logp.sum(), leaves)
    assert all(gradient.dtype == torch.bfloat16 for gradient in found)
    for gradient, exact in zip(found, torch.autograd.grad(exact_logp.sum(), exact_leaves), strict=True):
        torch.testing.assert_close(gradient.double(), exact, rtol=2**-8, atol=1e-5)  # one rounding to bfloat16


@pytest.mark.parametrize("chunk_elements", CHUNKS)
def test_large_logits_do_not_overflow(chunk_elements):
    (hidden, weight, _), targets = inputs(torch.float32)
    logp, entropy = token_logps(hidden * 1e3, weight, None, targets, chunk_elements=chunk_elements)
    exact, _ = naive(hidden.double() * 1e3, weight.double(), None, targets, 1.0)
    assert torch.isfinite(entropy).all()
    torch.testing.assert_close(logp.double(), exact, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("chunk_elements", [1, WHOLE])
def test_uniform_distribution_by_hand(chunk_elements):
    hidden, weight = torch.zeros(2, 3, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64)
    logp, entropy = token_logps(hidden, weight, None, torch.tensor([0, 3]), chunk_elements=chunk_elements)
    log_four = torch.tensor(4.0, dtype=torch.float64).log()
    torch.testing.assert_close(logp, -log_four.expand(2))
    torch.testing.assert_close(entropy, log_four.expand(2))


def test_no_intermediate_of_full_size_is_held():
    """The largest tensor that either pass makes has `chunk_elements` elements."""
    hidden, weight = torch.randn(200, 2, requires_grad=True), torch.randn(50, 2, requires_grad=True)
    targets, chunk_elements = torch.arange(200) % 50, 1_000
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            output = function(*args, **(kwargs or {}))
            for tensor in output if isinstance(output, (tuple, list)) else [output]:
                largest = max(largest, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
            return output

    with Watch():
        token_logps(hidden, weight, None, targets, chunk_elements=chunk_elements)[0].sum().backward()
    assert largest == chunk_elements


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"temperature": float("nan")}, "temperature must be positive"),
        ({"targets_N": torch.zeros(3, dtype=torch.int64)}, "one target per hidden state"),
        ({"weight_VD": torch.zeros(VOCABULARY, WIDTH + 1)}, "expected hidden"),
        ({"bias_V": torch.zeros(VOCABULARY + 1)}, "expected bias"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    (hidden, weight, bias), targets = inputs()
    arguments = {"hidden_ND": hidden, "weight_VD": weight, "bias_V": bias, "targets_N": targets} | change
    with pytest.raises(ValueError, match=message):
        token_logps(**arguments)
