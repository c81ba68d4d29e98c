"""The expectation of a configuration's gradient over everything that can be sampled: by enumeration, not by sampling.

The samples of one prompt are a multiset of responses; its probability is multinomial, and a configuration's gradient on it is what
the loop would compute. An update's batch is one prompt's samples. Where a row reads nothing beyond its own group (found out by
comparing), all multisets are computed as one batch of that many prompts; else one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from math import lgamma

import torch
from torch import Tensor

from unified_rl.config.rewards import STEP_VALUES
from unified_rl.config.schema import Config
from unified_rl.labs.bias.world import World
from unified_rl.labs.conformance import of_logp
from unified_rl.methods.base import Inputs

#: Rows computed at a time.
CHUNK = 400_000


@dataclass(frozen=True)
class Situation:
    """A problem and the policies around it, as tables of logits.

    policy: the one that is updated. old: that of the rollout's beginning. sampler: whose samples they are. reference, teacher.
    reward_R: in place of 1 for right and 0 for wrong.
    """

    world: World
    policy: Tensor
    old: Tensor
    sampler: Tensor
    reference: Tensor
    teacher: Tensor
    reward_R: Tensor | None = None


@dataclass(frozen=True)
class Gradient:
    """An expected gradient [S V], and how one batch's scatters around it: E|g|^2 - |E g|^2. groups: how many were enumerated."""

    mean: Tensor
    variance: float
    groups: int

    @property
    def noise(self) -> float:
        """Variance over the squared length of the mean: batches needed for a signal as large as its noise."""
        size = float(self.mean @ self.mean)
        return self.variance / size if size > 1e-24 else float("inf")


@dataclass(frozen=True)
class Sampled:
    """Multisets of response numbers [M, G] with their probabilities [M]. pairs: whether each is (chosen, rejected)."""

    rows_MG: Tensor
    probability_M: Tensor
    pairs: bool = False


def multisets(probability_R: Tensor, size: int) -> Sampled:
    """Every multiset of `size` responses that can happen, and how likely it is as an unordered sample."""
    possible = (probability_R > 0).nonzero()[:, 0]
    found = torch.tensor(list(combinations_with_replacement(range(len(possible)), size)))
    counts_MR = torch.stack([(found == response).sum(1) for response in range(len(possible))], 1).double()
    log = lgamma(size + 1) - torch.lgamma(counts_MR + 1).sum(1) + counts_MR @ probability_R[possible].log()
    return Sampled(possible[found], log.exp())


def right_wrong_pairs(probability_R: Tensor, right_R: Tensor) -> Sampled:
    """Every pair (right, wrong) of independent samples, given that there is one."""
    right, wrong = right_R.nonzero()[:, 0], (~right_R).nonzero()[:, 0]
    rows = torch.cartesian_prod(right, wrong)
    weight = probability_R[rows[:, 0]] * probability_R[rows[:, 1]]
    return Sampled(rows, weight / weight.sum(), pairs=True)


def informative(given: Sampled, right_R: Tensor) -> Sampled:
    """Only the groups with right and wrong responses, as a source that draws others anew yields them."""
    shares_M = right_R[given.rows_MG].double().mean(1)
    kept = (shares_M > 0) & (shares_M < 1)
    return Sampled(given.rows_MG[kept], given.probability_M[kept] / given.probability_M[kept].sum())


