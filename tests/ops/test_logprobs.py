"""`token_outputs` against plain formulas of the whole softmax: values and gradients, whole and in chunks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unified_rl.ops import bfloat16_head as bfloat16_head_file
from unified_rl.ops.bfloat16_head import Bfloat16Head
from unified_rl.ops.logprobs import NAMES, Head, token_outputs

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


def token_logps(hidden, weight, bias, targets, **options):
    """(logp, entropy) of the head."""
    found = token_outputs(Head(hidden, weight, bias), targets, **options)
    return found["logp"], found["entropy"]


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
    head, names = Head(hidden, weight, bias, scale, cap), ("logp", "entropy")
    options = {"temperature": temperature, "chunk_elements": chunk_elements}
    found = tuple(token_outputs(head, targets, names, differentiated=names, **options).values())
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
    options = {"temperature": temperature, "chunk_elements": chunk_elements, "differentiated": ("logp", "entropy")}
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


def log_softmax(hidden, weight, bias, temperature):
    return torch.log_softmax((hidden @ weight.T + (0 if bias is None else bias)) / temperature, dim=-1)


def every_output(leaves, targets, teacher, temperature, share=0.5):
    """All outputs by their definitions, each a sum over the vocabulary."""
    logp, taught = log_softmax(*leaves, temperature), log_softmax(*teacher[:3], temperature)
    p, t = logp.exp(), taught.exp()
    uniform, m = torch.full_like(logp, 1 / logp.shape[1]), (1 - share) * p + share * t
    return {
        "logp": logp[torch.arange(len(targets)), targets],
        "entropy": (p * -logp).sum(-1),
        "squared_probs": (p**2).sum(-1),
        "uniform_kl": (p * (p / uniform).log()).sum(-1),
        "reverse_kl": (p * (p / t).log()).sum(-1),
        "forward_kl": (t * (t / p).log()).sum(-1),
        "jsd": (1 - share) * (p * (p / m).log()).sum(-1) + share * (t * (t / m).log()).sum(-1),
    }


def taught(dtype=torch.float64, seed=7, width=3):
    """A teacher of another width."""
    random = torch.Generator().manual_seed(seed)
    shapes = (TOKENS, width), (VOCABULARY, width), (VOCABULARY,)
    return Head(*(torch.randn(shape, generator=random, dtype=torch.float64).to(dtype) for shape in shapes))


@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.5), (0.7, 0.1)])
def test_every_output_and_its_gradient_equal_their_definitions(chunk_elements, temperature, share):
    leaves, targets = inputs(seed=5)
    teacher = taught()
    found = token_outputs(
        Head(*leaves),
        targets,
        NAMES,
        differentiated=NAMES,
        temperature=temperature,
        teacher=teacher,
        share=share,
        chunk_elements=chunk_elements,
    )
    expected = every_output(leaves, targets, teacher, temperature, share)
    assert found.keys() == expected.keys() == set(NAMES)
    random = torch.Generator().manual_seed(6)
    upstream = {name: torch.randn(TOKENS, generator=random, dtype=torch.float64) for name in NAMES}
    for name in NAMES:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-12)
        got = torch.autograd.grad(found[name], leaves, upstream[name], retain_graph=True)
        wanted = torch.autograd.grad(expected[name], leaves, upstream[name], retain_graph=True)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    got = torch.autograd.grad(sum((found[name] * upstream[name]).sum() for name in NAMES), leaves)
    wanted = torch.autograd.grad(sum((expected[name] * upstream[name]).sum() for name in NAMES), leaves)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize("caps", [(0.0, 0.0), (2.0, 0.0), (0.0, 3.0), (2.0, 3.0)])
def test_scaled_and_capped_logits_of_policy_and_teacher(caps, chunk_elements):
    """Each model's own scale and cap, as Cohere's and Gemma's heads have them."""
    leaves, targets = inputs(seed=6)
    policy, teacher = Head(*leaves, 0.6, caps[0]), taught()._replace(scale=1.3, cap=caps[1])

    def distribution(head):
        z = head.scale * (head.hidden_ND @ head.weight_VD.T + head.bias_V)
        return torch.log_softmax((head.cap * torch.tanh(z / head.cap) if head.cap else z) / 0.7, dim=-1)

    found = token_outputs(
        policy, targets, NAMES, differentiated=NAMES, temperature=0.7, teacher=teacher, share=0.3, chunk_elements=chunk_elements
    )
    logp, log_t = distribution(policy), distribution(teacher)
    log_m = (0.7 * logp.exp() + 0.3 * log_t.exp()).log()
    expected = {
        "logp": logp[torch.arange(TOKENS), targets],
        "squared_probs": logp.exp().square().sum(-1),
        "reverse_kl": (logp.exp() * (logp - log_t)).sum(-1),
        "forward_kl": (log_t.exp() * (log_t - logp)).sum(-1),
        "jsd": (0.7 * logp.exp() * (logp - log_m) + 0.3 * log_t.exp() * (log_t - log_m)).sum(-1),
    }
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted, rtol=0, atol=1e-12)
        got = torch.autograd.grad(found[name].sum(), leaves, retain_graph=True)
        torch.testing.assert_close(got, torch.autograd.grad(wanted.sum(), leaves, retain_graph=True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_of_each_output(name):
    leaves, targets = inputs(seed=8)

    def output(*leaves):
        options = {"differentiated": (name,), "temperature": 0.8, "teacher": taught(), "chunk_elements": 2 * VOCABULARY}
        return token_outputs(Head(*leaves), targets, (name,), **options)[name]

    assert torch.autograd.gradcheck(output, tuple(leaves))


@pytest.mark.parametrize("chunk_elements", [1, WHOLE])
def test_only_what_a_loss_reads_carries_a_gradient_and_a_teacher_gets_none(chunk_elements):
    leaves, targets = inputs()
    teacher = Head(*(tensor.requires_grad_() for tensor in taught()[:3]))
    for free in ((), ("logp",), ("squared_probs", "uniform_kl"), ("reverse_kl",)):
        found = token_outputs(
            Head(*leaves), targets, NAMES, differentiated=free, teacher=teacher, chunk_elements=chunk_elements
        )
        assert {name for name, value in found.items() if value.requires_grad} == set(free)
        if free:
            sum(found[name].sum() for name in free).backward()
    assert all(tensor.grad is None for tensor in teacher[:3])


def test_names_come_back_in_the_order_asked_for_and_nothing_else():
    leaves, targets = inputs()
    assert list(token_outputs(Head(*leaves), targets, ("uniform_kl", "logp"))) == ["uniform_kl", "logp"]
    (only,) = token_outputs(Head(*leaves), targets, ("squared_probs",), chunk_elements=1).values()
    assert ((only > 1 / VOCABULARY) & (only <= 1)).all()


def bfloat16_head(leaves, targets, names, free, temperature, chunk_elements, teacher=None, kept_bytes=2**30):
    """What a GPU computes with bfloat16 operands, here."""
    taught = None if teacher is None else (*teacher[:3], temperature, 0.5)
    found = Bfloat16Head.apply(*leaves, targets, temperature, chunk_elements, names, free, taught, kept_bytes)
    return dict(zip(names, found, strict=True))


ROW_BYTES = 2 * VOCABULARY
#: Residuals kept; recomputed in slabs of three tokens and in one.
WAYS = {"kept": TOKENS * ROW_BYTES, "slabs": 3 * ROW_BYTES, "one token each": 1}


@pytest.mark.parametrize("kept_bytes", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("chunk_elements", CHUNKS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_bfloat16_operands_give_float32_outputs_and_gradients_rounded_to_bfloat16(kept_bytes, chunk_elements, temperature):
    leaves, targets = inputs(torch.bfloat16, seed=9)
    upstream = torch.randn(TOKENS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    names = ("logp", "entropy", "squared_probs")
    found = bfloat16_head(leaves, targets, names, ("logp",), temperature, chunk_elements, kept_bytes=kept_bytes)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = every_output(exact, targets, taught(), temperature)
    for name in names:
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].double(), expected[name], rtol=0, atol=1e-5)
    got = torch.autograd.grad(found["logp"], leaves, upstream.float())
    for gradient, wanted in zip(got, torch.autograd.grad(expected["logp"], exact, upstream), strict=True):
        assert gradient.dtype == torch.bfloat16
        # the residual, the factor's operand and the result are each rounded once to 8 bits
        assert (gradient.double() - wanted).norm() < 3 * 2**-9 * wanted.norm()


@pytest.mark.parametrize("kept_bytes", WAYS.values(), ids=list(WAYS))
def test_bfloat16_operands_with_every_output_differentiated(kept_bytes):
    leaves, targets = inputs(torch.bfloat16, seed=10)
    teacher = taught(torch.bfloat16)
    names = tuple(name for name in NAMES if name != "uniform_kl")
    found = bfloat16_head(leaves, targets, names, names, 0.9, 2 * VOCABULARY, teacher, kept_bytes)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = every_output(exact, targets, Head(*(tensor.double() for tensor in teacher[:3])), 0.9)
    for name in names:
        torch.testing.assert_close(found[name].double(), expected[name], rtol=0, atol=1e-5)
        got = torch.autograd.grad(found[name].sum(), leaves, retain_graph=True)
        for gradient, wanted in zip(got, torch.autograd.grad(expected[name].sum(), exact, retain_graph=True), strict=True):
            assert (gradient.double() - wanted).norm() < 3 * 2**-9 * wanted.norm(), name


def test_the_gradient_of_a_likely_token_keeps_its_precision_in_bfloat16():
    """1 - p of a token with p = 0.999 is 0.001, which a bfloat16 p = 1 would lose."""
    hidden = torch.tensor([[7.0]], dtype=torch.bfloat16, requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]], dtype=torch.bfloat16, requires_grad=True)
    for kept_bytes in (2**20, 1):
        found = bfloat16_head([hidden, weight, None], torch.tensor([0]), ("logp",), ("logp",), 1.0, 0, kept_bytes=kept_bytes)
        (gradient,) = torch.autograd.grad(found["logp"].sum(), hidden)
        assert gradient.item() == pytest.approx(1 - torch.sigmoid(torch.tensor(7.0)).item(), rel=2**-7)


def test_frozen_parts_of_a_bfloat16_head_get_no_gradient():
    for frozen in range(3):
        leaves, targets = inputs(torch.bfloat16)
        leaves[frozen].requires_grad_(False)
        bfloat16_head(leaves, targets, ("logp",), ("logp",), 1.0, 0)["logp"].sum().backward()
        assert [leaf.grad is None for leaf in leaves] == [index == frozen for index in range(3)]


def test_residuals_are_kept_only_within_the_bound_and_only_for_log_probs_with_a_gradient():
    leaves, targets = inputs(torch.bfloat16)
    frozen = [leaf.detach() for leaf in leaves]

    def kept(leaves, free, kept_bytes):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()), lambda _: None):
            bfloat16_head(leaves, targets, ("logp", "entropy"), free, 1.0, 0, kept_bytes=kept_bytes)
        return WHOLE in sizes

    assert kept(leaves, ("logp",), TOKENS * ROW_BYTES)
    assert not kept(leaves, ("logp",), TOKENS * ROW_BYTES - 1)
    assert not kept(leaves, ("logp", "entropy"), 2**30)
    assert not kept(frozen, ("logp",), 2**30)


