"""Responses found by a search over steps: some are sampled from the prompt, the others branch off from them at step ends.

What the responses of a group are a sample of: *not* of the policy. Each is a text that the policy could write, token after token
from its own distribution, and `behaviour_logp` are those probabilities. But responses share beginnings, so they are not
independent; a beginning is continued only where a response went on beyond it, so what long responses begin with comes up more often
than by sampling; and `best` lets the reward choose. The probability with which the search finds a response is not the product of
its tokens' and is not known. So the responses are data for a likelihood (Online RFT), and not for a coefficient that estimates an
expectation over the policy's samples: those are refused (`Provides.unknown_probability`). A coefficient that says so (`tree` in its
needs) learns from them all the same, token by token: each was drawn by the policy in its state, which the search chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, Draw, Generator, Prompt, Response, Reward, Tokenizer
from unified_rl.config.ranges import at_least, one_of
from unified_rl.sources.declaration import Given, Provides, SourceDeclaration, Writer, decoding_of, group_size
from unified_rl.sources.online import score_groups
from unified_rl.sources.prompts import PromptPool

StepEnds = Callable[[Prompt, Response], np.ndarray]


@dataclass(frozen=True)
class Beginning:
    """The first tokens of a response, up to a step's end, and their log-probs under the sampler. Empty: the prompt itself."""

    token_ids: tuple[int, ...] = ()
    behaviour_logp: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class _Branch:
    """A response that is wanted: number `index` of the group at `place`, going on from `beginning`."""

    place: int
    index: int
    beginning: Beginning


#: (the reward, prompts, each one's responses so far) -> of each prompt those that may be branched from.
Choice = Callable[[Reward, Sequence[Prompt], Sequence[Sequence[Response]]], Sequence[Sequence[Response]]]


def random_responses(
    reward: Reward, prompts: Sequence[Prompt], so_far: Sequence[Sequence[Response]]
) -> Sequence[Sequence[Response]]:
    """All of them: every step end is as good as any other."""
    return so_far


def best_responses(
    reward: Reward, prompts: Sequence[Prompt], so_far: Sequence[Sequence[Response]]
) -> Sequence[Sequence[Response]]:
    """Those with the highest reward so far (all of them, while they are equal)."""
    chosen = []
    for group, scores in zip(so_far, reward.score(prompts, so_far), strict=True):
        best = max(score.reward for score in scores)
        chosen.append([one for one, score in zip(group, scores, strict=True) if score.reward == best])
    return chosen


BRANCH_FROM: dict[str, Choice] = {
    "random": random_responses,
    "best": best_responses,
}


