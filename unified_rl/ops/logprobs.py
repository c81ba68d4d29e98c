"""What a linear head says of each token, without ever holding the full [tokens, vocabulary] logits in float32.

At a vocabulary of 102,400 the logits of 2,048 tokens take 0.8 GB in float32, and a plain log-softmax with its backward holds
three such tensors. Here the tokens go through the head in chunks. One pass gives, by name:

    logp            log-probability of the target token
    entropy         of the distribution that it was drawn from
    squared_probs   the sum over the vocabulary of squared probabilities, i.e. the probability that two draws are the same token
    uniform_kl      KL(pi || uniform) = log V - entropy
    reverse_kl      KL(pi || pi_T) to a teacher's distribution, over the whole vocabulary
    forward_kl      KL(pi_T || pi)
    jsd             (1 - s) KL(pi || m) + s KL(pi_T || m), m = (1 - s) pi + s pi_T: the generalised Jensen-Shannon divergence

On a GPU bfloat16 numbers are multiplied as they are, with sums in float32 (`bfloat16_head`); everything else goes through the head
at float32 or float64 (`exact_head`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unified_rl.ops.bfloat16_head import Bfloat16Head
from unified_rl.ops.distribution import OF_POLICY, OF_TEACHER
from unified_rl.ops.exact_head import CHUNK_ELEMENTS, ExactHead, chunks, logits_of, precision

__all__ = ["CHUNK_ELEMENTS", "NAMES", "Head", "token_outputs"]

NAMES = (*OF_POLICY, "uniform_kl", *OF_TEACHER)


class Head(NamedTuple):
    """Hidden states [N, D] with the head they go through: its weight [V, D], which may be tied to the embeddings, and bias [V].

    The logits are scale * (hidden @ weight.T + bias), soft-capped at `cap` where that is not 0: cap tanh(logits / cap).
    """

    hidden_ND: Tensor
    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    cap: float = 0.0

    def rows(self, chunk: slice) -> Head:
        """The same head on some of the hidden states."""
        return self._replace(hidden_ND=self.hidden_ND[chunk])


def token_outputs(
    head: Head,
    targets_N: Tensor,
    names: Iterable[str] = ("logp", "entropy"),
    *,
    differentiated: Iterable[str] = ("logp",),
    temperature: float = 1.0,
    teacher: Head | None = None,
    share: float = 0.5,
    chunk_elements: int = 0,
) -> dict[str, Tensor]:
    """What the distributions softmax(logits / temperature) say of the target tokens, by name.

    Differentiable once in the head's tensors (whichever require a gradient) through the outputs in `differentiated`; the others
    are metrics. The teacher gets no gradient. The result is the same for any `chunk_elements`, up to rounding.

    Args:
        head: whose hidden states predict the targets. float32 and float64 are used as they are. Lower precisions are raised to
            float32 before the head, on a GPU only the sums are: logits rounded to bfloat16 would cost up to 0.03 nats per token.
        targets_N: token ids, int64 [N], each in [0, V).
        names: outputs wanted, of `NAMES`. differentiated: those of them that a loss reads.
        temperature: the sampling temperature, positive. Ratios need log-probabilities of the distribution that was sampled. The
            teacher's logits are divided by it too.
        teacher: needed for a divergence from it: its hidden states for the same tokens, and a head over the same vocabulary.
            share: s of "jsd", the teacher's in the mixture.
        chunk_elements: upper bound on the logits held at once, in elements (at least one token's are); 0 = by the device.

    Returns:
        name -> [N] in nats (probabilities for "squared_probs"), float32 (float64 where the hidden states are float64).

    Raises:
        ValueError: an unknown name, shapes that do not fit together, a divergence without a teacher, or a temperature that is not
            positive.
    """
    wanted, free = list(dict.fromkeys(names)), frozenset(differentiated)
    _check(head, targets_N, wanted, temperature, teacher, share)
    computed = tuple(dict.fromkeys(["logp", *("entropy" if name == "uniform_kl" else name for name in wanted)]))
    through = {"entropy" if name == "uniform_kl" else name for name in free}
    found = _computed(head, targets_N, computed, through, temperature, teacher, share, chunk_elements)
    if "uniform_kl" in wanted:
        found["uniform_kl"] = math.log(len(head.weight_VD)) - found["entropy"]
    return {name: found[name] if name in free else found[name].detach() for name in wanted}


def _computed(
    head: Head,
    targets_N: Tensor,
    names: tuple[str, ...],
    differentiated: set[str],
    temperature: float,
    teacher: Head | None,
    share: float,
    chunk_elements: int,
) -> dict[str, Tensor]:
    """The outputs by the way that suits device, dtype and size."""
    hidden_ND, weight_VD, bias_V, scale, cap = head
    teacher = teacher if any(name in OF_TEACHER for name in names) else None
    if cap or (teacher is not None and teacher.cap):
        limit = chunk_elements or CHUNK_ELEMENTS
        return _capped(head, targets_N, names, differentiated, temperature, teacher, share, limit)
    through = tuple(name for name in names if name in differentiated)
    taught = None if teacher is None else (*teacher[:3], temperature / teacher.scale, share)
    kept = hidden_ND, weight_VD, bias_V, targets_N, temperature / scale
    if hidden_ND.is_cuda and hidden_ND.dtype == weight_VD.dtype == torch.bfloat16:
        values = Bfloat16Head.apply(*kept, chunk_elements, names, through, taught)
    elif hidden_ND.shape[0] * weight_VD.shape[0] <= (chunk_elements or CHUNK_ELEMENTS):
        return _whole(head, targets_N, names, differentiated, temperature, teacher, share)
    else:
        values = ExactHead.apply(*kept, chunk_elements or CHUNK_ELEMENTS, names, through, taught)
    return dict(zip(names, values, strict=True))


def _check(head: Head, targets_N: Tensor, names: list[str], temperature: float, teacher: Head | None, share: float) -> None:
    hidden_ND, weight_VD, bias_V, *_ = head
    if hidden_ND.dim() != 2 or weight_VD.dim() != 2 or hidden_ND.shape[1] != weight_VD.shape[1]:
        raise ValueError(f"expected hidden [N, D] and weight [V, D], got {tuple(hidden_ND.shape)} and {tuple(weight_VD.shape)}")
    if targets_N.shape != hidden_ND.shape[:1]:
        raise ValueError(f"expected one target per hidden state, got {tuple(targets_N.shape)} for {tuple(hidden_ND.shape)}")
    if bias_V is not None and bias_V.shape != weight_VD.shape[:1]:
        raise ValueError(f"expected bias [V], got {tuple(bias_V.shape)} for weight {tuple(weight_VD.shape)}")
    if unknown := [name for name in names if name not in NAMES]:
        raise ValueError(f"{unknown[0]!r} is no output of the head; choose from {', '.join(NAMES)}")
    if any(name in OF_TEACHER for name in names):
        if teacher is None:
            raise ValueError(f"{', '.join(OF_TEACHER)} are divergences from a teacher; give its hidden states and head")
        if len(teacher.weight_VD) != len(weight_VD) or len(teacher.hidden_ND) != len(hidden_ND):
            shapes = f"[{len(teacher.hidden_ND)}, {len(teacher.weight_VD)}] for [{len(hidden_ND)}, {len(weight_VD)}]"
            raise ValueError(f"expected a teacher's logits of the policy's shape, got {shapes}")
    if "jsd" in names and not 0 < share < 1:
        raise ValueError(f"the teacher's share in a mixture must be between 0 and 1, got {share}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; greedy decoding has no log-probs to train on")


def _whole(
    head: Head,
    targets_N: Tensor,
    names: tuple[str, ...],
    differentiated: set[str],
    temperature: float,
    teacher: Head | None,
    share: float,
) -> dict[str, Tensor]:
    """All tokens at once in plain autograd: what `ExactHead` computes, fastest where the logits are small."""
    dtype = precision(head.hidden_ND)
    logp_NV = torch.log_softmax(_logits(head, temperature, dtype), dim=-1)
    found = {}
    with torch.no_grad():
        teacher_NV = None if teacher is None else torch.log_softmax(_logits(teacher, temperature, dtype), dim=-1)
    for name in names:
        if name != "logp":
            with torch.set_grad_enabled(torch.is_grad_enabled() and name in differentiated):
                found[name] = _of_whole(name, logp_NV, teacher_NV, share)
    return found | {"logp": logp_NV.gather(-1, targets_N[:, None])[:, 0]}


def _capped(
    head: Head,
    targets_N: Tensor,
    names: tuple[str, ...],
    differentiated: set[str],
    temperature: float,
    teacher: Head | None,
    share: float,
    chunk_elements: int,
) -> dict[str, Tensor]:
    """Soft-capped logits chunk by chunk in plain autograd, each chunk computed again for its backward pass."""
    found = []
    for chunk in chunks(len(targets_N), len(head.weight_VD), chunk_elements):
        taught = None if teacher is None else teacher.rows(chunk)
        inputs = head.rows(chunk), targets_N[chunk], names, differentiated, temperature, taught, share
        found.append(checkpoint(_whole, *inputs, use_reentrant=False))
    return {name: torch.cat([one[name] for one in found]) for name in names}


def _logits(head: Head, temperature: float, dtype: torch.dtype) -> Tensor:
    """Logits [N, V] of the whole head at the sampling temperature, in `dtype`."""
    if not head.cap:
        return logits_of(*head[:3], temperature / head.scale, dtype)
    products_NV = logits_of(*head[:3], 1.0, dtype)
    return torch.tanh(products_NV * (head.scale / head.cap)) * (head.cap / temperature)


def _of_whole(name: str, logp_NV: Tensor, teacher_NV: Tensor | None, share: float) -> Tensor:
    """One output [N] from log-probabilities over the whole vocabulary."""
    if name == "entropy":
        return -torch.linalg.vecdot(logp_NV.exp(), logp_NV)
    if name == "squared_probs":
        return logp_NV.exp().square().sum(dim=-1)
    assert teacher_NV is not None
    if name == "reverse_kl":
        return torch.linalg.vecdot(logp_NV.exp(), logp_NV - teacher_NV)
    if name == "jsd":
        mixture_NV = torch.logaddexp(logp_NV + math.log1p(-share), teacher_NV + math.log(share))
        of_policy_N = torch.linalg.vecdot(logp_NV.exp(), logp_NV - mixture_NV)
        return (1 - share) * of_policy_N + share * torch.linalg.vecdot(teacher_NV.exp(), teacher_NV - mixture_NV)
    return torch.linalg.vecdot(teacher_NV.exp(), teacher_NV - logp_NV)
