"""A reward model over whole responses: as the trainer takes them, and served in batches.

The packed engine reads a scalar head at the position that *predicts* a token, before that token is seen. So a response is given
one token more than it has: its logit after token t is then the output at place t + 1, and the last place belongs to the added
token, which predicts nothing, is never read, and may be any id.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from unified_rl.base.errors import DataError
from unified_rl.base.types import Prompt, Response
from unified_rl.models.forward import response_values
from unified_rl.models.reward_model import RewardModel
from unified_rl.models.roles import Outputs
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import PackedRows, TokenSequence
from unified_rl.training.passes import evaluate_role

_ANY_TOKEN = 0
_SEQUENCES_AT_ONCE = 4096


def as_sequence(prompt: Prompt, token_ids: np.ndarray) -> TokenSequence:
    """A response (int64 [T]) as the trainer takes it: with the added token, so that all T tokens are read.

    Raises:
        DataError: the response has no tokens.
    """
    if len(token_ids) == 0:
        raise DataError(f"a response to prompt {prompt.id!r} has no tokens, so there is nothing to score; drop it")
    return TokenSequence(np.array(prompt.token_ids), np.append(token_ids, _ANY_TOKEN), prompt.id)


def reward_role(model: nn.Module, packed: PackedRows) -> Outputs:
    """Output "logit" at place t + 1: after token t was read. Place 0 is after the prompt alone."""
    return {"logit": response_values(model, packed)}  # type: ignore[arg-type]


class RewardScorer:
    """Serves a reward model in batches. Implements `rewards.model.Scorer`.

    Attributes:
        kind: "outcome" or "process": where its logits mean something.
    """

    def __init__(self, model: RewardModel, kind: str, layout: Layout) -> None:
        self.kind = kind
        self._model, self._layout = model, layout

    def scores(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[np.ndarray]:
        """Logits, float32 [T] per response, after each of its tokens; `responses[i]` answers `prompts[i]`.

        Raises:
            DataError: a response without tokens, or longer than the model's context.
        """
        logits: list[np.ndarray] = []
        for start in range(0, len(responses), _SEQUENCES_AT_ONCE):
            chunk = slice(start, start + _SEQUENCES_AT_ONCE)
            sequences = [
                as_sequence(prompt, response.token_ids)
                for prompt, response in zip(prompts[chunk], responses[chunk], strict=True)
            ]
            outputs_BT = evaluate_role(self._model, reward_role, sequences, self._layout)["logit"].float().cpu().numpy()
            logits += [row[1 : len(one.response_ids)] for row, one in zip(outputs_BT, sequences, strict=True)]
        return logits