class TreeSearch:
    """`responses_per_prompt` scored responses to each of the step's prompts: `roots` from the prompt, the others from step ends.

    In each of `rounds` rounds, an even share of the branches is drawn: first one of the different beginnings that the chosen
    responses have so far, uniformly, then its continuation by the current policy. A response without an inner step end has no
    beginning to go on from; where no chosen response has one, a branch starts from the prompt.

    The noise is a function of (seed, step, place in the step, index in the group), and the roots are the first responses that
    `OnlineSamples` would sample.

    Args of the constructor:
        step_ends: (prompt, response) -> index of each step's last token, ascending.
        branch_from: chooses the responses to branch from, one of `BRANCH_FROM`.
        context: most tokens a prompt and its response may have together; 0 = no limit.
    """

    def __init__(
        self,
        pool: PromptPool,
        generator: Generator,
        reward: Reward,
        decoding: Decoding,
        tokenizer: Tokenizer,
        step_ends: StepEnds,
        branch_from: Choice,
        *,
        seed: int,
        prompts_per_step: int,
        responses_per_prompt: int,
        roots: int,
        rounds: int,
        context: int = 0,
    ) -> None:
        self.pool, self._generator, self._reward, self._decoding = pool, generator, reward, decoding
        self._tokenizer, self._step_ends, self._branch_from = tokenizer, step_ends, branch_from
        self._seed, self._prompts_per_step, self._context = seed, prompts_per_step, context
        branches = np.array_split(np.arange(roots, responses_per_prompt), rounds)
        self._rounds = [np.arange(roots), *(indices for indices in branches if len(indices))]

    def draw(self, step: int, policy_version: int) -> Draw:
        return self.sample(self.pool.indices(step, self._prompts_per_step), step, policy_version)

    def sample(self, indices: Sequence[int], draw: int, policy_version: int) -> Draw:
        """Groups for given prompts of the pool.

        Tokens of a beginning are counted once, where they were sampled; those cut off are counted too. The reward is asked about
        whole groups, in which a response may be judged by the others.
        """
        prompts = [self.pool[index] for index in indices]
        whole: list[list[Response]] = [[] for _ in prompts]
        sampled = 0
        for turn, numbers in enumerate(self._rounds):
            chosen = self._branch_from(self._reward, prompts, whole) if turn else whole
            wanted = [
                _Branch(place, int(index), self._beginning(prompts[place], group, draw, place, int(index)))
                for place, group in enumerate(chosen)
                for index in numbers
            ]
            pieces = self._continue(prompts, wanted, draw, policy_version)
            sampled += sum(map(len, pieces))
            for branch, piece in zip(wanted, pieces, strict=True):
                whole[branch.place].append(self._whole(branch.beginning, piece))
        return Draw(score_groups(self._reward, prompts, whole), sampled)

    def _beginning(self, prompt: Prompt, chosen: Sequence[Response], step: int, place: int, index: int) -> Beginning:
        """What response `index` goes on from: a function of the chosen ones and (seed, step, place, index)."""
        if not chosen:
            return Beginning()
        found = {beginning.token_ids: beginning for response in chosen for beginning in self._beginnings(prompt, response)}
        choices = list(found.values()) or [Beginning()]
        return choices[int(rng.generator(self._seed, "branches", step, place, index).integers(len(choices)))]

    def _beginnings(self, prompt: Prompt, response: Response) -> list[Beginning]:
        """A response's beginnings: up to each step's end but the last."""
        lengths = [int(end) + 1 for end in self._step_ends(prompt, response)[:-1]]
        return [
            Beginning(tuple(response.token_ids[:length].tolist()), tuple(response.behaviour_logp[:length].tolist()))
            for length in lengths
            if length < len(response)
        ]

    def _continue(self, prompts: Sequence[Prompt], wanted: Sequence[_Branch], step: int, version: int) -> list[Response]:
        """The rest of each wanted response, at least as long as its beginning leaves room for.

        A larger `max_new_tokens` continues the same response, so branches share a call with the one that may write most, as far
        as the context allows; what goes beyond a branch's own limit is cut off afterwards.
        """
        room = [self._decoding.max_new_tokens - len(branch.beginning) for branch in wanted]
        length = [len(prompts[branch.place].token_ids) + len(branch.beginning) for branch in wanted]
        context = self._context or max(length) + max(room)
        pieces: list[Response | None] = [None] * len(wanted)
        left = sorted(range(len(wanted)), key=lambda item: -room[item])
        while left:
            budget = room[left[0]]
            together = [item for item in left if item == left[0] or length[item] + budget <= context]
            left = [item for item in left if item not in set(together)]
            answers = self._generator.generate(
                [self._prompt(prompts, wanted[item]) for item in together],
                [[rng.derive_seed(self._seed, "sampling", step, wanted[item].place, wanted[item].index)] for item in together],
                replace(self._decoding, max_new_tokens=budget),
                version,
            )
            for item, (answer,) in zip(together, answers, strict=True):
                pieces[item] = answer
        return pieces  # type: ignore[return-value]

    @staticmethod
    def _prompt(prompts: Sequence[Prompt], branch: _Branch) -> Prompt:
        prompt = prompts[branch.place]
        return replace(prompt, token_ids=(*prompt.token_ids, *branch.beginning.token_ids))

    def _whole(self, beginning: Beginning, piece: Response) -> Response:
        """The response as if it had been sampled in one go: the policy drew each of its tokens, those of its beginning earlier."""
        if not len(beginning):
            return piece
        limit = self._decoding.max_new_tokens
        token_ids = np.concatenate([np.array(beginning.token_ids, dtype=np.int64), piece.token_ids])
        logp = np.concatenate([np.array(beginning.behaviour_logp, dtype=np.float32), piece.behaviour_logp])
        return replace(
            piece,
            token_ids=token_ids[:limit],
            behaviour_logp=logp[:limit],
            finish=piece.finish if len(token_ids) <= limit else "length",
            decoding=self._decoding,
            text=self._tokenizer.decode(token_ids[:limit].tolist(), skip_special_tokens=True),
        )


@dataclass
class TreeOptions:
    """roots, branch_rounds, branch_from, segmentation: the first `roots` responses to a prompt are sampled from the prompt, the
    others in `branch_rounds` rounds from step ends of those before: random ones, or of the responses with the best reward. Where
    steps end: newline | step_n | task | token:ID (rewards/steps.py).
    """

    roots: int = 2
    branch_rounds: int = 2
    branch_from: str = "random"
    segmentation: str = "newline"

    def check_tree(self) -> None:
        at_least("source.roots", self.roots, 1)
        at_least("source.branch_rounds", self.branch_rounds, 1)
        one_of("source.branch_from", self.branch_from, tuple(BRANCH_FROM))


def _check(config: Any) -> None:
    if config.source.roots > config.rollout.responses_per_prompt:
        raise ConfigError(
            f"source.roots={config.source.roots} exceeds rollout.responses_per_prompt={config.rollout.responses_per_prompt}, which "
            "counts roots and branches together; lower source.roots"
        )


def build(given: Given) -> TreeSearch:
    """The configured source."""
    config = given.config
    return TreeSearch(
        given.pool(),
        given.generator,
        given.reward,
        decoding_of(given),
        given.tokenizer,
        given.step_ends(config.source.segmentation),
        BRANCH_FROM[config.source.branch_from],
        seed=config.seed,
        prompts_per_step=config.rollout.prompts_per_step,
        responses_per_prompt=group_size(given),
        roots=config.source.roots,
        rounds=config.source.branch_rounds,
        context=given.context,
    )


DECLARATION = SourceDeclaration(
    name="tree_search",
    provides=Provides(
        Writer.CURRENT,
        unknown_probability="yields responses that share beginnings and were continued where the search chose to: nobody knows how "
        "likely it was to find each, so no importance weight can correct for it",
        tree=True,
    ),
    in_words="q ~ P_sft(Q), o ~ pi_theta(O|q, a prefix of another o that ends with a step)",
    what="some from the prompt, the others from step ends of those before",
    by="the current policy, where the search led it",
    build=build,
    offers=lambda config: config.rollout.responses_per_prompt,
    options=(TreeOptions,),
    needs=frozenset({"continuations"}),
    check=_check,
    sampler=lambda config: "the current policy",
)
