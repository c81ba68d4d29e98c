"""Demonstrations, (q, o) ~ P_sft(Q, O): written solutions as responses nobody sampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.base.types import Demonstration, Draw, Prompt, Response, Reward, Source, Tokenizer
from unified_rl.sources.declaration import Given, Provides, SourceDeclaration, Writer
from unified_rl.sources.online import score_groups
from unified_rl.sources.prompts import PromptPool

NO_POLICY = -1


class Demonstrations:
    """The step's prompts, each with its one written solution."""

    def __init__(self, pool: PromptPool, responses: Sequence[Response], reward: Reward, *, prompts_per_step: int) -> None:
        self.pool, self._responses, self._reward, self._prompts_per_step = pool, responses, reward, prompts_per_step

    def draw(self, step: int, policy_version: int) -> Draw:
        return self.sample(self.pool.indices(step, self._prompts_per_step), step, policy_version)

    def sample(self, indices: Sequence[int], draw: int, policy_version: int) -> Draw:
        """The written solutions of given prompts of the pool."""
        return Draw(score_groups(self._reward, [self.pool[i] for i in indices], [[self._responses[i]] for i in indices]))


def as_response(demonstration: Demonstration, prompt: Prompt, tokenizer: Tokenizer, eos_id: int) -> Response:
    """A written solution as token ids with EOS; the solution is encoded apart from the prompt, as a response would be sampled.

    Raises:
        DataError: a solution without tokens.
    """
    ids = list(tokenizer.encode(demonstration.solution, add_special_tokens=False))
    if not ids:
        raise DataError(f"demonstration of problem {prompt.id!r} has a solution without tokens; drop the record or mend it")
    if special := {eos_id}.union(getattr(tokenizer, "all_special_ids", ())).intersection(ids):
        raise DataError(
            f"demonstration of problem {prompt.id!r}: its solution holds the text of a special token "
            f"({tokenizer.decode([min(special)])!r}), which would end or split it; drop the record or mend it"
        )
    token_ids = np.array([*ids, eos_id], dtype=np.int64)
    return Response(
        token_ids=token_ids,
        behaviour_logp=np.full(len(token_ids), np.nan, dtype=np.float32),
        finish="stop",
        policy_version=NO_POLICY,
        decoding=None,
        seed=0,
        text=demonstration.solution,
    )


def build(given: Given) -> Source:
    """The configured source: a mix of parts, or the task's own solutions."""
    if given.config.data.mixed:
        return given.mixed(label="demonstrations")
    pool, responses = given.written()
    return Demonstrations(pool, responses, given.reward, prompts_per_step=given.config.rollout.prompts_per_step)


DECLARATION = SourceDeclaration(
    name="demonstrations",
    provides=Provides(Writer.DATA, stored=True, responses="one", logp=False, pool=False),
    in_words="q, o ~ P_sft(Q, O)",
    what="the one written solution of each prompt",
    by="nobody's policy",
    build=build,
    offers=lambda config: 1,
)