def expected(config: Config, situation: Situation, sampled: Sampled) -> Gradient:
    """The expectation of the ascent direction that a configuration gives, over what is sampled."""
    scores_RTP = situation.world.scores(situation.policy)
    apart = not _reads_its_own_group_alone(config, situation, sampled)
    mean, square = torch.zeros(scores_RTP.shape[-1], dtype=torch.float64), 0.0
    size = 1 if apart else max(1, CHUNK // sampled.rows_MG.shape[1])
    for rows_MG, weight_M in zip(sampled.rows_MG.split(size), sampled.probability_M.split(size), strict=True):
        gradient_MP = _gradients(config, situation, rows_MG, scores_RTP, sampled.pairs)
        mean += weight_M @ gradient_MP
        square += float(weight_M @ gradient_MP.square().sum(1))
    return Gradient(mean, square - float(mean @ mean), len(sampled.rows_MG))


def _gradients(config: Config, situation: Situation, rows_MG: Tensor, scores_RTP: Tensor, pairs: bool) -> Tensor:
    """The gradient of each group as if it were a batch of its own. [M, P]."""
    inputs, logp_BT = inputs_of(situation, rows_MG, pairs)
    if config.reward.supervision == "process":
        inputs = with_steps(inputs, situation, rows_MG.flatten(), gains=config.reward.source == STEP_VALUES)
    ascent_BT = -len(rows_MG) * of_logp(config, inputs, logp_BT)
    responses, places, size = scores_RTP.shape
    weight_MRT = torch.zeros(len(rows_MG), responses, places, dtype=torch.float64)
    where = rows_MG[:, :, None].expand(-1, -1, places)
    weight_MRT.scatter_add_(1, where, ascent_BT.view(*rows_MG.shape, places))
    return weight_MRT.flatten(1) @ scores_RTP.reshape(responses * places, size)


def _reads_its_own_group_alone(config: Config, situation: Situation, sampled: Sampled) -> bool:
    """Whether a few groups computed together are what they are computed apart."""
    scores_RTP = situation.world.scores(situation.policy)
    few = sampled.rows_MG[torch.linspace(0, len(sampled.rows_MG) - 1, 7).long()]
    together = _gradients(config, situation, few, scores_RTP, sampled.pairs)
    alone = torch.cat([_gradients(config, situation, one, scores_RTP, sampled.pairs) for one in few.split(1)])
    return bool((together - alone).abs().max() <= 1e-9 * alone.abs().max().clamp(min=1e-9))


def inputs_of(situation: Situation, rows_MG: Tensor, pairs: bool = False) -> tuple[Inputs, Tensor]:
    """Groups of responses as a coefficient reads them, and their log-probs [M G, T]."""
    world, rows = situation.world, rows_MG.flatten()
    right_B = world.right_R[rows].double()
    count = rows_MG.shape[1]
    logp_BT = world.logp(situation.policy)[rows]
    given = Inputs(
        response_mask_BT=world.mask_RT[rows],
        group_B=torch.arange(len(rows_MG)).repeat_interleave(count),
        rewards_B=right_B if situation.reward_R is None else situation.reward_R[rows],
        correct_B=right_B,
        truncated_B=world.truncated_R[rows],
        behaviour_logp_BT=world.logp(situation.sampler)[rows],
        old_logp_BT=world.logp(situation.old)[rows],
        ref_logp_BT=world.logp(situation.reference)[rows],
        values_BT=_values(situation)[world.state_RT][rows],
        chosen_B=torch.tensor([True, False]).repeat(len(rows_MG)) if pairs else None,
    )
    return given.adding(_signals(situation, rows)), logp_BT


def with_steps(inputs: Inputs, situation: Situation, rows: Tensor, gains: bool = False) -> Inputs:
    """The same under process supervision: every token is a step, right while a right response can still follow.

    gains: a step's reward is what it gains in value, under the old policy and exactly, as of endlessly many completions.
    """
    steps_BT = _gains(situation)[rows] if gains else situation.world.reachable_RT[rows].double()
    return replace(inputs, step_rewards_BT=steps_BT, step_ends_BT=inputs.response_mask_BT)


def _values(situation: Situation) -> Tensor:
    """The exact value of each prefix under the old policy. [S]."""
    world = situation.world
    probability_R = world.probability(situation.old)
    reached, rewarded = (torch.zeros(world.states, dtype=torch.float64) for _ in range(2))
    for place in range(world.mask_RT.shape[1]):
        rows = world.mask_RT[:, place].nonzero()[:, 0]
        reached.index_add_(0, world.state_RT[rows, place], probability_R[rows])
        rewarded.index_add_(0, world.state_RT[rows, place], probability_R[rows] * world.right_R[rows])
    return rewarded / reached.clamp(min=1e-300)


def _gains(situation: Situation) -> Tensor:
    """The value after each token of each response less that before it; after the last one it is the reward. [R, T]."""
    world = situation.world
    before_RT = torch.where(world.mask_RT, _values(situation)[world.state_RT], 0)
    after_RT = torch.cat([before_RT[:, 1:], torch.zeros_like(before_RT[:, :1])], 1)
    after_RT[torch.arange(len(before_RT)), world.lengths_R - 1] = world.right_R.double()
    return torch.where(world.mask_RT, after_RT - before_RT, 0)


def _signals(situation: Situation, rows: Tensor) -> dict[str, Tensor]:
    """Signals of the table's distributions at each place, and a teacher's log-probs."""
    world = situation.world
    table, teacher = situation.policy.log_softmax(-1), situation.teacher.log_softmax(-1)
    per_state = {
        "entropy_BT": -(table.exp() * table).sum(-1),
        "squared_probs_BT": (2 * table).exp().sum(-1),
    }
    found = {name: values[world.state_RT][rows] for name, values in per_state.items()}
    return {**found, "teacher_logp_BT": teacher[world.state_RT, world.token_RT][rows]}


def responses_of(situation: Situation, logits: Tensor) -> Tensor:
    """The distribution over responses of one of the situation's policies, by its logits."""
    return situation.world.probability(logits)
