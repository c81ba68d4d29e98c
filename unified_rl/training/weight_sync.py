"""Weights from the trainer to a sampler with weights of its own, and the proof that they arrived.

After every push a few responses are sampled and scored by both sides. Their log-probs agree to rounding if the sampler has the
trainer's weights, reads them the same way and has forgotten what it computed with the old ones; else the run stops.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from unified_rl.base import rng
from unified_rl.base.errors import TrainingError
from unified_rl.base.types import ONE_RANK, Decoding, Generator, GeneratorInfo, Prompt, Ranks, Response
from unified_rl.models.adapters import adapted_layers, low_rank
from unified_rl.models.merging import merged
from unified_rl.packing.packed_rows import TokenSequence

#: Mean |log-prob difference| that two correct engines may show, by dtype of the weights.
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}
#: What PEFT puts into the name of a weight under an adapter.
_UNDER = ".base_layer."
#: Tokens of each probe response.
PROBE_TOKENS = 32


class Sampler(Generator, Protocol):
    """A generator with weights of its own."""

    def load_weights(self, weights: Iterator[tuple[str, Tensor]]) -> None:
        """Take over weights, one tensor at a time."""

    def rest(self) -> None:
        """Nothing will be sampled for a while."""


class Trained(Protocol):
    """What a trainer of the policy offers: its module, the updates behind its weights, and log-probs under them."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def updates(self) -> int: ...

    def outputs(self, sequences: Sequence[TokenSequence]) -> Mapping[str, Tensor]: ...


def whole_weights(model: nn.Module, wanted: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
    """Every parameter (or those `wanted`) under its name in the module, whole, one at a time; tied ones once.

    Parameters that ZeRO-3 has divided are gathered one by one, as a copy that lasts until the receiver drops it. All ranks must
    iterate together.
    """
    for name, parameter in model.named_parameters():
        if wanted is not None and name not in wanted:
            continue
        with _gathered(parameter):
            whole = parameter.detach().clone() if hasattr(parameter, "ds_id") else parameter.detach()
        yield name, whole


@torch.no_grad()
def served_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of the model that is sampled from, as `whole_weights`: adapters merged, under the names of their layers."""
    layers = adapted_layers(model)
    parts = {id(part) for layer in layers.values() for part in low_rank(layer)[:2]}
    for name, parameter in model.named_parameters():
        if id(parameter) in parts:
            continue
        owner, _, leaf = name.rpartition(_UNDER)
        adapted = layers.get(owner) if leaf == "weight" else None
        a_RI, b_OR, scale = low_rank(adapted) if adapted else (None, None, 0.0)
        with _gathered(*(one for one in (parameter, a_RI, b_OR) if one is not None)):
            whole = parameter.detach().clone() if hasattr(parameter, "ds_id") else parameter.detach()
            if adapted and a_RI is not None and b_OR is not None:
                whole = merged(adapted.get_base_layer(), a_RI, b_OR, scale, whole)
        yield name.replace(_UNDER, "."), whole


def _gathered(*parameters: nn.Parameter) -> AbstractContextManager[Any]:
    divided = [one for one in parameters if hasattr(one, "ds_id")]
    if not divided:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(divided)


class WeightPush:
    """Keeps a sampler at the trainer's weights.

    Args of the constructor:
        sampler: on each rank its own. trainer: of the policy.
        prompts: to probe with; their responses are sampled at `decoding`, which has the trainer's temperature, with fixed seeds.
        limit: mean |log-prob difference| beyond which the run stops; 0 = `LIMITS` of the weights' dtype.
        ranks: whose engines are all probed.
    """

    def __init__(
        self,
        sampler: Sampler,
        trainer: Trained,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        limit: float = 0.0,
        ranks: Ranks = ONE_RANK,
    ) -> None:
        self.sampler, self._trainer, self._ranks = sampler, trainer, ranks
        self._prompts = list(prompts)
        self._decoding = Decoding(decoding.temperature, max_new_tokens=min(PROBE_TOKENS, decoding.max_new_tokens))
        self._limit = limit or LIMITS.get(next(trainer.model.parameters()).dtype, LIMITS[torch.bfloat16])
        self._version: int | None = None
        self._found: dict[str, float] = {}

    def sync(self) -> None:
        """Push the weights and probe, if the trainer has moved since the last time. All ranks call this together.

        Raises:
            TrainingError: the sampler does not agree with the trainer afterwards, or it failed.
        """
        if self._version == self._trainer.updates:
            return
        self.sampler.load_weights(served_weights(self._trainer.model))
        self._probe()
        self._version = self._trainer.updates

    def metrics(self) -> dict[str, float]:
        """Of the last probe: |log-prob difference| between sampler and trainer, mean and largest, in nats."""
        return dict(self._found)

    def _probe(self) -> None:
        """Sample on every rank, score all ranks' responses by the trainer, compare."""
        seeds = [[rng.derive_seed(0, "weight push probe", index)] for index in range(len(self._prompts))]
        own = self.sampler.generate(self._prompts, seeds, self._decoding, self._trainer.updates)
        probes = [probe for part in self._ranks.gather(list(zip(self._prompts, own, strict=True))) for probe in part]
        responses = [group[0] for _, group in probes]
        sequences = [TokenSequence(np.array(prompt.token_ids), group[0].token_ids, prompt.id) for prompt, group in probes]
        difference = self._difference(responses, self._trainer.outputs(sequences)["logp"])
        self._found = {
            "sync/logp_difference": float(difference.mean()),
            "sync/max_logp_difference": float(difference.max()),
        }
        if not difference.mean() <= self._limit:  # a NaN is no agreement either
            raise TrainingError(
                f"the weights of update {self._trainer.updates} were pushed to the sampler, but its log-probs differ from the "
                f"trainer's by {difference.mean():.2g} on average over {difference.size} probe tokens (at most "
                f"{difference.max():.2g}; vllm.max_logp_difference is {self._limit:g}): it does not sample from the policy that is "
                "trained. Is the model's architecture read alike by both? Set generator=torch, or a higher limit for rounding"
            )

    @staticmethod
    def _difference(responses: Sequence[Response], logp_BT: Tensor) -> np.ndarray:
        """|sampler - trainer| of all probe tokens, [N]."""
        theirs = logp_BT.double().cpu().numpy()
        return np.concatenate(
            [np.abs(row[: len(response)] - response.behaviour_logp) for response, row in zip(responses, theirs, strict=True)]
        )


class SyncedGenerator:
    """A generator whose sampler always has the present weights. Implements `Generator`."""

    def __init__(self, generator: Generator, push: WeightPush) -> None:
        self._generator, self._push = generator, push

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        self._push.sync()
        responses = self._generator.generate(prompts, seeds, decoding, policy_version)
        self._push.sampler.rest()
        return responses