def test_without_a_compiler_the_same_is_computed_and_that_is_said_once(monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("no C compiler found\nand a long trace")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    program = bfloat16_head_file.StatisticsProgram()
    random = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 9, generator=random), torch.arange(5)
    for _ in range(2):
        residual = torch.empty(5, 9)
        (logp, squared), lse = program(logits, targets, ("logp", "squared_probs"), residual)
        expected = torch.log_softmax(logits, -1)
        torch.testing.assert_close(logp, expected[torch.arange(5), targets])
        torch.testing.assert_close(squared, expected.exp().square().sum(-1))
        torch.testing.assert_close(lse, logits.logsumexp(-1))
        torch.testing.assert_close(residual, expected.exp() - torch.nn.functional.one_hot(targets, 9))
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == ["no C compiler found"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"temperature": float("nan")}, "temperature must be positive"),
        ({"targets_N": torch.zeros(3, dtype=torch.int64)}, "one target per hidden state"),
        ({"weight_VD": torch.zeros(VOCABULARY, WIDTH + 1)}, "expected hidden"),
        ({"bias_V": torch.zeros(VOCABULARY + 1)}, "expected bias"),
        ({"names": ("logp", "curvature")}, "'curvature' is no output"),
        ({"names": ("reverse_kl",)}, "give its hidden states"),
        ({"names": ("forward_kl",), "teacher": Head(torch.zeros(TOKENS, 2), torch.zeros(VOCABULARY + 1, 2))}, "policy's shape"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    (hidden, weight, bias), targets = inputs()
    given = {"hidden_ND": hidden, "weight_VD": weight, "bias_V": bias, "targets_N": targets} | change
    head = Head(given.pop("hidden_ND"), given.pop("weight_VD"), given.pop("bias_V"))
    with pytest.raises(ValueError, match=message):
        token_outputs(head, given.pop("targets_N"), **given)
