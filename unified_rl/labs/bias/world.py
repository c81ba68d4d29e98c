"""A problem small enough to enumerate: its responses, their probabilities under a table of logits, and objectives' exact gradients.

Tokens are a, b, ... and "." (the end); a response ends with it, or is cut off at `longest` tokens (truncated). It is right if it
ends and has exactly one b. A policy is a table of logits, a row for each prefix: its gradient is a vector over that table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

#: Spread of a random policy's logits, and of its steps towards other policies.
SPREAD, SEED = 0.8, 5


@dataclass(frozen=True)
class World:
    """The responses of a problem.

    token_RT, state_RT: token and prefix at each place; mask_RT: which places are the response's. right_R, truncated_R: bool.
    reachable_RT: whether a right response begins with the tokens up to and with this one. names: as text. states, vocabulary:
    how many.
    """

    token_RT: Tensor
    state_RT: Tensor
    mask_RT: Tensor
    right_R: Tensor
    truncated_R: Tensor
    reachable_RT: Tensor
    names: tuple[str, ...]
    states: int
    vocabulary: int

    @property
    def lengths_R(self) -> Tensor:
        return self.mask_RT.sum(1)

    def logp(self, logits_SV: Tensor) -> Tensor:
        """Log-prob of each token of each response, 0 off the mask. [R, T]."""
        table = logits_SV.log_softmax(-1)
        return torch.where(self.mask_RT, table[self.state_RT, self.token_RT], 0)

    def probability(self, logits_SV: Tensor) -> Tensor:
        """Of each response; they sum to 1. [R]."""
        return self.logp(logits_SV).sum(1).exp()

    def success(self, logits_SV: Tensor) -> Tensor:
        """The chance of a right response."""
        return self.probability(logits_SV)[self.right_R].sum()

    def scores(self, logits_SV: Tensor) -> Tensor:
        """d log pi(o_t | o_<t) / d logits of every token of every response, as vectors over the table. [R, T, S V]."""
        probs_SV = logits_SV.softmax(-1)
        found = torch.zeros(*self.token_RT.shape, self.states, self.vocabulary, dtype=logits_SV.dtype)
        for row, place in self.mask_RT.nonzero().tolist():
            state = int(self.state_RT[row, place])
            found[row, place, state] = -probs_SV[state]
            found[row, place, state, self.token_RT[row, place]] += 1
        return found.flatten(2)


def world(longest: int, vocabulary: int = 3) -> World:
    """All responses of at most `longest` tokens."""
    end, letters = vocabulary - 1, range(vocabulary - 1)
    prefixes = [prefix for length in range(longest) for prefix in product(letters, repeat=length)]
    state = {prefix: place for place, prefix in enumerate(prefixes)}
    responses = [(*prefix, end) for prefix in prefixes] + list(product(letters, repeat=longest))
    names = tuple("".join("." if token == end else "abcdefgh"[token] for token in one) for one in responses)
    right = [one[-1] == end and one.count(1) == 1 for one in responses]
    begins = {one[:place] for one, good in zip(responses, right, strict=True) if good for place in range(1, len(one) + 1)}

    def table(value: Callable[[tuple[int, ...], int], int]) -> Tensor:
        return torch.tensor([[value(one, place) if place < len(one) else 0 for place in range(longest)] for one in responses])

    return World(
        table(lambda one, place: one[place]),
        table(lambda one, place: state[one[:place]]),
        table(lambda one, place: 1).bool(),
        torch.tensor(right),
        torch.tensor([one[-1] != end for one in responses]),
        table(lambda one, place: int(one[: place + 1] in begins)).bool(),
        names,
        len(prefixes),
        vocabulary,
    )


def random_logits(given: World, name: int) -> Tensor:
    """A table of logits by its number. [S, V], float64."""
    generator = torch.Generator().manual_seed(SEED + name)
    return SPREAD * torch.randn(given.states, given.vocabulary, generator=generator, dtype=torch.float64)


def with_success(given: World, logits_SV: Tensor, p: float) -> Tensor:
    """A table moved along the gradient of its success until that is p, by bisection of the step."""
    towards = gradient_of(lambda logits: given.success(logits).logit(), logits_SV).view_as(logits_SV)
    low, high = -200.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if given.success(logits_SV + middle * towards) < p else (low, middle)
    return logits_SV + (low + high) / 2 * towards


def filtered(logits_SV: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """The logits of a sampler at a temperature, with what lies outside the smallest set of mass top_p at -1e9."""
    scaled = logits_SV / temperature
    if top_p >= 1:
        return scaled
    ordered, order = scaled.softmax(-1).sort(-1, descending=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    return scaled.masked_fill(~torch.zeros_like(kept).scatter(-1, order, kept), -1e9)


def reverse_kl(given: World, logits_SV: Tensor, other_SV: Tensor) -> Tensor:
    """KL(pi || other) of whole responses: an expectation of log-ratios summed over tokens."""
    ratio = (given.logp(logits_SV) - given.logp(other_SV)).sum(1)
    return (given.probability(logits_SV) * ratio).sum()


def token_kl(given: World, logits_SV: Tensor, other_SV: Tensor, direction: str, start_SV: Tensor | None = None) -> Tensor:
    """The KL of each visited state's distributions, summed over a response, over responses of `start` (a constant).

    direction: "reverse", KL(pi || other), or "forward", KL(other || pi). start: whose responses; by default the policy's now.
    """
    table, others = logits_SV.log_softmax(-1), other_SV.log_softmax(-1)
    pair = (table, others) if direction == "reverse" else (others, table)
    kl_S = (pair[0].exp() * (pair[0] - pair[1])).sum(-1)
    visits = given.probability((logits_SV if start_SV is None else start_SV).detach())
    return (visits * torch.where(given.mask_RT, kl_S[given.state_RT], 0).sum(1)).sum()


def gradients(given: World, logits_SV: Tensor, reference_SV: Tensor, teacher_SV: Tensor, kl_coef: float) -> dict[str, Tensor]:
    """Objective -> its exact gradient at the table, as a vector. Names are those of the tables and figures."""
    objectives: dict[str, Callable[[Tensor], Tensor]] = {
        "expected reward": given.success,
        "Pass@4": lambda logits: 1 - (1 - given.success(logits)) ** 4,
        "log p": lambda logits: given.success(logits).log(),
        "reward - KL": lambda logits: given.success(logits) - kl_coef * reverse_kl(given, logits, reference_SV),
        "likelihood": lambda logits: (given.probability(teacher_SV) * given.logp(logits).sum(1)).sum(),
        "-KL to teacher": lambda logits: -reverse_kl(given, logits, teacher_SV),
    }
    return {name: gradient_of(objective, logits_SV) for name, objective in objectives.items()}


def gradient_of(objective: Callable[[Tensor], Tensor], logits_SV: Tensor) -> Tensor:
    """d objective / d logits, as a vector [S V]."""
    leaf = logits_SV.detach().clone().requires_grad_(True)
    (found,) = torch.autograd.grad(objective(leaf), leaf)
    return found.flatten()
